//! The effect of size: of a long queue, of many scheduled jobs, of many queues.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{Durability, NewJob, QueueName, StateRole};

use super::whole_life::Lives;
use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, queue};
use crate::figure::{Bound, SERVER_MICROS, Sample, Target};
use crate::load::{drain, let_pass, push};

enum Growth {
    /// Jobs that are ready before those of the case.
    Queued,
    /// Jobs that are scheduled for later than those of the case.
    Scheduled,
    /// Queues of the worker without jobs.
    Subscribed,
    /// Queues of the worker that share the jobs, which are pushed so many at a time.
    Spread(usize),
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let all = [Growth::Queued, Growth::Scheduled, Growth::Subscribed, Growth::Spread(10), Growth::Spread(BATCH)];
    all.map(|growth| Box::new(growth) as Box<dyn Case>).into()
}

const FEW: &str = "1,000 jobs";
const ONE_QUEUE: &str = "1 queue";

#[async_trait]
impl Case for Growth {
    fn plan(&self) -> Plan {
        let little_more = |side| Target::new(SERVER_MICROS, Bound::AtMostTimes(1.1, side));
        match self {
            Growth::Queued => {
                Plan::new("growth-queued", "push, claim and settle 100 at a time with 1,000,000 jobs ready, or 1,000")
                    .with_target(little_more(FEW))
            }
            Growth::Scheduled => {
                Plan::new("growth-scheduled", "100 jobs fall due at a time with 1,000,000 scheduled later, or 1,000")
                    .with_target(little_more(FEW))
            }
            Growth::Subscribed => {
                Plan::new("growth-subscribed", "one busy queue of a worker that has 1,000, or just this one")
                    .with_target(little_more(ONE_QUEUE))
            }
            Growth::Spread(BATCH) => Plan::new(
                "growth-spread-100",
                "batches of 100, each to one of 1,000 queues of a worker in turn, or all to one",
            )
            .with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.6, ONE_QUEUE))),
            Growth::Spread(_) => {
                Plan::new("growth-spread", "batches of 10 spread over 1,000 queues of a worker, or one")
            }
        }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let state = environment.stores().await?.state;
        if let Growth::Queued | Growth::Scheduled = self {
            let delayed = matches!(self, Growth::Scheduled);
            let ops = environment.size(if delayed { 5_000 } else { 50_000 });
            let many = Backlog::side(environment, OURS, &state, (environment.size(1_000_000), delayed, ops)).await?;
            let few = Backlog::side(environment, FEW, &state, (environment.size(1_000), delayed, ops)).await?;
            return Ok(vec![many, few]);
        }
        let names = |kind: &str, count: usize| -> Result<Vec<QueueName>> {
            (0..count).map(|number| queue(&format!("{kind}-{number}"))).collect()
        };
        let many = names("many", environment.size(1_000))?;
        let one = names("one", 1)?;
        let (busy, load) = match self {
            // each queue gets a batch in each round
            Growth::Spread(BATCH) => (many.len(), (environment.size(100_000), BATCH)),
            Growth::Spread(batch) => (many.len(), (environment.size(20_000), *batch)),
            _ => (1, (environment.size(50_000), BATCH)),
        };
        let many = Lives::new(OURS, &state, many, load)?.with_busy(busy);
        Ok(vec![many.side(), Lives::new(ONE_QUEUE, &state, one, load)?.side()])
    }
}

/// A queue whose backlog remains the same while jobs pass through it.
struct Backlog {
    name: &'static str,
    state: Arc<dyn StateRole>,
    queue: QueueName,
    delayed: bool,
    ops: usize,
}

/// Jobs per call.
const BATCH: usize = 100;

impl Backlog {
    async fn side(
        environment: &Environment,
        name: &'static str,
        state: &Arc<dyn StateRole>,
        (backlog, delayed, ops): (usize, bool, usize),
    ) -> Result<Box<dyn Side>> {
        let queue = queue(&format!("backlog-of-{backlog}"))?;
        let payload = environment.payload();
        if delayed {
            for start in (0..backlog).step_by(1000) {
                let hour = Duration::from_secs(3600);
                let jobs: Vec<_> =
                    (start..backlog.min(start + 1000)).map(|_| NewJob::new(payload.clone()).with_delay(hour)).collect();
                let _ = state.push(&queue, &jobs, Durability::Accepted).await?;
            }
        } else {
            push(state.as_ref(), &queue, &payload, backlog, 1000).await?;
        }
        Ok(Box::new(Self { name, state: Arc::clone(state), queue, delayed, ops }))
    }

    async fn pass(&self, environment: &Environment) -> Result<()> {
        let (payload, mut left) = (environment.payload(), self.ops);
        while left > 0 {
            let count = BATCH.min(left);
            if self.delayed {
                let delay = Duration::from_millis(1);
                let jobs: Vec<_> = (0..count).map(|_| NewJob::new(payload.clone()).with_delay(delay)).collect();
                let _ = self.state.push(&self.queue, &jobs, Durability::Accepted).await?;
                let_pass(Duration::from_millis(3)).await;
            } else {
                push(self.state.as_ref(), &self.queue, &payload, count, BATCH).await?;
            }
            drain(self.state.as_ref(), &self.queue, count, BATCH).await?;
            left -= count;
        }
        Ok(())
    }
}

#[async_trait]
impl Side for Backlog {
    fn name(&self) -> &str {
        self.name
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        environment.measure(self.ops, self.pass(environment)).await
    }
}
