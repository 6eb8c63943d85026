//! What one partition does in a transaction. The rules are those of the scripts in `crates/state-store/lua/topic/`.

use std::time::Duration;

use store_core::{
    EventBatch, Fence, GroupInfo, GroupName, HolderName, NewEvent, Op, PartitionInfo, PartitionLease, ReadOutcome,
    ReadRequest, SeekTo, Timestamp, TopicConfig, TopicName, millis_ceil,
};

use super::refused;
use super::rows::{Appended, Group, Head, Partition, tidy};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows};

/// Appends events and removes the oldest ones. Returns the number of the first.
pub(super) fn append(
    change: &mut Change<'_>,
    now: Moment,
    partition: &Partition,
    config: &TopicConfig,
    events: &[&NewEvent],
) -> Result<u64, Fault> {
    let mut head = partition.open(change, now)?;
    let appended = Appended { at: now.millis().max(head.at), before: head.bytes };
    let first = head.last + 1;
    for (number, event) in (first..).zip(events) {
        partition.put_event(change, number, appended, event)?;
    }
    let lasting = config.lasting_millis();
    let left = head.until.saturating_sub(now.millis_up());
    if head.first == first || left.saturating_mul(16) < lasting.saturating_mul(15) {
        head.until = now.millis_up().saturating_add(lasting);
    }
    if head.first == first {
        (head.first_at, head.before) = (appended.at, appended.before);
    }
    let bytes: usize = events.iter().map(|event| event.bytes()).sum();
    head.last = first + events.len() as u64 - 1;
    (head.bytes, head.at) = (head.bytes + bytes as u64, appended.at);
    move_first(change, partition, &mut head, first, appended.at, config)?;
    partition.put_head(change, &head)?;
    partition.remove_before(change, head.first, TopicConfig::MAX_REMOVED)?;
    tidy(change, now, TopicConfig::MAX_REMOVED)?;
    Ok(first)
}

