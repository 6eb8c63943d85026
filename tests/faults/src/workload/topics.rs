//! Producers of a topic, and the consumers of two groups.

use std::time::Duration;

use twinstore::name::{HolderName, Key, RequestId};
use twinstore::topic::{EventBatch, GroupName, NewEvent, ReadOutcome, ReadRequest, TopicConfig, TopicName};
use twinstore::{Error, ErrorKind};

use super::{Actor, Times};
use crate::recorded::{Client, retry};

/// The groups whose consumers read the topic during the run.
pub(crate) const READERS: [&str; 2] = ["billing", "search"];

const PARTITIONS: u16 = 2;

/// How long a consumer holds a partition after the run.
const LAST_LEASE: Duration = Duration::from_secs(5);

pub(super) fn topic() -> TopicName {
    TopicName::new("events").expect("a valid name")
}

/// How many events a partition retains in a soak.
const SOAK_EVENTS: u64 = 200;

pub(super) async fn declare(client: &Client, times: Times) -> Result<TopicConfig, Error> {
    let config = TopicConfig::default().with_partitions(PARTITIONS);
    let config = if times.is_soak { config.with_max_events(SOAK_EVENTS) } else { config };
    client.topics.declare(&topic(), &config).await
}

/// Appends events with keys of its own: single ones, and several of one key.
pub(crate) async fn append(mut actor: Actor) {
    let name = actor.client.recorder.name().replace('/', "-");
    let mut count = 0_u64;
    let mut is_declared = false;
    while actor.pause(Duration::from_millis(100)).await {
        if !is_declared {
            is_declared = declare(&actor.client, actor.times).await.is_ok();
            continue;
        }
        let key = Key::new(format!("{name}-{}", actor.random.u32(0..4))).expect("a valid key");
        let events = if actor.chance(70) { 1 } else { actor.random.usize(2..20) };
        let events: Vec<_> = (0..events)
            .map(|_| {
                count += 1;
                NewEvent::new(format!("{name}-{count}")).with_key(key.clone())
            })
            .collect();
        let appended = actor.client.topics.append(&topic(), &events, actor.client.durability).await;
        // a failover may have lost the declaration
        is_declared = !appended.is_err_and(|error| error.kind() == ErrorKind::InvalidArgument);
    }
}

/// Reads and acknowledges; keeps partitions, gives them back, loses them, acknowledges too late and only a part.
pub(crate) async fn consume(mut actor: Actor, group: &str) {
    let topics = actor.client.topics.clone();
    let consumer = HolderName::new(actor.client.recorder.name()).expect("a valid name");
    let group = GroupName::new(group).expect("a valid name");
    let mut identity = RequestId::generate();
    drop(declare(&actor.client, actor.times).await);
    while actor.pause(Duration::from_millis(80)).await {
        let partition = actor.random.u16(0..PARTITIONS);
        if actor.chance(5) {
            // as if it had started again: its own leases are those of another consumer
            identity = RequestId::generate();
        }
        let request = ReadRequest::new(topic(), partition, group.clone(), consumer.clone());
        let request = request.with_request(identity).with_lease(actor.lasting(300..1500));
        let request = request.with_max(actor.random.u32(1..30));
        if let Ok(ReadOutcome::Events(batch)) = topics.read(&request).await {
            deal_with(&mut actor, &batch).await;
        }
    }
}

async fn deal_with(actor: &mut Actor, batch: &EventBatch) {
    let (topics, durability) = (actor.client.topics.clone(), actor.client.durability);
    let numbers: Vec<u64> = batch.events.iter().map(|event| event.id.number).collect();
    if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
        let number = match actor.random.u32(0..100) {
            // as if the process had died
            0..15 => return,
            15..30 => u64::midpoint(*first, *last),
            30..40 => {
                actor.pause(Duration::from_millis(1000)).await;
                *last
            }
            _ => *last,
        };
        let acknowledged = topics.acknowledge(&batch.lease, number, durability).await;
        if acknowledged.is_err() && actor.chance(50) {
            drop(topics.acknowledge(&batch.lease, number, durability).await);
        }
    }
    if actor.chance(20) {
        drop(topics.release(&batch.lease).await);
    }
}

/// After the run: one more group reads the whole topic, then each other group reads what it has not acknowledged.
pub(crate) async fn read_to_the_end(client: &Client) -> Result<(), Error> {
    retry(async || declare(client, Times { is_soak: false }).await).await?;
    for group in [crate::AUDIT].into_iter().chain(READERS) {
        for partition in 0..PARTITIONS {
            let consumer = HolderName::new(client.recorder.name()).expect("a valid name");
            let group = GroupName::new(group).expect("a valid name");
            let request = ReadRequest::new(topic(), partition, group, consumer).with_lease(LAST_LEASE);
            loop {
                let outcome = retry(async || client.topics.read(&request).await).await?;
                let ReadOutcome::Events(batch) = outcome else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let Some(last) = batch.last() else { break };
                let _ = retry(async || client.topics.acknowledge(&batch.lease, last, client.durability).await).await?;
            }
        }
    }
    Ok(())
}
