//! Durable topics: events in partitions, which groups of consumers read in order.

mod config;
mod event;
mod info;
mod reading;

use std::fmt;

use async_trait::async_trait;

use crate::{Durability, GroupName, Receipt, Result, TopicName};

pub use config::TopicConfig;
pub use event::{Event, EventId, NewEvent, validate_events};
pub use info::{GroupInfo, PartitionInfo};
pub use reading::{EventBatch, PartitionLease, ReadOutcome, ReadRequest, SeekTo};

/// Durable topics. Producers append events; each group of consumers gets every event at least once. Topics belong to the
/// namespace, as queues do. A topic must be [declared](Topics::declare) before its first use.
///
/// **Order.** A topic has one partition or several. Events with the same [key](NewEvent::key) go to one partition, and a group reads
/// a partition in the order of the appends. Each event has a number that is one more than that of the event before it in its
/// partition.
///
/// **Groups.** A group has for each partition a cursor: the last event that it has acknowledged. One consumer at a time holds a
/// partition for the group, under a lease with a [fence](PartitionLease::fence). It reads the events after the cursor and
/// acknowledges them. If it dies, its lease expires, and the next consumer reads the same events again: handlers must expect
/// repetitions. A consumer whose lease another one has taken can acknowledge nothing. A group begins with the oldest event that is
/// retained, or where [`seek`](Topics::seek) puts it.
///
/// **Lag.** The lag of a group in a partition is exact: the number of retained events that it has not acknowledged.
///
/// **Bounds.** Each append and each acknowledgement removes the oldest events that exceed an age, a number or a number of bytes
/// ([`TopicConfig`]), acknowledged or not; so consumers free the memory of a full server, which refuses appends. A group that was too slow reads how many events it has missed ([`EventBatch::truncated`]). A partition to which
/// nothing was appended for about the age of its events, at least 22 hours, is removed with the cursors of its groups. Topics cannot be
/// deleted; the configuration of a topic is kept, and [`Inventory::declared_topics`](crate::Inventory::declared_topics) lists it.
///
/// **Failovers.** A failover may lose the last events, also those that a consumer has read, and later events get their numbers. An
/// acknowledgement by the lease of the read ([`PartitionLease::read`]) is then refused, and the consumer reads the later events. Where no
/// event may be lost, append with the replicas that a failover may promote
/// ([`Durability::Replicated`](crate::Durability::Replicated)).
///
/// **Notifications.** An append notifies the consumers that wait for its partition ([`Notifications`](crate::Notifications)), and a
/// consumer that wants a partition notifies its holder; `read` itself returns immediately. Most services use the handles `Topic` and `TopicConsumer`, which `State::topic` makes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::durability::Durability;
/// use twinstore::name::HolderName;
/// use twinstore::topic::{GroupName, NewEvent, ReadOutcome, ReadRequest, TopicConfig, TopicName, Topics};
///
/// let (topics, orders) = (stores.state().topics(), TopicName::new("orders")?);
/// topics.declare(&orders, &TopicConfig::default()).await?;
/// topics.append(&orders, &[NewEvent::new("placed"), NewEvent::new("paid")], Durability::Accepted).await?;
///
/// let request = ReadRequest::new(orders, 0, GroupName::new("billing")?, HolderName::unique("billing")?);
/// let ReadOutcome::Events(batch) = topics.read(&request).await? else { unreachable!("no other consumer") };
/// assert_eq!(batch.events[1].payload, "paid");
/// let last = batch.events[1].id.number;
/// assert!(topics.acknowledge(&batch.lease, last, Durability::Accepted).await?.value);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Topics: Send + Sync + fmt::Debug {
    /// `async fn declare(&self, topic: &TopicName, config: &TopicConfig) -> Result<TopicConfig>`
    ///
    /// Records a topic, and returns its configuration. The first declaration determines the number of partitions. A later one may
    /// change the bounds. Other processes append with the new bounds when they declare the topic or use it for the first time; an
    /// acknowledgement never removes an event that the recorded bounds retain. One round trip. Also works if the server's memory is full.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the topic has another number of partitions, or if a value is
    /// outside its range.
    async fn declare(&self, topic: &TopicName, config: &TopicConfig) -> Result<TopicConfig>;

    /// `async fn append(&self, topic: &TopicName, events: &[NewEvent], durability: Durability) -> Result<Receipt<Vec<EventId>>>`
    ///
    /// Appends events, and returns their ids in order. Events with a key go to the partition of the key, the others of a call to
    /// one partition; calls take turns. One round trip for each of these partitions, at the same time. An append whose reply is lost
    /// is recognised when it is repeated. If the server died within the script, some of its events may be appended twice; Redis
    /// executes a script as a whole, other servers may not.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the topic was not declared, or for more than
    /// [`NewEvent::MAX_BATCH`] events or [`NewEvent::MAX_BATCH_BYTES`]; [`Error::Limit`](crate::Error::Limit) if the server's memory
    /// is full; [`Error::Indeterminate`](crate::Error::Indeterminate) if some partitions have appended their events and others
    /// have not.
    async fn append(
        &self,
        topic: &TopicName,
        events: &[NewEvent],
        durability: Durability,
    ) -> Result<Receipt<Vec<EventId>>>;

    /// `async fn read(&self, request: &ReadRequest) -> Result<ReadOutcome>`
    ///
    /// Takes a partition for a consumer of a group, or renews its lease, and returns the next events after the cursor. It returns
    /// the same events until they are acknowledged. With a [maximum](ReadRequest::max) of 0 it only renews the lease. It reads
    /// pages of up to 100 events until it has 1 MiB; the last page adds about 1 MiB at most if its events have the average size. One
    /// round trip, O(events). Also works if the server's memory is full.
    ///
    /// If another consumer holds the partition, the outcome is [`ReadOutcome::Taken`]. For [`ReadRequest::ASKED_FOR`], reads of the
    /// holder return that this consumer wants the partition ([`EventBatch::wanted`]). If the holder [releases](Topics::release) it
    /// in this time, only a consumer that holds at most as many partitions as this one can take it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the topic was not declared or does not have this partition, if
    /// it has [`TopicConfig::MAX_GROUPS`] other groups, or if a value is outside its range.
    async fn read(&self, request: &ReadRequest) -> Result<ReadOutcome>;

    /// `async fn acknowledge(&self, lease: &PartitionLease, number: u64, durability: Durability) -> Result<Receipt<bool>>`
    ///
    /// Acknowledges all events of the partition up to this number. `true` if they are acknowledged. `false`, and nothing is changed,
    /// if another consumer has taken the partition, if the group was moved or removed, if the partition has expired, or if a failover
    /// has lost the last event of the read. Also removes the oldest events that exceed a bound of the topic by a sixteenth, at most
    /// [`TopicConfig::MAX_REMOVED`]. One round trip, and two more if a bound is exceeded; O(log events + removed events). Also works if
    /// the server's memory is full.
    async fn acknowledge(&self, lease: &PartitionLease, number: u64, durability: Durability) -> Result<Receipt<bool>>;

    /// `async fn release(&self, lease: &PartitionLease) -> Result<()>`
    ///
    /// Gives a partition back, so that another consumer need not wait for the end of the lease. Changes nothing if another consumer
    /// has taken it. One round trip, O(1).
    async fn release(&self, lease: &PartitionLease) -> Result<()>;

    /// `async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()>`
    ///
    /// Moves the cursors of a group, forwards or backwards, or makes the group. Its consumers lose their leases, and take them again
    /// with their next read. One round trip for each partition; O(log events) for a time. Also works if the server's memory is full.
    ///
    /// # Errors
    /// Those of [`read`](Topics::read). If some partitions were moved and others not, repeat the call.
    async fn seek(&self, topic: &TopicName, group: &GroupName, to: SeekTo) -> Result<()>;

    /// `async fn inspect(&self, topic: &TopicName) -> Result<Vec<PartitionInfo>>`
    ///
    /// Returns the state of each partition, with the lag of each group. One round trip for each partition, O(groups).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the topic was not declared.
    async fn inspect(&self, topic: &TopicName) -> Result<Vec<PartitionInfo>>;

    /// `async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<()>`
    ///
    /// Removes a group with its cursors, if it exists. Its consumers lose their leases; the next read makes the group again. One
    /// round trip for each partition.
    ///
    /// # Errors
    /// Those of [`inspect`](Topics::inspect).
    async fn remove_group(&self, topic: &TopicName, group: &GroupName) -> Result<()>;
}
