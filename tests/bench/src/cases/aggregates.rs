//! One write of each kind of aggregate beside the smallest script that does it, and with 1,000,000 of them stored.

mod floor;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Advanced, AgentName, Durability, Fence, NewJob, NewRun, QueueName, RunEvent, RunId, RunWrite, SaveRequest,
    Schedule, ScheduleName, StateRole, StepAttempt, StepName, StreamName, TokenVersion, WorkflowRun,
};
use testkit::RedisServer;

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, open_state};
use crate::figure::{Bound, SERVER_MICROS, Sample, Target};
use crate::load::{Tasks, from_tasks};
use crate::meter::{self, Meter};

/// Aggregates of a case whose number does not matter.
const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
const OF_FEW: &str = "1,000 stored";
/// The schedules of the queue: with so many one is due at any time.
const SCHEDULES: usize = 50;
const FENCE: Fence = Fence::new(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Token,
    Step,
    Event,
    Run,
    Schedule,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Token => "token",
            Kind::Step => "step",
            Kind::Event => "event",
            Kind::Run => "run",
            Kind::Schedule => "schedule",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Kind::Token => "saves a resume token of 200 bytes, from this many tasks",
            Kind::Step => "begins and finishes a step with 200 bytes, from this many tasks",
            Kind::Event => "appends an event of 200 bytes to a run, from this many tasks",
            Kind::Run => "writes the output of a run, 200 bytes, from this many tasks",
            Kind::Schedule => "finds a schedule that is due, and fires its job of 200 bytes",
        }
    }

    fn about_growth(self) -> &'static str {
        match self {
            Kind::Token => "saves tokens, of 1,000,000 or of 1,000 streams, from 50 tasks",
            Kind::Step => "begins and finishes steps, of 1,000,000 or of 1,000 runs, from 50 tasks",
            Kind::Event => "appends events to 1,000,000 or to 1,000 runs, from 50 tasks",
            _ => "writes outputs of 1,000,000 or of 1,000 runs, from 50 tasks",
        }
    }
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let kinds = [Kind::Token, Kind::Step, Kind::Event, Kind::Run];
    let writes = kinds.iter().flat_map(|kind| [1, 50].map(|tasks| Writes { kind: *kind, tasks }));
    let writes = writes.chain([Writes { kind: Kind::Schedule, tasks: 1 }]).map(|case| Box::new(case) as Box<dyn Case>);
    writes.chain(kinds.map(|kind| Box::new(Growth(kind)) as Box<dyn Case>)).collect()
}

/// The aggregates of a store, by number.
struct Stored {
    kind: Kind,
    state: Arc<dyn StateRole>,
    /// The last version of each.
    versions: Vec<AtomicU64>,
    payload: Bytes,
}

impl Stored {
    /// Makes them, so that each write finds one.
    async fn make(kind: Kind, state: Arc<dyn StateRole>, payload: Bytes, count: usize) -> Result<Arc<Self>> {
        let versions = (0..count).map(|_| AtomicU64::new(0)).collect();
        let stored = Arc::new(Self { kind, state, versions, payload });
        let make = {
            let stored = Arc::clone(&stored);
            Arc::new(move |number| {
                let stored = Arc::clone(&stored);
                async move { stored.create(number).await }
            })
        };
        from_tasks(50, 0..count, &make).await?;
        Ok(stored)
    }

    async fn create(&self, number: usize) -> Result<()> {
        match self.kind {
            Kind::Token | Kind::Step => self.write(number, number).await,
            Kind::Event | Kind::Run => {
                let new = NewRun::new(run_id(number)?, AgentName::new("bench")?);
                let run = self.state.runs().create(&new, Durability::Accepted).await?.value.done();
                self.versions[number].store(run.ok_or("the run exists")?.version, Ordering::Relaxed);
                Ok(())
            }
            Kind::Schedule => {
                let name = ScheduleName::new(format!("schedule-{number}"))?;
                let often = Schedule::every(Duration::from_millis(1), NewJob::new(self.payload.clone()))?;
                let _ = self.state.schedules().put(&reports()?, &name, &often, None, Durability::Accepted).await?;
                Ok(())
            }
        }
    }

    /// The operation with this number: a write of another aggregate than the operations that run beside it.
    async fn operate(&self, operation: usize) -> Result<()> {
        self.write((operation * 7_919) % self.versions.len(), operation + self.versions.len()).await
    }