/// Moves the oldest event behind those that exceed a bound at the time `at` (ms), unless no bound is exceeded by a sixteenth. Events from
/// `own` on stay. Returns whether it has moved.
fn move_first(
    rows: &mut impl Rows,
    partition: &Partition,
    head: &mut Head,
    own: u64,
    at: u64,
    config: &TopicConfig,
) -> Result<bool, Fault> {
    let (most, most_bytes, age) = (config.max_events, config.max_bytes, millis_ceil(config.max_age));
    let is_exceeded = |value: u64, bound: u64| value.saturating_mul(16) > bound.saturating_mul(17);
    let exceeds = is_exceeded(head.last + 1 - head.first, most)
        || is_exceeded(at - head.first_at, age)
        || is_exceeded(head.bytes - head.before, most_bytes);
    if !exceeds {
        return Ok(false);
    }
    let mut high = own.min(head.first + TopicConfig::MAX_REMOVED);
    let mut low = head.first.max((head.last + 1).saturating_sub(most)).min(high);
    while low < high {
        let middle = (low + high) / 2;
        let appended = partition.appended(rows, middle)?;
        if appended.is_some_and(|event| at - event.at > age || head.bytes - event.before > most_bytes) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if low > head.first {
        let appended = partition.appended(rows, low)?.unwrap_or(Appended { at: head.at, before: head.bytes });
        (head.first, head.first_at, head.before) = (low, appended.at, appended.before);
        return Ok(true);
    }
    Ok(false)
}

/// The head of a partition and a group, which may both be new, and then are not written yet. A new group begins with the oldest
/// event.
fn open_group(
    change: &mut Change<'_>,
    now: Moment,
    op: Op,
    partition: &Partition,
    config: &TopicConfig,
    name: &GroupName,
) -> Result<(Head, Group), Fault> {
    let mut head = partition.open(change, now)?;
    if head.until == 0 {
        head.until = now.millis_up().saturating_add(config.lasting_millis());
    }
    if let Some(group) = partition.group(change, name)? {
        return Ok((head, group));
    }
    if partition.count_groups(change)? >= TopicConfig::MAX_GROUPS {
        return refused(op, format!("the topic has {} groups, and may not have more", TopicConfig::MAX_GROUPS));
    }
    let cursor = head.first - 1;
    Ok((head, Group { cursor, ..Group::default() }))
}

/// Takes or renews the lease of a partition, and reads events.
pub(super) fn read(
    change: &mut Change<'_>,
    now: Moment,
    config: &TopicConfig,
    request: &ReadRequest,
) -> Result<ReadOutcome, Fault> {
    let partition = Partition::new(&request.topic, request.partition);
    let (head, mut group) = open_group(change, now, Op::TopicRead, &partition, config, &request.group)?;
    // Also those of a partition that has expired: nobody may append again.
    partition.remove_before(change, head.first, TopicConfig::MAX_REMOVED)?;
    let is_own = group.fence > 0 && group.holder == *request.request.as_bytes();
    let mut is_wished = group.wish_until > now.millis();
    if !is_own && group.until > now.millis() {
        if !is_wished || request.holding < group.wish {
            (group.wish, group.wish_until) = (request.holding, now.after(ReadRequest::ASKED_FOR));
            partition.put_group(change, &request.group, &group)?;
            change.effects.notify(super::watched(&request.topic, request.partition));
        }
        let until = Timestamp::from_millis(group.until);
        return Ok(ReadOutcome::Taken { by: Some(holder(&group)?), until });
    }
    if !is_own && is_wished && request.holding > group.wish {
        return Ok(ReadOutcome::Taken { by: None, until: Timestamp::from_millis(group.wish_until) });
    }
    let (left, lease) = (group.until.saturating_sub(now.millis()), millis_ceil(request.lease));
    if !is_own || left.saturating_mul(3) < lease.saturating_mul(2) || left > lease {
        if !is_own {
            group.fence = now.micros().max(group.fence + 1);
            (group.holder, group.wish_until) = (*request.request.as_bytes(), 0);
            group.name = request.consumer.as_str().to_owned();
            is_wished = false;
        }
        group.until = now.after(request.lease);
        partition.put_head(change, &head)?;
        partition.put_group(change, &request.group, &group)?;
    }
    let from = head.first.max(group.cursor + 1);
    let lease =
        PartitionLease::new(request.topic.clone(), request.partition, request.group.clone(), Fence::new(group.fence));
    let remaining = Duration::from_millis(group.until.saturating_sub(now.millis()));
    let mut batch = EventBatch::new(lease, Timestamp::from_millis(group.until), remaining);
    batch.wanted = is_wished.then_some(group.wish);
    (batch.truncated, batch.lag) = (from - group.cursor - 1, head.last + 1 - from);
    batch.events = partition.events(change, from, request.max as usize)?;
    batch.lease.read = batch.events.last().map(|event| (event.id.number, event.appended));
    Ok(ReadOutcome::Events(batch))
}

fn holder(group: &Group) -> Result<HolderName, Fault> {
    HolderName::new(&group.name).map_err(|_| Fault::Corrupt("the name of a consumer is not valid"))
}

/// The head and the group, if this is its last lease.
fn held(
    rows: &mut impl Rows,
    now: Moment,
    partition: &Partition,
    lease: &PartitionLease,
) -> Result<Option<(Head, Group)>, Fault> {
    let Some(head) = partition.head(rows, now)? else { return Ok(None) };
    let group = partition.group(rows, &lease.group)?.filter(|group| group.fence == lease.fence.get());
    Ok(group.map(|group| (head, group)))
}

/// Moves the cursor to the event `number`, if it is behind it, and removes the oldest events. Returns whether the lease is the last one.
pub(super) fn acknowledge(
    change: &mut Change<'_>,
    now: Moment,
    partition: &Partition,
    lease: &PartitionLease,
    number: u64,
    config: &TopicConfig,
) -> Result<bool, Fault> {
    let Some((mut head, mut group)) = held(change, now, partition, lease)? else { return Ok(false) };
    group.cursor = group.cursor.max(number.min(head.last));
    partition.put_group(change, &lease.group, &group)?;
    let (own, at) = (head.last + 1, now.millis().max(head.at));
    if move_first(change, partition, &mut head, own, at, config)? {
        partition.put_head(change, &head)?;
        partition.remove_before(change, head.first, TopicConfig::MAX_REMOVED)?;
    }
    Ok(true)
}

/// Ends the lease, if it is the last one.
pub(super) fn release(
    change: &mut Change<'_>,
    now: Moment,
    partition: &Partition,
    lease: &PartitionLease,
) -> Result<(), Fault> {
    let Some((_, mut group)) = held(change, now, partition, lease)? else { return Ok(()) };
    (group.until, group.holder) = (0, [0; 16]);
    partition.put_group(change, &lease.group, &group)
}

/// Moves the cursor of a group, and ends the lease.
pub(super) fn seek(
    change: &mut Change<'_>,
    now: Moment,
    partition: &Partition,
    config: &TopicConfig,
    name: &GroupName,
    to: SeekTo,
) -> Result<(), Fault> {
    let (head, mut group) = open_group(change, now, Op::TopicSeek, partition, config, name)?;
    let (mut low, mut high) = (head.first, head.last + 1);
    match to {
        SeekTo::Start => {}
        SeekTo::End => low = high,
        SeekTo::Event(id) => low = id.number.clamp(low, high),
        SeekTo::Time(time) => {
            while low < high {
                let middle = (low + high) / 2;
                match partition.appended(change, middle)? {
                    Some(event) if event.at < time.as_millis() => low = middle + 1,
                    _ => high = middle,
                }
            }
        }
        _ => return refused(Op::TopicSeek, "this version cannot move a group there"),
    }
    group.cursor = low - 1;
    group.fence = now.micros().max(group.fence + 1);
    (group.until, group.holder) = (0, [0; 16]);
    partition.put_head(change, &head)?;
    partition.put_group(change, name, &group)
}

/// The state of a partition.
pub(super) fn inspect(
    rows: &mut impl Rows,
    now: Moment,
    topic: &TopicName,
    number: u16,
) -> Result<PartitionInfo, Fault> {
    let partition = Partition::new(topic, number);
    let Some(head) = partition.head(rows, now)? else {
        return Ok(PartitionInfo::new(number, 0, 0, 0, Timestamp::default()));
    };
    let (bytes, oldest) = (head.bytes - head.before, Timestamp::from_millis(head.first_at));
    let mut info = PartitionInfo::new(number, head.first, head.last, bytes, oldest);
    for (name, group) in partition.groups(rows)? {
        let mut shown = GroupInfo::new(name, group.cursor, Fence::new(group.fence), head.first, head.last);
        if group.until > now.millis() {
            shown.holder = Some(holder(&group)?);
            shown.until = Some(Timestamp::from_millis(group.until));
        }
        info.groups.push(shown);
    }
    Ok(info)
}
