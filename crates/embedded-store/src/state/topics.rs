//! Topics.

mod partition;
mod rows;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use store_core::{
    Durability, Error, EventId, GroupName, Key, NewEvent, Op, PartitionInfo, PartitionLease, ReadOutcome, ReadRequest,
    Receipt, Result, SeekTo, TopicConfig, TopicName, Topics, validate_events,
};

use self::partition::{acknowledge, append, inspect, read, release, seek};
pub(super) use self::rows::next_topic;
use self::rows::{Partition, config_of, put_config};
use super::EmbeddedState;
use crate::database::Operation;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, View};

/// Selects the partition of the next append without a key.
static TURN: AtomicUsize = AtomicUsize::new(0);

fn refused<T>(op: Op, detail: impl Into<std::borrow::Cow<'static, str>>) -> Result<T, Fault> {
    Err(Fault::Refused(Error::invalid_argument(op, detail)))
}

/// Why nothing can be written to the topic.
fn not_declared(topic: &TopicName) -> String {
    format!("the topic `{topic}` was not declared")
}

/// The configuration of a topic that was declared.
fn declared(rows: &mut impl Rows, op: Op, topic: &TopicName) -> Result<TopicConfig, Fault> {
    match config_of(rows, topic)? {
        Some(config) => Ok(config),
        None => refused(op, not_declared(topic)),
    }
}

/// A partition of a topic that was declared, and its configuration.
fn partition_of(
    rows: &mut impl Rows,
    op: Op,
    topic: &TopicName,
    partition: u16,
) -> Result<(TopicConfig, Partition), Fault> {
    let config = declared(rows, op, topic)?;
    if partition >= config.partitions {
        return refused(op, "the topic does not have this partition");
    }
    Ok((config, Partition::new(topic, partition)))
}

/// The partition of all events with this key, the same in all versions.
fn routed(key: &Key, partitions: u16) -> u16 {
    // Less than the number of partitions.
    (crc32fast::hash(key.as_str().as_bytes()) % u32::from(partitions)) as u16
}

/// A partition, among all that can be watched.
pub(super) fn watched(topic: &TopicName, partition: u16) -> Vec<u8> {
    [b"t", &partition.to_be_bytes()[..], topic.as_str().as_bytes()].concat()
}

/// Appends the event of an entry of an outbox, or returns why the topic refuses.
pub(super) fn deliver(
    change: &mut Change<'_>,
    now: Moment,
    topic: &TopicName,
    event: &NewEvent,
    turn: usize,
) -> Result<Result<(), String>, Fault> {
    if config_of(change, topic)?.is_none() {
        return Ok(Err(not_declared(topic)));
    }
    append_all(change, now, topic, std::slice::from_ref(event), turn).map(|_| Ok(()))
}

/// Appends events to their partitions. Returns their ids. `turn` selects the partition of events without a key.
fn append_all(
    change: &mut Change<'_>,
    now: Moment,
    topic: &TopicName,
    events: &[NewEvent],
    turn: usize,
) -> Result<Vec<EventId>, Fault> {
    let config = declared(change, Op::TopicAppend, topic)?;
    let turn = (turn % usize::from(config.partitions)) as u16;
    let mut parts = BTreeMap::<u16, Vec<usize>>::new();
    for (index, event) in events.iter().enumerate() {
        let partition = event.key.as_ref().map_or(turn, |key| routed(key, config.partitions));
        parts.entry(partition).or_default().push(index);
    }
    let mut ids = vec![EventId::new(0, 0); events.len()];
    for (partition, indices) in parts {
        let of_partition: Vec<&NewEvent> = indices.iter().map(|index| &events[*index]).collect();
        let first = append(change, now, &Partition::new(topic, partition), &config, &of_partition)?;
        change.effects.notify(watched(topic, partition));
        for (number, index) in (first..).zip(indices) {
            ids[index] = EventId::new(partition, number);
        }
    }
    Ok(ids)
}