    async fn write(&self, number: usize, operation: usize) -> Result<()> {
        let (version, accepted) = (&self.versions[number], Durability::Accepted);
        let last = version.load(Ordering::Relaxed);
        match self.kind {
            Kind::Token => {
                let stream = StreamName::new(format!("stream-{number}"))?;
                let expected = (last > 0).then(|| TokenVersion::new(last));
                let save = SaveRequest::new(stream, self.payload.clone(), FENCE, expected);
                let saved = self.state.save(&save, accepted).await?.value.done().ok_or("the save was refused")?;
                version.store(saved.version.get(), Ordering::Relaxed);
            }
            Kind::Step => {
                let (run, step) = (WorkflowRun::named(format!("run-{number}"))?, format!("step-{operation}"));
                let attempt = StepAttempt::new(run, StepName::new(step)?, FENCE);
                let begun = self.state.steps().begin(&attempt, accepted).await?.value.is_started();
                if !begun || !self.state.steps().finish(&attempt, &self.payload, accepted).await?.value {
                    return Err("the step was refused".into());
                }
            }
            Kind::Event => {
                let write = RunWrite::new(run_id(number)?).with_event(RunEvent::new("part", self.payload.clone()));
                self.state.runs().write(&write, accepted).await?.value.done().ok_or("the event was refused")?;
            }
            Kind::Run => {
                let write = RunWrite::new(run_id(number)?).at_version(last).with_output(self.payload.clone());
                let written = self.state.runs().write(&write, accepted).await?.value.done();
                version.store(written.ok_or("the write was refused")?.version, Ordering::Relaxed);
            }
            Kind::Schedule => {
                let (schedules, queue) = (self.state.schedules(), reports()?);
                let due = schedules.due(&queue, 1).await?;
                let plan = due.schedules.first().ok_or("no schedule is due")?.plan(due.now);
                if schedules.advance(&queue, &plan, accepted).await?.value == Advanced::Superseded {
                    return Err("the schedule was advanced by another process".into());
                }
            }
        }
        Ok(())
    }

    fn side(self: Arc<Self>, tasks: usize, ops: usize) -> Box<dyn Side> {
        Tasks::ours(tasks, ops, move |number| {
            let stored = Arc::clone(&self);
            async move { stored.operate(number).await }
        })
    }
}

fn run_id(number: usize) -> Result<RunId> {
    Ok(RunId::new(format!("run-{number}"))?)
}

fn reports() -> Result<QueueName> {
    Ok(QueueName::new("reports")?)
}

/// Writes of one kind, beside the smallest script.
struct Writes {
    kind: Kind,
    tasks: usize,
}

#[async_trait]
impl Case for Writes {
    fn plan(&self) -> Plan {
        let name = match self.kind {
            Kind::Schedule => "state-schedule".to_owned(),
            kind => format!("state-{}-{}", kind.name(), self.tasks),
        };
        let target = Target::new(SERVER_MICROS, Bound::AtMostTimes(1.3, floor::NAME));
        Plan::new(name, self.kind.about()).with_target(target)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let (state, payload) = (environment.stores().await?.state, environment.payload());
        let ops = environment.size(if self.tasks == 1 { 10_000 } else { 50_000 });
        let count = if self.kind == Kind::Schedule { SCHEDULES } else { FEW };
        let stored = Stored::make(self.kind, state, payload, count).await?;
        Ok(vec![stored.side(self.tasks, ops), floor::side(self.kind, environment, self.tasks, ops).await?])
    }
}

/// Writes of one kind, each to one of many aggregates, or of few on another server.
struct Growth(Kind);

#[async_trait]
impl Case for Growth {
    fn plan(&self) -> Plan {
        let target = Target::new(SERVER_MICROS, Bound::AtMostTimes(1.15, OF_FEW));
        Plan::new(format!("state-growth-{}", self.0.name()), self.0.about_growth()).with_target(target)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let mut sides = Vec::<Box<dyn Side>>::new();
        for (name, count) in [(OURS, environment.size(MANY)), (OF_FEW, FEW.min(environment.size(MANY)))] {
            let server = RedisServer::builder().start().await?;
            let state = Arc::new(open_state(&server.url(None)).await?);
            let stored = Stored::make(self.0, state, environment.payload(), count).await?;
            let operation = Arc::new(move |number| {
                let stored = Arc::clone(&stored);
                async move { stored.operate(number).await }
            });
            let (meter, ops) = (Meter::open(&server).await?, environment.size(50_000));
            sides.push(Box::new(OnServer { name, meter, operation, ops, done: 0, _server: server }));
        }
        Ok(sides)
    }
}

/// Operations from 50 tasks on a server of its own.
struct OnServer<F> {
    name: &'static str,
    meter: Meter,
    operation: Arc<F>,
    ops: usize,
    done: usize,
    _server: RedisServer,
}

#[async_trait]
impl<F, Fut> Side for OnServer<F>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn name(&self) -> &str {
        self.name
    }

    async fn round(&mut self, _: &Environment) -> Result<Sample> {
        let first = self.done;
        self.done += self.ops;
        let work = from_tasks(50, first..self.done, &self.operation);
        meter::measure(std::slice::from_mut(&mut self.meter), self.ops, work).await
    }
}
