//! What an idle worker sends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{QueueName, StateRole};

use super::whole_life::CONCURRENCY;
use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, queue};
use crate::figure::{Bound, Figure, Sample, Target};
use crate::load::{Crew, let_pass, push};
use crate::meter::as_f64;
use crate::sent::count_sent;

const SENT_PER_SECOND: Figure = Figure::new("sent/s per queue", 3);

struct Idle {
    queues: usize,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    [1, 100].map(|queues| Box::new(Idle { queues }) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Idle {
    fn plan(&self) -> Plan {
        Plan::new(format!("idle-{}", self.queues), "what a worker of so many queues sends while nothing happens")
            .with_headline(SENT_PER_SECOND)
            // "less than one"
            .with_target(Target::new(SENT_PER_SECOND, Bound::AtMost(0.999)))
            .without_warm_up()
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let state = environment.stores().await?.state;
        let queues = (0..self.queues).map(|number| queue(&format!("idle-{number}"))).collect::<Result<_>>()?;
        Ok(vec![Box::new(Ours { state, queues })])
    }
}

struct Ours {
    state: Arc<dyn StateRole>,
    queues: Vec<QueueName>,
}

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let crew = Crew::start(&self.state, &self.queues, CONCURRENCY)?;
        for queue in &self.queues {
            push(self.state.as_ref(), queue, &environment.payload(), 1, 1).await?;
        }
        crew.until_completed(self.queues.len() as u64).await?;
        // by now the worker has checked all queues and waits
        let_pass(environment.time(Duration::from_secs(1), Duration::from_millis(100))).await;
        let time = environment.time(Duration::from_secs(12), Duration::from_millis(200));
        let sent = count_sent(environment, async {
            let_pass(time).await;
            Ok(())
        })
        .await?;
        crew.end().await?;
        Ok(Sample::default().with(SENT_PER_SECOND, as_f64(sent) / time.as_secs_f64() / as_f64(self.queues.len())))
    }
}
