//! The whole life of a job: pushed in batches while a worker claims and settles.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{QueueName, StateRole};

use crate::Result;
use crate::bed::{Bed, Engine, queue};
use crate::case::{Case, OURS, Plan, Side};
use crate::figure::{Bound, PER_SECOND, SERVER_MICROS, Sample, Target};
use crate::floor::{Life, Lists, Model, Streams};
use crate::load::{Crew, push};

/// Handlers at a time; also used where other cases need a worker.
pub(super) const CONCURRENCY: usize = 50;

struct WholeLife(Engine);

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    Engine::ALL.map(|engine| Box::new(WholeLife(engine)) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for WholeLife {
    fn plan(&self) -> Plan {
        let streams = Streams.name();
        let plan = Plan::new("whole-life", "batches of 100 are pushed while a worker of concurrency 50 runs them");
        match self.0 {
            Engine::Redis => plan
                .with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.5, streams)))
                .with_target(Target::new(SERVER_MICROS, Bound::AtMost(14.0)))
                .with_target(Target::new(PER_SECOND, Bound::AtLeastTimes(0.6, streams))),
            embedded => {
                let least = if embedded == Engine::EmbeddedFile { 20_000.0 } else { 50_000.0 };
                plan.on(embedded).with_target(Target::new(PER_SECOND, Bound::AtLeast(least)))
            }
        }
    }

    async fn open(&self, bed: &Bed) -> Result<Vec<Box<dyn Side>>> {
        let ops = bed.size(100_000);
        let state = bed.stores().await?.state;
        let mut sides = vec![Lives::side(OURS, &state, vec![queue("life")?], ops, 100)?];
        if self.0 == Engine::Redis {
            sides.push(Life::side(bed, Streams, ops).await?);
            sides.push(Life::side(bed, Lists::default(), ops).await?);
        }
        Ok(sides)
    }
}

/// A worker that lives as long as the case, and jobs pushed to some of its queues in turn.
pub(super) struct Lives {
    name: &'static str,
    state: Arc<dyn StateRole>,
    crew: Crew,
    busy: Vec<QueueName>,
    ops: usize,
    batch: usize,
    done: u64,
}

impl Lives {
    /// A worker of these queues, all of which get jobs.
    pub(super) fn side(
        name: &'static str,
        state: &Arc<dyn StateRole>,
        queues: Vec<QueueName>,
        ops: usize,
        batch: usize,
    ) -> Result<Box<dyn Side>> {
        let busy = queues.len();
        Self::with_idle(name, state, queues, busy, (ops, batch))
    }

    /// The same where only the first `busy` queues get jobs.
    pub(super) fn with_idle(
        name: &'static str,
        state: &Arc<dyn StateRole>,
        mut queues: Vec<QueueName>,
        busy: usize,
        (ops, batch): (usize, usize),
    ) -> Result<Box<dyn Side>> {
        let crew = Crew::start(state, &queues, CONCURRENCY)?;
        queues.truncate(busy);
        Ok(Box::new(Self { name, state: Arc::clone(state), crew, busy: queues, ops, batch, done: 0 }))
    }
}

#[async_trait]
impl Side for Lives {
    fn name(&self) -> &str {
        self.name
    }

    async fn round(&mut self, bed: &Bed) -> Result<Sample> {
        let payload = bed.payload();
        self.done += self.ops as u64;
        let work = async {
            let mut queues = self.busy.iter().cycle();
            for start in (0..self.ops).step_by(self.batch) {
                let queue = queues.next().ok_or("no queue")?;
                let count = self.batch.min(self.ops - start);
                push(self.state.as_ref(), queue, &payload, count, self.batch).await?;
            }
            self.crew.until_completed(self.done).await
        };
        bed.measure(self.ops, work).await
    }
}
