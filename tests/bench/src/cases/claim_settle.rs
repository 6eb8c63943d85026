//! Claiming and settling a backlog through the worker runtime, with a handler that does nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use store_core::{QueueName, StateRole};
use store_worker::{Done, Job};

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Engine, Environment, queue};
use crate::figure::{Bound, CLIENT_MICROS, SERVER_MICROS, Sample, Target};
use crate::floor::{Consume, Lists, Model, RedisBenchmark, Sends, Streams};
use crate::load::{Crew, let_pass, push};

struct ClaimSettle {
    concurrency: usize,
    /// Whether some jobs take longer than others, so that the jobs of a claim do not end at the same time.
    uneven: bool,
    engine: Engine,
}

/// The duration of the longest job if some jobs take longer than others.
const LONGEST: Duration = Duration::from_millis(8);

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let even = |concurrency, engine| ClaimSettle { concurrency, uneven: false, engine };
    // 37, because no internal batch of the store has that size
    let redis = [1, 37, 50, 200].map(|concurrency| even(concurrency, Engine::Redis));
    let uneven = ClaimSettle { concurrency: 50, uneven: true, engine: Engine::Redis };
    let embedded = [Engine::EmbeddedMemory, Engine::EmbeddedFile].map(|engine| even(50, engine));
    redis.into_iter().chain([uneven]).chain(embedded).map(|case| Box::new(case) as Box<dyn Case>).collect()
}

#[async_trait]
impl Case for ClaimSettle {
    fn plan(&self) -> Plan {
        if self.uneven {
            return Plan::new(
                "claim-settle-uneven",
                "a worker of concurrency 50 works off a backlog of jobs that take 1 to 8 ms, by turns",
            );
        }
        let name = format!("claim-settle-{}", self.concurrency);
        let plan = Plan::new(name, "a worker with this concurrency and a no-op handler works off a backlog");
        if self.concurrency == 50 && self.engine == Engine::Redis {
            return plan
                .with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.15, Streams.name())))
                .with_target(Target::new(CLIENT_MICROS, Bound::AtMost(8.0)));
        }
        plan.on(self.engine)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let ops = environment.size(if self.concurrency == 1 || self.uneven { 20_000 } else { 50_000 });
        let state = environment.stores().await?.state;
        let ours = Ours { state, queue: queue("claim")?, ops, concurrency: self.concurrency, uneven: self.uneven };
        let mut sides: Vec<Box<dyn Side>> = vec![Box::new(ours)];
        if self.engine == Engine::Redis {
            // a worker with one handler may hold one job; the others may claim a hundred in one call
            let batch = if self.concurrency == 1 { 1 } else { 100 };
            sides.push(Consume::side(environment, Streams, ops, batch).await?);
            sides.push(Consume::side(environment, Lists::default(), ops, batch).await?);
            if self.concurrency == 50 && !self.uneven {
                sides.extend(RedisBenchmark::sides(Sends::Rpop, ops, &environment.payload()));
            }
        }
        Ok(sides)
    }
}

struct Ours {
    state: Arc<dyn StateRole>,
    queue: QueueName,
    ops: usize,
    concurrency: usize,
    uneven: bool,
}

impl Ours {
    fn crew(&self) -> Result<Crew> {
        let queues = std::slice::from_ref(&self.queue);
        if !self.uneven {
            return Crew::start(&self.state, queues, self.concurrency);
        }
        let started = Arc::new(AtomicU32::new(0));
        Crew::with_handler(&self.state, queues, self.concurrency, move |_: Job| {
            let number = started.fetch_add(1, Ordering::Relaxed);
            async move {
                let_pass(LONGEST / 8 * (1 + number * 5 % 8)).await;
                Ok(Done::discard())
            }
        })
    }
}

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        push(self.state.as_ref(), &self.queue, &environment.payload(), self.ops, 1000).await?;
        let mut crew = None;
        let work = async {
            let started = crew.insert(self.crew()?);
            started.until_completed(self.ops as u64).await
        };
        let sample = environment.measure(self.ops, work).await?;
        if let Some(crew) = crew {
            crew.end().await?;
        }
        Ok(sample)
    }
}
