//! How much of the server's memory a scheduled job takes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{Durability, NewJob, QueueName, StateRole};

use crate::Result;
use crate::bed::{Bed, queue};
use crate::case::{Case, OURS, Plan, Side};
use crate::figure::{Bound, Figure, SERVER_MICROS, Sample, Target};
use crate::meter::as_f64;
use crate::wire::{Commands, Wire};

const MEMORY: Figure = Figure::new("server bytes/job", 0);
const BATCH: usize = 1000;

struct Scheduled {
    name: &'static str,
    jobs: usize,
}

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    vec![
        Box::new(Scheduled { name: "scheduled-200k", jobs: 200_000 }),
        Box::new(Scheduled { name: "scheduled-1m", jobs: 1_000_000 }),
    ]
}

#[async_trait]
impl Case for Scheduled {
    fn plan(&self) -> Plan {
        let plan = Plan::new(self.name, "memory of jobs of 200 bytes that are scheduled for later")
            .with_headline(MEMORY)
            .with_also(SERVER_MICROS)
            .without_warm_up();
        if self.jobs == 1_000_000 { plan.with_target(Target::new(MEMORY, Bound::AtMost(300.0))) } else { plan }
    }

    async fn open(&self, bed: &Bed) -> Result<Vec<Box<dyn Side>>> {
        let jobs = bed.size(self.jobs);
        Ok(vec![
            Box::new(Ours { state: bed.stores().await?.state, queue: queue("scheduled")?, jobs }),
            Box::new(Floor { wire: bed.wire().await?, jobs, has_record: false }),
            Box::new(Floor { wire: bed.wire().await?, jobs, has_record: true }),
        ])
    }
}

/// What the work costs, with what it leaves in memory; then removes that.
async fn measure(bed: &Bed, jobs: usize, keys: &str, work: impl Future<Output = Result<()>>) -> Result<Sample> {
    let before = bed.server_memory().await?;
    let sample = bed.measure(jobs, work).await?;
    let after = bed.server_memory().await?;
    bed.remove_keys(keys).await?;
    Ok(sample.with(MEMORY, (after - before) / as_f64(jobs)))
}

struct Ours {
    state: Arc<dyn StateRole>,
    queue: QueueName,
    jobs: usize,
}

#[async_trait]
impl Side for Ours {
    fn name(&self) -> &str {
        OURS
    }

    async fn round(&mut self, bed: &Bed) -> Result<Sample> {
        let payload = bed.payload();
        let work = async {
            for start in (0..self.jobs).step_by(BATCH) {
                let numbers = start..self.jobs.min(start + BATCH);
                let jobs: Vec<_> =
                    numbers.map(|number| NewJob::new(payload.clone()).with_delay(delay(number))).collect();
                let _ = self.state.push(&self.queue, &jobs, Durability::Accepted).await?;
            }
            Ok(())
        };
        measure(bed, self.jobs, "q.scheduled", work).await
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

    async fn round(&mut self, bed: &Bed) -> Result<Sample> {
        let payload = bed.payload();
        let (wire, has_record, jobs) = (&mut self.wire, self.has_record, self.jobs);
        let work = async {
            let mut commands = Commands::default();
            for start in (0..jobs).step_by(BATCH) {
                add_batch(start..jobs.min(start + BATCH), has_record, &payload, &mut commands);
                wire.exchange(&mut commands).await?;
            }
            Ok(())
        };
        measure(bed, jobs, "floor:", work).await
    }
}

fn add_batch(numbers: std::ops::Range<usize>, has_record: bool, payload: &Bytes, commands: &mut Commands) {
    // an id like ours takes 36 bytes
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