#[async_trait]
impl Topics for EmbeddedState {
    async fn declare(&self, topic: &TopicName, config: &TopicConfig) -> Result<TopicConfig> {
        config.validate()?;
        let (topic, config, op) = (topic.clone(), config.clone(), Op::TopicDeclare);
        let apply = move |change: &mut Change<'_>| {
            match config_of(change, &topic)? {
                Some(recorded) if recorded.partitions != config.partitions => {
                    let (found, declared) = (recorded.partitions, config.partitions);
                    let remedy = format!("declare {found}, or use another name");
                    return refused(op, format!("the topic has {found} partitions, not {declared}; {remedy}"));
                }
                Some(recorded) if recorded == config => {}
                _ => put_config(change, &topic, &config)?,
            }
            Ok(config.clone())
        };
        self.database.write(op, apply).await
    }

    async fn append(
        &self,
        topic: &TopicName,
        events: &[NewEvent],
        durability: Durability,
    ) -> Result<Receipt<Vec<EventId>>> {
        validate_events(events)?;
        let op = Op::TopicAppend;
        let reached = self.database.reach(op, durability)?;
        let (clock, topic, events) = (self.options.clock.clone(), topic.clone(), events.to_vec());
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let apply = move |change: &mut Change<'_>| append_all(change, Moment::now(&clock), &topic, &events, turn);
        Ok(Receipt::new(self.database.write(Operation::adding(op), apply).await?, reached))
    }

    async fn read(&self, request: &ReadRequest) -> Result<ReadOutcome> {
        let (op, clock, request) = (Op::TopicRead, self.options.clock.clone(), request.clone());
        let apply = move |change: &mut Change<'_>| {
            let config = declared(change, op, &request.topic)?;
            request.validate(config.partitions).map_err(Fault::Refused)?;
            read(change, Moment::now(&clock), &config, &request)
        };
        self.database.write(op, apply).await
    }

    async fn acknowledge(&self, lease: &PartitionLease, number: u64, durability: Durability) -> Result<Receipt<bool>> {
        let op = Op::TopicAcknowledge;
        let reached = self.database.reach(op, durability)?;
        let (clock, lease) = (self.options.clock.clone(), lease.clone());
        let apply = move |change: &mut Change<'_>| {
            let (config, partition) = partition_of(change, op, &lease.topic, lease.partition)?;
            acknowledge(change, Moment::now(&clock), &partition, &lease, number, &config)
        };
        Ok(Receipt::new(self.database.write(op, apply).await?, reached))
    }

    async fn release(&self, lease: &PartitionLease) -> Result<()> {
        let (op, clock, lease) = (Op::TopicRelease, self.options.clock.clone(), lease.clone());
        let apply = move |change: &mut Change<'_>| {
            let (_, partition) = partition_of(change, op, &lease.topic, lease.partition)?;
            release(change, Moment::now(&clock), &partition, &lease)
        };
        self.database.write(op, apply).await
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        let (op, clock, topic, group) = (Op::TopicSeek, self.options.clock.clone(), topic.clone(), group.clone());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            if let SeekTo::Event(id) = to {
                let (config, partition) = partition_of(change, op, &topic, id.partition)?;
                return seek(change, now, &partition, &config, &group, to);
            }
            let config = declared(change, op, &topic)?;
            (0..config.partitions)
                .try_for_each(|number| seek(change, now, &Partition::new(&topic, number), &config, &group, to))
        };
        self.database.write(op, apply).await
    }

    async fn inspect(&self, topic: &TopicName) -> Result<Vec<PartitionInfo>> {
        let (op, clock, topic) = (Op::TopicInspect, self.options.clock.clone(), topic.clone());
        let look = move |view: &mut View<'_>| {
            let (config, now) = (declared(view, op, &topic)?, Moment::now(&clock));
            (0..config.partitions).map(|number| inspect(view, now, &topic, number)).collect()
        };
        self.database.read(op, look).await
    }

    async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<()> {
        let (op, topic, group) = (Op::TopicRemoveGroup, topic.clone(), group.clone());
        let apply = move |change: &mut Change<'_>| {
            let config = declared(change, op, &topic)?;
            (0..config.partitions).try_for_each(|number| Partition::new(&topic, number).remove_group(change, &group))
        };
        self.database.write(op, apply).await
    }
}
