//! The whole life of a job: pushed in batches while a worker claims and settles.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{QueueName, StateRole};
use tokio::sync::Mutex;

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Engine, Environment, open_state, queue};
use crate::figure::{Bound, PER_SECOND, SERVER_MICROS, Sample, Target};
use crate::floor::{Life, Lists, Model, Streams};
use crate::load::{Crew, from_tasks, push, until_completed};
use crate::meter::{self, Meter};

/// The concurrency of the worker, here and in other cases.
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
                .with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.0, streams)))
                .with_target(Target::new(PER_SECOND, Bound::AtLeastTimes(0.6, streams))),
            embedded => {
                let least = if embedded == Engine::EmbeddedFile { 20_000.0 } else { 50_000.0 };
                plan.on(embedded).with_target(Target::new(PER_SECOND, Bound::AtLeast(least)))
            }
        }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let ops = environment.size(100_000);
        let state = environment.stores().await?.state;
        let mut sides = vec![Lives::new(OURS, &state, vec![queue("life")?], (ops, 100))?.side()];
        if self.0 == Engine::Redis {
            sides.push(Life::side(environment, Streams, ops, environment.payload()).await?);
            sides.push(Life::side(environment, Lists::default(), ops, environment.payload()).await?);
        }
        Ok(sides)
    }
}

/// Workers that run during the whole case, and jobs that are pushed to some of their queues in turn.
pub(super) struct Lives {
    name: &'static str,
    state: Arc<dyn StateRole>,
    crews: Vec<Crew>,
    queues: Vec<QueueName>,
    /// How many of the queues get jobs: the first ones.
    busy: usize,
    pushers: usize,
    ops: usize,
    batch: usize,
    payload: Option<Bytes>,
    /// Of its own servers; if there are none, that of the environment is measured.
    meters: Mutex<Vec<Meter>>,
    done: u64,
}

impl Lives {
    /// One worker of these queues, all of which get jobs, `batch` at a time from one task.
    pub(super) fn new(
        name: &'static str,
        state: &Arc<dyn StateRole>,
        queues: Vec<QueueName>,
        (ops, batch): (usize, usize),
    ) -> Result<Self> {
        let (state, crews) = (Arc::clone(state), vec![Crew::start(state, &queues, CONCURRENCY)?]);
        let busy = queues.len();
        Ok(Self {
            name,
            state,
            crews,
            queues,
            busy,
            pushers: 1,
            ops,
            batch,
            payload: None,
            meters: Mutex::default(),
            done: 0,
        })
    }

    /// With jobs for only this many of the queues, the first ones.
    pub(super) fn with_busy(mut self, busy: usize) -> Self {
        self.busy = busy;
        self
    }

    /// With another payload than [`Environment::payload`].
    pub(super) fn with_payload(mut self, payload: Bytes) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Measures these servers instead of that of the environment.
    pub(super) fn with_meters(mut self, meters: Vec<Meter>) -> Self {
        self.meters = Mutex::new(meters);
        self
    }

    /// With this many tasks that push.
    pub(super) fn with_pushers(mut self, pushers: usize) -> Self {
        self.pushers = pushers;
        self
    }

    /// With this many workers. Each has connections of its own, like a worker of another process.
    pub(super) async fn with_workers(mut self, environment: &Environment, workers: usize) -> Result<Self> {
        while self.crews.len() < workers {
            let state: Arc<dyn StateRole> = Arc::new(open_state(&environment.server()?.url(None)).await?);
            self.crews.push(Crew::start(&state, &self.queues, CONCURRENCY)?);
        }
        Ok(self)
    }

    /// As a side.
    pub(super) fn side(self) -> Box<dyn Side> {
        Box::new(self)
    }

    async fn push_all(&self, payload: Bytes) -> Result<()> {
        let (state, ops, batch) = (Arc::clone(&self.state), self.ops, self.batch);
        let busy: Arc<[QueueName]> = self.queues[..self.busy].into();
        let operation = Arc::new(move |number: usize| {
            let (state, payload, queue) = (Arc::clone(&state), payload.clone(), busy[number % busy.len()].clone());
            async move { push(state.as_ref(), &queue, &payload, batch.min(ops - number * batch), batch).await }
        });
        from_tasks(self.pushers, 0..ops.div_ceil(batch), &operation).await
    }
}

#[async_trait]
impl Side for Lives {
    fn name(&self) -> &str {
        self.name
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let payload = self.payload.clone().unwrap_or_else(|| environment.payload());
        self.done += self.ops as u64;
        let work = async {
            self.push_all(payload).await?;
            until_completed(&self.crews, self.done).await
        };
        let mut meters = self.meters.lock().await;
        match meters.as_mut_slice() {
            [] => environment.measure(self.ops, work).await,
            meters => meter::measure(meters, self.ops, work).await,
        }
    }
}
