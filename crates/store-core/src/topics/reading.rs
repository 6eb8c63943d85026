//! Reading a partition.

use std::time::Duration;

use serde::Serialize;

use super::TopicConfig;
use crate::{Error, Event, EventId, Fence, GroupName, HolderName, Lease, Op, RequestId, Result, Timestamp, TopicName};

/// The read of a consumer. Reads with the same [identity](ReadRequest::request) are those of one consumer: they renew its lease.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::name::HolderName;
/// use twinstore::topic::{GroupName, ReadOutcome, ReadRequest, TopicConfig, TopicName, Topics};
///
/// let (topics, orders) = (stores.state().topics(), TopicName::new("orders")?);
/// topics.declare(&orders, &TopicConfig::default()).await?;
/// let consumer = |name| ReadRequest::new(orders.clone(), 0, GroupName::new("billing").unwrap(), name);
/// let first = consumer(HolderName::new("pod-1")?).with_lease(Duration::from_secs(10)).with_max(50);
/// let second = consumer(HolderName::new("pod-2")?);
/// assert!(matches!(topics.read(&first).await?, ReadOutcome::Events(batch) if batch.events.is_empty()));
/// assert!(matches!(topics.read(&second).await?, ReadOutcome::Taken { .. }));
/// clock.advance(Duration::from_secs(11)); // pod-1 has died
/// assert!(matches!(topics.read(&second).await?, ReadOutcome::Events(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadRequest {
    /// The topic.
    pub topic: TopicName,
    /// The partition, from 0.
    pub partition: u16,
    /// The group.
    pub group: GroupName,
    /// The name of the consumer, for others to see.
    pub consumer: HolderName,
    /// How long the lease lasts from now on. Within [`Lease::RANGE`]; default 30 s.
    pub lease: Duration,
    /// The most events to return. At most [`ReadRequest::MAX`]; default 100.
    pub max: u32,
    /// How many partitions of the topic the consumer holds. At most [`TopicConfig::MAX_PARTITIONS`]; default 0.
    pub holding: u32,
    /// The identity of the consumer. Default random.
    pub request: RequestId,
}

impl ReadRequest {
    /// The most events of one read.
    pub const MAX: u32 = 1_000;
    /// How long the reads of the holder of a partition return that another consumer wants it: 2 s.
    pub const ASKED_FOR: Duration = Duration::from_secs(2);

    /// A request of a new consumer.
    pub fn new(topic: TopicName, partition: u16, group: GroupName, consumer: HolderName) -> Self {
        let (lease, request) = (Duration::from_secs(30), RequestId::generate());
        Self { topic, partition, group, consumer, lease, max: 100, holding: 0, request }
    }

    /// Sets how long the lease lasts.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets the most events to return.
    #[must_use]
    pub fn with_max(mut self, max: u32) -> Self {
        self.max = max;
        self
    }

    /// Sets how many partitions the consumer holds.
    #[must_use]
    pub fn with_holding(mut self, holding: u32) -> Self {
        self.holding = holding;
        self
    }

    /// Sets the identity of the consumer.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }

    /// Refuses values outside their ranges. `partitions`: how many the topic has.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`]
    #[doc(hidden)]
    pub fn validate(&self, partitions: u16) -> Result<()> {
        let refused = |detail: String| Err(Error::invalid_argument(Op::TopicRead, detail));
        if self.partition >= partitions {
            return refused(format!("the topic has {partitions} partitions, and no partition {}", self.partition));
        }
        if self.max > Self::MAX {
            return refused(format!("a read returns at most {} events, not {}", Self::MAX, self.max));
        }
        if !Lease::RANGE.contains(&self.lease) {
            return refused("a lease lasts from 10 ms to 30 days".to_owned());
        }
        if self.holding > u32::from(TopicConfig::MAX_PARTITIONS) {
            return refused(format!("no topic has {} partitions that a consumer could hold", self.holding));
        }
        Ok(())
    }
}

/// The right of a consumer to acknowledge events of a partition.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::topic::{GroupName, NewEvent, PartitionLease, TopicConfig, TopicName, Topics};
///
/// let orders = stores.state().topic(TopicName::new("orders")?, TopicConfig::default()).await?;
/// orders.append(&[NewEvent::new("placed")]).await?;
/// let mut consumer = orders.consumer(GroupName::new("billing")?);
/// let lease: PartitionLease = consumer.next().await?.lease;
/// assert_eq!((lease.partition, lease.group.as_str()), (0, "billing"));
/// stores.state().topics().release(&lease).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartitionLease {
    /// The topic.
    pub topic: TopicName,
    /// The partition, from 0.
    pub partition: u16,
    /// The group.
    pub group: GroupName,
    /// The fencing token. It is larger than that of each earlier consumer of the partition.
    pub fence: Fence,
    /// The number of the last event of the read, and when it was appended. If a failover has lost this event, the lease acknowledges
    /// nothing. `None` if the read returned no event: then an acknowledgement compares only the fence.
    pub read: Option<(u64, Timestamp)>,
}

