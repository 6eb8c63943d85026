//! How much memory of the server a scheduled job needs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use embedded_store::EmbeddedState;
use store_core::{Durability, NewJob, QueueName, ServiceName, StateOptions, StateRole};

use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Engine, Environment, queue};
use crate::figure::{Bound, Figure, SERVER_MICROS, Sample, Target};
use crate::load::from_tasks;
use crate::meter::as_f64;
use crate::wire::{Commands, Wire};

const MEMORY: Figure = Figure::new("server bytes/job", 0);
const BATCH: usize = 1000;
const MANY: usize = 1_000_000;

/// Bytes of the embedded store's file.
const FILE: Figure = Figure::new("file bytes/job", 0);

const TASKS: usize = 50;
/// The floor that a push is compared with.
const INLINE: &str = "zset inline";

struct Scheduled {
    name: &'static str,
    jobs: usize,
    /// Pushed 1,000 at a time, or one at a time by 50 tasks.
    singly: bool,
    due: Due,
    engine: Engine,
}

/// When jobs are due.
#[derive(Debug, Clone, Copy)]
enum Due {
    /// Between an hour and two after their pushes.
    Spread,
    /// All at the same time, in two hours; to a few ms, because a push names a delay.
    Equal,
    /// At a random time of a day.
    Day,
}

impl Due {
    /// The delay of a job that is pushed this long after the first one.
    fn delay(self, number: usize, elapsed: Duration) -> Duration {
        const HOUR: u64 = 3_600_000;
        match self {
            Due::Spread => Duration::from_millis(HOUR + (number as u64 * 7919) % HOUR),
            Due::Equal => Duration::from_millis(2 * HOUR).saturating_sub(elapsed),
            Due::Day => Duration::from_millis(HOUR + fastrand::Rng::with_seed(number as u64).u64(..24 * HOUR)),
        }
    }
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let redis = |name, jobs, singly, due| Scheduled { name, jobs, singly, due, engine: Engine::Redis };
    let all = [
        redis("scheduled-200k", 200_000, false, Due::Spread),
        redis("scheduled-1m", MANY, false, Due::Spread),
        redis("scheduled-1m-equal", MANY, false, Due::Equal),
        redis("scheduled-1m-day", MANY, false, Due::Day),
        redis("scheduled-singly", 100_000, true, Due::Spread),
        redis("scheduled-singly-1m-equal", MANY, true, Due::Equal),
        redis("scheduled-singly-1m-day", MANY, true, Due::Day),
        Scheduled { engine: Engine::EmbeddedFile, ..redis("scheduled-200k", 200_000, false, Due::Spread) },
    ];
    all.map(|case| Box::new(case) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Scheduled {
    fn plan(&self) -> Plan {
        let about = match (self.singly, self.due) {
            (false, Due::Spread) => "what jobs of 200 bytes take that are scheduled for later, pushed 1,000 at a time",
            (false, Due::Equal) => "jobs of 200 bytes that are scheduled for one time, pushed 1,000 at a time",
            (false, Due::Day) => "jobs of 200 bytes at random times of a day, pushed 1,000 at a time",
            (true, Due::Spread) => {
                "memory of jobs of 200 bytes that are scheduled for later, pushed one at a time from 50 tasks"
            }
            (true, Due::Equal) => {
                "jobs of 200 bytes that are scheduled for one time, pushed one at a time from 50 tasks"
            }
            (true, Due::Day) => "jobs of 200 bytes at random times of a day, pushed one at a time from 50 tasks",
        };
        let plan = Plan::new(self.name, about).without_warm_up();
        if self.engine != Engine::Redis {
            return plan.on(self.engine).with_headline(FILE);
        }
        let plan = plan.with_headline(MEMORY);
        if self.jobs < MANY {
            return plan.with_also(SERVER_MICROS);
        }
        plan.with_target(Target::new(MEMORY, Bound::AtMost(300.0)))
            .with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.2, INLINE)))
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let load = Load { jobs: environment.size(self.jobs), singly: self.singly, due: self.due };
        if self.engine != Engine::Redis {
            return Ok(vec![Box::new(File { load, round: 0 })]);
        }
        let state = environment.stores().await?.state;
        Ok(vec![
            Box::new(Ours { state, queue: queue("scheduled")?, load }),
            Box::new(Floor { wire: environment.wire().await?, load, has_record: false }),
            Box::new(Floor { wire: environment.wire().await?, load, has_record: true }),
        ])
    }
}

/// The jobs that a round pushes.
#[derive(Clone, Copy)]
struct Load {
    jobs: usize,
    singly: bool,
    due: Due,
}

