//! Pushing plain jobs: one at a time from many tasks, and in batches.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{NewJob, QueueExt, QueueName, StateRole};

use crate::Result;
use crate::bed::{Bed, Engine, queue};
use crate::case::{Case, OURS, Plan, Side};
use crate::figure::{Bound, SERVER_MICROS, Sample, Target};
use crate::floor::{Lists, Pipelined, Push, Script, Streams};
use crate::load::{drain, from_tasks, push};

const ONE_WRITE: &str = "EVALSHA, 1 write";
const TASKS: usize = 50;

struct PushCase {
    /// Jobs per call; 1 is pushed from many tasks at once.
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
            return plan.with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.3, ONE_WRITE)));
        }
        plan
    }

    async fn open(&self, bed: &Bed) -> Result<Vec<Box<dyn Side>>> {
        let (ops, batch) = (bed.size(50_000), self.batch);
        let ours = Ours { state: bed.stores().await?.state, queue: queue("push")?, ops, batch };
        let mut sides: Vec<Box<dyn Side>> = vec![Box::new(ours)];
        if self.engine != Engine::Redis {
            return Ok(sides);
        }
        if batch == 1 {
            let mut wire = bed.wire().await?;
            let script = "return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])";
            let (script, payload) = (Script::load(&mut wire, script).await?, bed.payload());
            let floor = Pipelined::new(wire, ONE_WRITE, TASKS, ops, move |number, _, commands| {
                let id = format!("{number:036}");
                script.call(&[b"floor:jobs"], &[id.as_bytes(), &payload], commands);
            });
            sides.push(floor.with_leaves("floor:").side());
        } else {
            sides.push(Push::side(bed, Streams, ops, batch).await?);
            sides.push(Push::side(bed, Lists::default(), ops, batch).await?);
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

    async fn round(&mut self, bed: &Bed) -> Result<Sample> {
        let payload = bed.payload();
        let sample = if self.batch == 1 {
            let (state, queue) = (Arc::clone(&self.state), self.queue.clone());
            let operation = Arc::new(move |_| {
                let (state, queue, job) = (Arc::clone(&state), queue.clone(), NewJob::new(payload.clone()));
                async move {
                    state.push_one(&queue, job).await?;
                    Ok(())
                }
            });
            bed.measure(self.ops, from_tasks(TASKS, 0..self.ops, &operation)).await?
        } else {
            let work = push(self.state.as_ref(), &self.queue, &payload, self.ops, self.batch);
            bed.measure(self.ops, work).await?
        };
        drain(self.state.as_ref(), &self.queue, self.ops, 1000).await?;
        Ok(sample)
    }
}
