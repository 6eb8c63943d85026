//! Pushing plain jobs: one at a time from many tasks, and in batches.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{NewJob, QueueExt, QueueName, StateRole};

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Engine, Environment, queue};
use crate::figure::{Bound, PER_SECOND, SENT, SERVER_MICROS, Sample, Target};
use crate::floor::{Lists, Push, RedisBenchmark, Sends, Streams, one_write};
use crate::load::{drain, from_tasks, push};
use crate::meter::as_f64;
use crate::sent::count_sent;

const TASKS: usize = 50;

struct PushCase {
    /// Jobs per call; with 1, many tasks push concurrently.
    batch: usize,
    engine: Engine,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for batch in [1, 100, 1000] {
        for engine in Engine::ALL {
            cases.push(Box::new(PushCase { batch, engine }));
        }
    }
    cases
}

#[async_trait]
impl Case for PushCase {
    fn plan(&self) -> Plan {
        let plan = match self.batch {
            1 => Plan::new("push-one", "push jobs one at a time from 50 tasks"),
            100 => Plan::new("push-100", "push batches of 100 jobs, one after the other"),
            _ => Plan::new("push-1000", "push batches of 1,000 jobs, one after the other"),
        };
        let plan = plan.on(self.engine);
        if self.batch == 1 && self.engine == Engine::Redis {
            return plan
                .with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.0, one_write::NAME)))
                .with_target(Target::new(SENT, Bound::AtMost(1.0)));
        }
        if self.batch == 1 && self.engine == Engine::EmbeddedMemory {
            return plan.with_target(Target::new(PER_SECOND, Bound::AtLeast(100_000.0)));
        }
        plan
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let (ops, batch) = (environment.size(50_000), self.batch);
        let ours = Ours { state: environment.stores().await?.state, queue: queue("push")?, ops, batch };
        let mut sides: Vec<Box<dyn Side>> = vec![Box::new(ours)];
        if self.engine != Engine::Redis {
            return Ok(sides);
        }
        if batch == 1 {
            sides.push(one_write::side(environment, TASKS, ops).await?);
            sides.extend(RedisBenchmark::sides(Sends::EvalSha, ops, &environment.payload()));
            sides.extend(RedisBenchmark::sides(Sends::Lpush, ops, &environment.payload()));
        } else {
            sides.push(Push::side(environment, Streams, ops, batch).await?);
            sides.push(Push::side(environment, Lists::default(), ops, batch).await?);
        }
        Ok(sides)
    }
}

struct Ours {
    state: Arc<dyn StateRole>,
    queue: QueueName,
    ops: usize,
    batch: usize,
}

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let payload = environment.payload();
        if self.batch == 1 {
            return self.round_of_ones(environment, payload).await;
        }
        let work = push(self.state.as_ref(), &self.queue, &payload, self.ops, self.batch);
        let sample = environment.measure(self.ops, work).await?;
        drain(self.state.as_ref(), &self.queue, self.ops, 1000).await?;
        Ok(sample)
    }
}

/// The number of pushes, one after the other, from which the average number of sent commands is computed. Pushes of many
/// tasks are coalesced and would hide it.
const ALONE: usize = 20;

impl Ours {
    async fn round_of_ones(&self, environment: &Environment, payload: Bytes) -> Result<Sample> {
        let (state, queue) = (Arc::clone(&self.state), self.queue.clone());
        let operation = Arc::new(move |_| {
            let (state, queue, job) = (Arc::clone(&state), queue.clone(), NewJob::new(payload.clone()));
            async move {
                state.push_one(&queue, job).await?;
                Ok(())
            }
        });
        let sample = environment.measure(self.ops, from_tasks(TASKS, 0..self.ops, &operation)).await?;
        if environment.engine != Engine::Redis {
            drain(self.state.as_ref(), &self.queue, self.ops, 1000).await?;
            return Ok(sample);
        }
        let sent = count_sent(environment, from_tasks(1, 0..ALONE, &operation)).await?;
        drain(self.state.as_ref(), &self.queue, self.ops + ALONE, 1000).await?;
        Ok(sample.with(SENT, as_f64(sent) / as_f64(ALONE)))
    }
}