/// Measures the work and the memory that its data needs, then removes the data.
async fn measure(
    environment: &Environment,
    jobs: usize,
    keys: &str,
    work: impl Future<Output = Result<()>>,
) -> Result<Sample> {
    let before = environment.server_memory().await?;
    let sample = environment.measure(jobs, work).await?;
    let after = environment.server_memory().await?;
    environment.remove_keys(keys).await?;
    Ok(sample.with(MEMORY, (after - before) / as_f64(jobs)))
}

struct Ours {
    state: Arc<dyn StateRole>,
    queue: QueueName,
    load: Load,
}

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let work = schedule(&self.state, &self.queue, environment.payload(), self.load);
        measure(environment, self.load.jobs, "q.scheduled", work).await
    }
}

/// Pushes scheduled jobs.
async fn schedule(state: &Arc<dyn StateRole>, queue: &QueueName, payload: Bytes, load: Load) -> Result<()> {
    let (state, queue, begun) = (Arc::clone(state), queue.clone(), Instant::now());
    let (tasks, batch) = if load.singly { (TASKS, 1) } else { (1, BATCH) };
    let operation = Arc::new(move |number: usize| {
        let numbers = number * batch..load.jobs.min((number + 1) * batch);
        let elapsed = Duration::from_millis(u64::try_from(begun.elapsed().as_millis()).unwrap_or(0));
        let job = |number| NewJob::new(payload.clone()).with_delay(load.due.delay(number, elapsed));
        let jobs: Vec<_> = numbers.map(job).collect();
        let (state, queue) = (Arc::clone(&state), queue.clone());
        async move { Ok(state.push(&queue, &jobs, Durability::Accepted).await.map(drop)?) }
    });
    from_tasks(tasks, 0..load.jobs.div_ceil(batch), &operation).await
}

/// The embedded store, with a new file each round.
struct File {
    load: Load,
    round: usize,
}

#[async_trait]
impl Side for File {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        self.round += 1;
        let path = environment.state_file().with_file_name(format!("scheduled-{}.redb", self.round));
        let state: Arc<dyn StateRole> =
            Arc::new(EmbeddedState::open(&path, ServiceName::new("bench")?, StateOptions::default())?);
        let empty = std::fs::metadata(&path)?.len();
        let queue = queue("scheduled")?;
        let work = schedule(&state, &queue, environment.payload(), self.load);
        let sample = environment.measure(self.load.jobs, work).await?;
        let bytes = usize::try_from(std::fs::metadata(&path)?.len().saturating_sub(empty))?;
        drop(state);
        std::fs::remove_file(path)?;
        Ok(sample.with(FILE, as_f64(bytes) / as_f64(self.load.jobs)))
    }
}

/// A sorted set of payloads, or of ids with the payloads in a hash. Jobs that are pushed singly have commands of their own, 50
/// under way.
struct Floor {
    wire: Wire,
    load: Load,
    has_record: bool,
}

#[async_trait]
impl Side for Floor {
    fn name(&self) -> &str {
        if self.has_record { "zset + hash" } else { INLINE }
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let payload = environment.payload();
        let (wire, has_record, load) = (&mut self.wire, self.has_record, self.load);
        let (step, size) = if load.singly { (TASKS, 1) } else { (BATCH, BATCH) };
        let work = async {
            let mut commands = Commands::default();
            for start in (0..load.jobs).step_by(step) {
                let end = load.jobs.min(start + step);
                for first in (start..end).step_by(size) {
                    add_batch(first..end.min(first + size), load.due, has_record, &payload, &mut commands);
                }
                wire.exchange(&mut commands).await?;
            }
            Ok(())
        };
        measure(environment, load.jobs, "floor:", work).await
    }
}

fn add_batch(numbers: std::ops::Range<usize>, due: Due, has_record: bool, payload: &Bytes, commands: &mut Commands) {
    // an id of this library's form has 36 bytes
    let ids: Vec<String> = numbers.clone().map(|number| format!("{number:036}")).collect();
    let millis = |number| 1_800_000_000_000 + due.delay(number, Duration::ZERO).as_millis();
    let due: Vec<String> = numbers.map(|number| millis(number).to_string()).collect();
    let members: Vec<Bytes> = if has_record {
        ids.iter().map(|id| Bytes::copy_from_slice(id.as_bytes())).collect()
    } else {
        ids.iter().map(|id| [id.as_bytes(), payload].concat().into()).collect()
    };
    let mut add: Vec<&[u8]> = vec![b"ZADD", b"floor:due"];
    add.extend(due.iter().zip(&members).flat_map(|(due, member)| [due.as_bytes(), member.as_ref()]));
    commands.add(add);
    if has_record {
        let mut set: Vec<&[u8]> = vec![b"HSET", b"floor:jobs"];
        set.extend(ids.iter().flat_map(|id| [id.as_bytes(), payload.as_ref()]));
        commands.add(set);
    }
}
