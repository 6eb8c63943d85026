//! How much memory of the server a scheduled job needs.

use std::sync::Arc;
use std::time::Duration;

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

/// Bytes of the embedded store's file.
const FILE: Figure = Figure::new("file bytes/job", 0);

struct Scheduled {
    name: &'static str,
    jobs: usize,
    /// Pushed 1,000 at a time, or one at a time by 50 tasks.
    singly: bool,
    engine: Engine,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    let redis = |name, jobs, singly| Scheduled { name, jobs, singly, engine: Engine::Redis };
    let all = [
        redis("scheduled-200k", 200_000, false),
        redis("scheduled-1m", 1_000_000, false),
        redis("scheduled-singly", 100_000, true),
        Scheduled { name: "scheduled-200k", jobs: 200_000, singly: false, engine: Engine::EmbeddedFile },
    ];
    all.map(|case| Box::new(case) as Box<dyn Case>).into()
}

#[async_trait]
impl Case for Scheduled {
    fn plan(&self) -> Plan {
        let about = if self.singly {
            "memory of jobs of 200 bytes that are scheduled for later, pushed one at a time from 50 tasks"
        } else {
            "what jobs of 200 bytes take that are scheduled for later, pushed 1,000 at a time"
        };
        let plan = Plan::new(self.name, about).without_warm_up();
        if self.engine != Engine::Redis {
            return plan.on(self.engine).with_headline(FILE);
        }
        let plan = plan.with_headline(MEMORY).with_also(SERVER_MICROS);
        if self.jobs == 1_000_000 { plan.with_target(Target::new(MEMORY, Bound::AtMost(300.0))) } else { plan }
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let jobs = environment.size(self.jobs);
        if self.engine != Engine::Redis {
            return Ok(vec![Box::new(File { jobs, round: 0 })]);
        }
        let state = environment.stores().await?.state;
        Ok(vec![
            Box::new(Ours { state, queue: queue("scheduled")?, jobs, singly: self.singly }),
            Box::new(Floor { wire: environment.wire().await?, jobs, has_record: false }),
            Box::new(Floor { wire: environment.wire().await?, jobs, has_record: true }),
        ])
    }
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
    jobs: usize,
    singly: bool,
}

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let (tasks, batch) = if self.singly { (50, 1) } else { (1, BATCH) };
        let work = schedule(&self.state, &self.queue, environment.payload(), self.jobs, (tasks, batch));
        measure(environment, self.jobs, "q.scheduled", work).await
    }
}

/// Pushes scheduled jobs from several tasks, in batches.
async fn schedule(
    state: &Arc<dyn StateRole>,
    queue: &QueueName,
    payload: Bytes,
    count: usize,
    (tasks, batch): (usize, usize),
) -> Result<()> {
    let (state, queue) = (Arc::clone(state), queue.clone());
    let operation = Arc::new(move |number: usize| {
        let numbers = number * batch..count.min((number + 1) * batch);
        let jobs: Vec<_> = numbers.map(|number| NewJob::new(payload.clone()).with_delay(delay(number))).collect();
        let (state, queue) = (Arc::clone(&state), queue.clone());
        async move { Ok(state.push(&queue, &jobs, Durability::Accepted).await.map(drop)?) }
    });
    from_tasks(tasks, 0..count.div_ceil(batch), &operation).await
}

/// The embedded store, with a new file each round.
struct File {
    jobs: usize,
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
        let work = schedule(&state, &queue, environment.payload(), self.jobs, (1, BATCH));
        let sample = environment.measure(self.jobs, work).await?;
        let bytes = usize::try_from(std::fs::metadata(&path)?.len().saturating_sub(empty))?;
        drop(state);
        std::fs::remove_file(path)?;
        Ok(sample.with(FILE, as_f64(bytes) / as_f64(self.jobs)))
    }
}

/// Between an hour and two.
fn delay(number: usize) -> Duration {
    Duration::from_millis(3_600_000 + (number as u64 * 7919) % 3_600_000)
}

/// A sorted set of payloads, or of ids with the payloads in a hash.
struct Floor {
    wire: Wire,
    jobs: usize,
    has_record: bool,
}

#[async_trait]
impl Side for Floor {
    fn name(&self) -> &str {
        if self.has_record { "zset + hash" } else { "zset inline" }
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let payload = environment.payload();
        let (wire, has_record, jobs) = (&mut self.wire, self.has_record, self.jobs);
        let work = async {
            let mut commands = Commands::default();
            for start in (0..jobs).step_by(BATCH) {
                add_batch(start..jobs.min(start + BATCH), has_record, &payload, &mut commands);
                wire.exchange(&mut commands).await?;
            }
            Ok(())
        };
        measure(environment, jobs, "floor:", work).await
    }
}

fn add_batch(numbers: std::ops::Range<usize>, has_record: bool, payload: &Bytes, commands: &mut Commands) {
    // an id of this library's form has 36 bytes
    let ids: Vec<String> = numbers.clone().map(|number| format!("{number:036}")).collect();
    let due: Vec<String> = numbers.map(|number| (1_800_000_000_000 + delay(number).as_millis()).to_string()).collect();
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
