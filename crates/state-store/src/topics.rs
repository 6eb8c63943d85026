//! Topics: for each partition one stream of events and one hash of groups.

mod acknowledge;
mod deliver;
mod entry;
mod shape;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use redis_link::layout::{self, Aggregate};
use redis_link::{Arg, Link, ReplyReader, Script, SharedScript, SizeSeen, args};
use store_core::{
    Durability, Error, EventBatch, EventId, Fence, GroupInfo, GroupName, HolderName, NewEvent, Op, PartitionInfo,
    PartitionLease, Reached, ReadOutcome, ReadRequest, Receipt, Result, SeekTo, Timestamp, TopicConfig, TopicName,
    Topics, millis_ceil, validate_events,
};

use self::shape::{TopicShape, TopicShapes};
use crate::queue::lower;
use crate::{StateStore, notifications, store::ONCE};

const RECORD: &str = include_str!("../lua/topic/record.lua");
const GROUPS: &str = include_str!("../lua/topic/groups.lua");
const HOLDING: &str = include_str!("../lua/topic/holding.lua");
const TRIMMING: &str = include_str!("../lua/topic/trimming.lua");

static DECLARE: Script =
    Script::frees("topic/declare", &[layout::PIECE, ONCE, include_str!("../lua/topic/declare.lua")]);
static APPEND: Script = Script::adds(
    "topic/append",
    &[
        layout::PIECE,
        RECORD,
        TRIMMING,
        include_str!("../lua/topic/appending.lua"),
        notifications::PIECE,
        include_str!("../lua/topic/append.lua"),
    ],
);
static READ: Script = Script::frees(
    "topic/read",
    &[
        layout::PIECE,
        RECORD,
        GROUPS,
        notifications::PIECE,
        include_str!("../lua/topic/reading.lua"),
        include_str!("../lua/topic/read.lua"),
    ],
);
static ACKNOWLEDGE: Script = Script::frees(
    "topic/acknowledge",
    &[layout::PIECE, RECORD, HOLDING, TRIMMING, include_str!("../lua/topic/acknowledge.lua")],
);
static RELEASE: Script =
    Script::frees("topic/release", &[layout::PIECE, RECORD, HOLDING, include_str!("../lua/topic/release.lua")]);
static SEEK: Script =
    Script::frees("topic/seek", &[layout::PIECE, ONCE, RECORD, GROUPS, include_str!("../lua/topic/seek.lua")]);
static INSPECT: Script =
    Script::reads("topic/inspect", &[layout::PIECE, RECORD, include_str!("../lua/topic/inspect.lua")]);