impl PartitionLease {
    /// The lease that a read has returned.
    pub fn new(topic: TopicName, partition: u16, group: GroupName, fence: Fence) -> Self {
        Self { topic, partition, group, fence, read: None }
    }
}

/// The outcome of [`Topics::read`](crate::Topics::read).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::name::HolderName;
/// use twinstore::topic::{GroupName, ReadOutcome, ReadRequest, TopicConfig, TopicName, Topics};
///
/// # let (topics, orders) = (stores.state().topics(), TopicName::new("orders")?);
/// # topics.declare(&orders, &TopicConfig::default()).await?;
/// # let request = ReadRequest::new(orders, 0, GroupName::new("billing")?, HolderName::unique("billing")?);
/// match topics.read(&request).await? {
///     ReadOutcome::Events(batch) => assert!(batch.events.is_empty()), // handle and acknowledge them
///     ReadOutcome::Taken { by, .. } => unreachable!("{by:?} holds it"),
///     _ => unreachable!("no other outcome"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadOutcome {
    /// The caller holds the partition.
    Events(EventBatch),
    /// Another consumer holds it.
    Taken {
        /// The holder. `None` if the partition is free and reserved for a consumer that holds fewer partitions.
        by: Option<HolderName>,
        /// When its lease or the reservation ends.
        until: Timestamp,
    },
}

impl ReadOutcome {
    /// The events. `None` if another consumer holds the partition.
    pub fn events(self) -> Option<EventBatch> {
        match self {
            ReadOutcome::Events(batch) => Some(batch),
            ReadOutcome::Taken { .. } => None,
        }
    }
}

/// Events of one partition, in order, which the caller handles and then acknowledges.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::topic::{EventBatch, GroupName, NewEvent, TopicConfig, TopicName};
///
/// let config = TopicConfig::default().with_max_events(2);
/// let orders = stores.state().topic(TopicName::new("orders")?, config).await?;
/// for payload in ["placed", "paid", "shipped"] {
///     orders.append(&[NewEvent::new(payload)]).await?;
/// }
/// let mut consumer = orders.consumer(GroupName::new("billing")?);
/// let batch: EventBatch = consumer.next().await?;
/// assert_eq!((batch.events.len(), batch.lag, batch.truncated), (2, 2, 0)); // the group begins with the oldest event
/// assert!(consumer.acknowledge(&batch).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventBatch {
    /// The lease of the partition. It acknowledges the events.
    pub lease: PartitionLease,
    /// When the lease ends unless a read renews it.
    pub until: Timestamp,
    /// The time left.
    pub remaining: Duration,
    /// The number of partitions that another consumer holds, if it wants this one. If the reader holds at least two more, it should
    /// release this one.
    pub wanted: Option<u32>,
    /// The number of events after the cursor that were removed before the group has read them.
    pub truncated: u64,
    /// The number of retained events that the group has not acknowledged, including these.
    pub lag: u64,
    /// The events after the cursor, in order.
    pub events: Vec<Event>,
}

impl EventBatch {
    /// A batch without events. Engines set the other fields.
    #[doc(hidden)]
    pub fn new(lease: PartitionLease, until: Timestamp, remaining: Duration) -> Self {
        Self { lease, until, remaining, wanted: None, truncated: 0, lag: 0, events: Vec::new() }
    }

    /// The number of the last event. `None` if there is none.
    pub fn last(&self) -> Option<u64> {
        self.events.last().map(|event| event.id.number)
    }
}

/// Where [`Topics::seek`](crate::Topics::seek) moves a group.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::topic::{GroupName, NewEvent, SeekTo, TopicConfig, TopicName};
///
/// let orders = stores.state().topic(TopicName::new("orders")?, TopicConfig::default()).await?;
/// let ids = orders.append(&[NewEvent::new("placed"), NewEvent::new("paid")]).await?;
/// let group = GroupName::new("billing")?;
/// orders.seek(&group, SeekTo::Event(ids[1])).await?;
/// assert_eq!(orders.consumer(group).next().await?.events[0].payload, "paid");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeekTo {
    /// Before the oldest event that is retained, in all partitions.
    Start,
    /// After the last event, in all partitions.
    End,
    /// Before this event, in its partition alone.
    Event(EventId),
    /// Before the first event that was appended at this time or later, in all partitions.
    Time(Timestamp),
}
