//! What an idle worker sends.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{QueueName, StateOptions, StateRole};

use super::partitions;
use super::whole_life::CONCURRENCY;
use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, open_state_with, queue};
use crate::figure::{Bound, Figure, Sample, Target};
use crate::load::{Crew, let_pass, push};
use crate::meter::as_f64;
use crate::sent::count_sent;

const SENT_PER_SECOND: Figure = Figure::new("sent/s per queue", 3);
const SENT_PER_PARTITION: Figure = Figure::new("sent/s per partition", 3);

struct Idle {
    queues: usize,
    /// Of each queue.
    partitions: u16,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let all = [(1, 1), (100, 1), (1, partitions::MANY)];
    all.map(|(queues, partitions)| Box::new(Idle { queues, partitions }) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Idle {
    fn plan(&self) -> Plan {
        let plan = if self.partitions == 1 {
            Plan::new(format!("idle-{}", self.queues), "what a worker of so many queues sends while nothing happens")
        } else {
            let about = "what a worker of one queue of 12 partitions sends while nothing happens";
            Plan::new(format!("idle-{}-partitions", self.partitions), about)
        };
        // "less than one"
        let target = Target::new(self.figure(), Bound::AtMost(0.999));
        plan.with_headline(self.figure()).with_target(target).without_warm_up()
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let queues = (0..self.queues).map(|number| queue(&format!("idle-{number}"))).collect::<Result<Vec<_>>>()?;
        let declare =
            |options: StateOptions, queue: &QueueName| options.with_partitions(queue.clone(), self.partitions);
        let options = queues.iter().fold(StateOptions::default(), declare);
        let state: Arc<dyn StateRole> = Arc::new(open_state_with(&environment.server()?.url(None), options).await?);
        let partitions = queues.len() * usize::from(self.partitions);
        Ok(vec![Box::new(Ours { state, queues, figure: self.figure(), partitions })])
    }
}

impl Idle {
    fn figure(&self) -> Figure {
        if self.partitions == 1 { SENT_PER_SECOND } else { SENT_PER_PARTITION }
    }
}

struct Ours {
    state: Arc<dyn StateRole>,
    queues: Vec<QueueName>,
    figure: Figure,
    /// Of all queues.
    partitions: usize,
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
        Ok(Sample::default().with(self.figure, as_f64(sent) / time.as_secs_f64() / as_f64(self.partitions)))
    }
}