static REMOVE_GROUP: Script =
    Script::frees("topic/remove_group", &[layout::PIECE, ONCE, RECORD, include_str!("../lua/topic/remove_group.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 9] =
    [&DECLARE, &APPEND, &READ, &ACKNOWLEDGE, &RELEASE, &SEEK, &INSPECT, &REMOVE_GROUP, &deliver::DELIVER];

/// The calls of all tasks, and the topics that this process has used.
pub(crate) struct TopicCalls {
    append: SharedScript,
    read: SharedScript,
    acknowledge: SharedScript,
    release: SharedScript,
    /// The sizes of the batches that `read` returned.
    batches: SizeSeen,
    shapes: TopicShapes,
}

impl TopicCalls {
    pub(crate) fn new(link: &Link) -> Self {
        let layouts = link.layouts().argument(Aggregate::Topic);
        let margin = millis_ceil(link.collection_margin());
        let publish = notifications::publish_command(link);
        let append = args![layouts.clone(), margin, publish.clone()];
        let asked_for = millis_ceil(ReadRequest::ASKED_FOR);
        let read = args![layouts.clone(), margin, asked_for, TopicConfig::MAX_GROUPS, publish];
        Self {
            append: SharedScript::new(link, Op::TopicAppend, &APPEND, append),
            read: SharedScript::new(link, Op::TopicRead, &READ, read),
            acknowledge: SharedScript::new(link, Op::TopicAcknowledge, &ACKNOWLEDGE, args![layouts.clone()]),
            release: SharedScript::new(link, Op::TopicRelease, &RELEASE, args![layouts]),
            batches: SizeSeen::default(),
            shapes: TopicShapes::default(),
        }
    }
}

/// `append` is one script for each partition, `read`, `acknowledge` and `release` one script, in one round trip; concurrent calls of
/// one operation with the same durability are coalesced. The events of a coalesced `read` have about 1 MiB together; a call that got none
/// because of that is sent again alone. `seek`, `inspect` and `remove_group` are one script for each partition.
/// The first use of a topic takes one round trip more, which reads its configuration. An `acknowledge` that finds a bound exceeded takes
/// two more: it reads the configuration again, which another process may have changed, and removes events. Only `append` is refused if
/// the server's memory is full; `acknowledge` removes what the topic need not retain, so consumers drain such a server.
#[async_trait]
impl Topics for StateStore {
    async fn declare(&self, topic: &TopicName, config: &TopicConfig) -> Result<TopicConfig> {
        config.validate()?;
        let shape = self.recorded_topic(Op::TopicDeclare, topic, Some(config)).await?;
        let recorded = shape.map(|shape| shape.config.clone()).unwrap_or_else(|| config.clone());
        if recorded.partitions == config.partitions {
            return Ok(recorded);
        }
        let (found, declared) = (recorded.partitions, config.partitions);
        let detail = format!("the topic has {found} partitions, not {declared}; declare {found}, or use another name");
        Err(Error::invalid_argument(Op::TopicDeclare, detail))
    }

    async fn append(
        &self,
        topic: &TopicName,
        events: &[NewEvent],
        durability: Durability,
    ) -> Result<Receipt<Vec<EventId>>> {
        validate_events(events)?;
        let shape = self.topic(Op::TopicAppend, topic).await?;
        let parts = self.parts(&shape, events);
        let calls =
            parts.iter().map(|(partition, indices)| self.append_to(&shape, *partition, events, indices, durability));
        let (mut ids, mut lowest) = (vec![EventId::new(0, 0); events.len()], None::<Reached>);
        let (mut failed, mut not_durable, mut is_answered) = (None, None, false);
        for ((partition, indices), answer) in parts.iter().zip(join_all(calls).await) {
            match answer {
                Ok((first, reached, reply)) => {
                    let last = (first + indices.len() as u64).saturating_sub(1);
                    reply
                        .record_write(topic.as_str(), |write| write.with_part(partition.to_string()).with_number(last));
                    is_answered = true;
                    for (number, index) in (first..).zip(indices) {
                        ids[*index] = EventId::new(*partition, number);
                    }
                    match reached {
                        Ok(reached) => lowest = Some(lowest.map_or(reached, |lowest| lower(lowest, reached))),
                        Err(error) => not_durable = Some(error),
                    }
                }
                Err(error @ Error::Indeterminate { .. }) => failed = Some(error),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        match (failed, not_durable) {
            (Some(error), _) if is_answered => {
                let detail = format!("other partitions have appended their events: {error}");
                Err(Error::indeterminate(Op::TopicAppend, detail))
            }
            (Some(error), _) | (None, Some(error)) => Err(error),
            (None, None) => Ok(Receipt::new(ids, lowest.unwrap_or_default())),
        }
    }

    async fn read(&self, request: &ReadRequest) -> Result<ReadOutcome> {
        let shape = self.topic(Op::TopicRead, &request.topic).await?;
        request.validate(shape.config.partitions)?;
        let expected = self.calls.topics.batches.expected();
        let outcome = self.read_partition(&shape, request, expected).await?;
        // Other reads of a coalesced call may have used up its bytes.
        if expected < SharedScript::ALONE
            && request.max > 0
            && matches!(&outcome, ReadOutcome::Events(batch) if batch.events.is_empty() && batch.lag > 0)
        {
            return self.read_partition(&shape, request, SharedScript::ALONE).await;
        }
        Ok(outcome)
    }

    async fn acknowledge(&self, lease: &PartitionLease, number: u64, durability: Durability) -> Result<Receipt<bool>> {
        self.acknowledge_events(lease, number, durability).await
    }

    async fn release(&self, lease: &PartitionLease) -> Result<()> {
        let shape = self.topic(Op::TopicRelease, &lease.topic).await?;
        let keys = vec![shape.keys_of(Op::TopicRelease, lease.partition)?.groups.clone()];
        let args = args![lease.group.as_str(), lease.fence.get()];
        let mut reply = self.calls.topics.release.call(keys, args, 0).await?;
        match reply.next_word()?.as_ref() {
            b"released" => record(lease, &reply),
            b"superseded" => {}
            _ => return Err(reply.unknown_word()),
        }
        Ok(())
    }

    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()> {
        let op = Op::TopicSeek;
        let shape = self.topic(op, topic).await?;
        let (word, number, only) = match to {
            SeekTo::Start => ("start", 0, None),
            SeekTo::End => ("end", 0, None),
            SeekTo::Event(id) => ("event", id.number, Some(id.partition)),
            SeekTo::Time(time) => ("time", time.as_millis(), None),
            _ => return Err(Error::invalid_argument(op, "this version cannot move a group there")),
        };
        let margin = millis_ceil(self.link.collection_margin());
        let (most, lasting) = (TopicConfig::MAX_GROUPS, shape.config.lasting_millis());
        let remembered = self.remembered_arg(Durability::Accepted);
        let args = args![self.topic_layouts(), margin, most, lasting, group.as_str(), word, number, remembered];
        let partitions = match only {
            Some(partition) => vec![shape.keys_of(op, partition)?],
            None => shape.all().collect(),
        };
        let calls = partitions.into_iter().map(|keys| {
            let keys = vec![keys.events.clone(), keys.groups.clone(), keys.call(fastrand::u64(..))];
            self.change_group(op, (topic, group), &SEEK, keys, args.clone())
        });
        try_join_all(calls).await.map(drop)
    }

    async fn inspect(&self, topic: &TopicName) -> Result<Vec<PartitionInfo>> {
        let shape = self.topic(Op::TopicInspect, topic).await?;
        let calls = (0..shape.config.partitions).map(|partition| self.inspect_partition(&shape, partition));
        try_join_all(calls).await
    }

    async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<()> {
        let op = Op::TopicRemoveGroup;
        let shape = self.topic(op, topic).await?;
        let calls = shape.all().map(|keys| {
            let args = args![self.topic_layouts(), group.as_str(), self.remembered_arg(Durability::Accepted)];
            let keys = vec![keys.groups.clone(), keys.call(fastrand::u64(..))];
            self.change_group(op, (topic, group), &REMOVE_GROUP, keys, args)
        });
        try_join_all(calls).await.map(drop)
    }
}

impl StateStore {
    fn topic_layouts(&self) -> Arg {
        self.link.layouts().argument(Aggregate::Topic)
    }

    /// Calls a script that answers with one word.
    async fn change_group(
        &self,
        op: Op,
        (topic, group): (&TopicName, &GroupName),
        script: &Script,
        keys: Vec<String>,
        args: Vec<Arg>,
    ) -> Result<()> {
        let mut reply = self.link.call(op, script, &keys, args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"moved" | b"removed" => reply.record_write(topic.as_str(), |write| write.with_part(group.as_str())),
            _ => return Err(reply.unknown_word()),
        }
        Ok(())
    }

    async fn inspect_partition(&self, shape: &TopicShape, partition: u16) -> Result<PartitionInfo> {
        let (op, args) = (Op::TopicInspect, args![self.topic_layouts()]);
        let reply = self.link.call(op, &INSPECT, &[&shape.keys(partition).groups], args).await?.reader(op);
        partition_info(op, partition, reply)
    }

    /// `bytes`: the expected size of the reply.
    async fn read_partition(&self, shape: &TopicShape, request: &ReadRequest, bytes: usize) -> Result<ReadOutcome> {
        let keys = shape.keys(request.partition);
        let keys = vec![keys.events.clone(), keys.groups.clone()];
        let args = args![
            request.group.as_str(),
            &request.request.as_bytes()[..],
            request.consumer.as_str(),
            millis_ceil(request.lease),
            request.max,
            request.holding,
            shape.config.lasting_millis(),
        ];
        let batches = &self.calls.topics.batches;
        // A consumer reads its partitions in turn, and each has at least a third of its lease left: a quarter leaves time for the
        // others.
        let answer = self.calls.topics.read.for_lease(request.lease / 2).call(keys, args, bytes).await;
        let outcome = outcome(request, answer.inspect_err(|_| batches.forget())?)?;
        let bytes = |batch: &EventBatch| batch.events.iter().map(|event| event.payload.len() + 64).sum();
        batches.note(if let ReadOutcome::Events(batch) = &outcome { bytes(batch) } else { 0 });
        Ok(outcome)
    }

    /// The indices of the events that go to each partition. Those without a key go to one partition; calls take turns.
    fn parts(&self, shape: &TopicShape, events: &[NewEvent]) -> BTreeMap<u16, Vec<usize>> {
        // Less than the number of partitions.
        let turn = (self.turn.fetch_add(1, Ordering::Relaxed) % usize::from(shape.config.partitions)) as u16;
        let mut parts = BTreeMap::<u16, Vec<usize>>::new();
        for (index, event) in events.iter().enumerate() {
            let partition = event.key.as_ref().map_or(turn, |key| shape.partition_of(key));
            parts.entry(partition).or_default().push(index);
        }
        parts
    }

    /// Returns the number of the first event, what was reached, and the reader, which records the write.
    async fn append_to(
        &self,
        shape: &TopicShape,
        partition: u16,
        events: &[NewEvent],
        indices: &[usize],
        durability: Durability,
    ) -> Result<(u64, Result<Reached>, ReplyReader)> {
        let keys = shape.keys(partition);
        let call = keys.call(fastrand::u64(..));
        let keys = vec![keys.events.clone(), keys.groups.clone(), call];
        let bytes: usize = indices.iter().map(|index| events[*index].bytes()).sum();
        let mut args = args![indices.len(), bytes];
        args.extend(shape.bounds());
        args.extend(args![shape.config.lasting_millis(), millis_ceil(self.link.remembered_for(durability))]);
        args.extend(indices.iter().map(|index| entry::encode(&events[*index])));
        let append = &self.calls.topics.append;
        let (mut reply, reached) = append.call_durable(keys, args, bytes + 16 * indices.len(), durability).await?;
        match reply.next_word()?.as_ref() {
            b"appended" => Ok((reply.next_u64()?, reached, reply)),
            _ => Err(reply.unknown_word()),
        }
    }
}

/// Records a write under the lease.
fn record(lease: &PartitionLease, reply: &ReplyReader) {
    let of = lease.partition.to_string();
    reply.record_write(lease.topic.as_str(), |write| write.with_part(of).with_number(lease.fence.get()));
}

fn outcome(request: &ReadRequest, mut reply: ReplyReader) -> Result<ReadOutcome> {
    match reply.next_word()?.as_ref() {
        b"events" => {
            let fence = Fence::new(reply.next_u64()?);
            let lease = PartitionLease::new(request.topic.clone(), request.partition, request.group.clone(), fence);
            let until = Timestamp::from_millis(reply.next_u64()?);
            let mut batch = EventBatch::new(lease, until, std::time::Duration::from_millis(reply.next_u64()?));
            batch.wanted = u32::try_from(reply.next_int()?).ok();
            (batch.truncated, batch.lag) = (reply.next_u64()?, reply.next_u64()?);
            while reply.remaining() > 0 {
                let mut page = reply.next_list()?;
                batch.events.reserve(page.remaining());
                while page.remaining() > 0 {
                    batch.events.push(entry::decode(request.partition, page.next_list()?)?);
                }
            }
            record(&batch.lease, &reply);
            batch.lease.read = batch.events.last().map(|event| (event.id.number, event.appended));
            Ok(ReadOutcome::Events(batch))
        }
        b"taken" => {
            let by = reply.next_text()?;
            let damaged = |_| Error::corrupt(Op::TopicRead, "the name of the holder is not valid");
            let by = if by.is_empty() { None } else { Some(HolderName::new(by).map_err(damaged)?) };
            Ok(ReadOutcome::Taken { by, until: Timestamp::from_millis(reply.next_u64()?) })
        }
        _ => Err(reply.unknown_word()),
    }
}

fn partition_info(op: Op, partition: u16, mut reply: ReplyReader) -> Result<PartitionInfo> {
    match reply.next_word()?.as_ref() {
        b"partition" => {}
        b"absent" => return Ok(PartitionInfo::new(partition, 0, 0, 0, Timestamp::default())),
        _ => return Err(reply.unknown_word()),
    }
    let (first, last, bytes) = (reply.next_u64()?, reply.next_u64()?, reply.next_u64()?);
    let oldest = Timestamp::from_millis(reply.next_u64()?);
    let mut info = PartitionInfo::new(partition, first, last, bytes, oldest);
    while reply.remaining() > 0 {
        let damaged = |_| Error::corrupt(op, "the name of a group or of its holder is not valid");
        let name = GroupName::new(reply.next_text()?).map_err(damaged)?;
        let (cursor, fence) = (reply.next_u64()?, Fence::new(reply.next_u64()?));
        let (until, holder) = (reply.next_u64()?, reply.next_text()?);
        let mut group = GroupInfo::new(name, cursor, fence, first, last);
        if until > 0 {
            group.until = Some(Timestamp::from_millis(until));
            group.holder = Some(HolderName::new(holder).map_err(damaged)?);
        }
        info.groups.push(group);
    }
    info.groups.sort_unstable_by(|one, other| one.group.cmp(&other.group));
    Ok(info)
}
