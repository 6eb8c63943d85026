//! The state of partitions and groups.

use serde::Serialize;

use crate::{Fence, GroupName, HolderName, Timestamp};

/// The state of a partition.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use twinstore::topic::{NewEvent, PartitionInfo, TopicConfig, TopicName, Topics};
///
/// let name = TopicName::new("orders")?;
/// let orders = stores.state().topic(name.clone(), TopicConfig::default()).await?;
/// orders.append(&[NewEvent::new("placed"), NewEvent::new("paid")]).await?;
/// let partitions: Vec<PartitionInfo> = stores.state().topics().inspect(&name).await?;
/// assert_eq!((partitions[0].events(), partitions[0].bytes, partitions[0].oldest), (2, 10, Some(clock.now())));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// The partition, from 0.
    pub partition: u16,
    /// The number of the oldest event that is retained.
    pub first: u64,
    /// The number of the last event. `first - 1` if there is none.
    pub last: u64,
    /// The bytes of the keys and payloads of the retained events. Those of one append are counted until all are removed.
    pub bytes: u64,
    /// When the oldest event was appended.
    #[serde(rename = "oldest_ms")]
    pub oldest: Option<Timestamp>,
    /// The groups, by name.
    pub groups: Vec<GroupInfo>,
}

impl PartitionInfo {
    /// A partition without groups. `first` to `last`: its events.
    #[doc(hidden)]
    pub fn new(partition: u16, first: u64, last: u64, bytes: u64, oldest: Timestamp) -> Self {
        let oldest = (last >= first && last > 0).then_some(oldest);
        Self { partition, first, last, bytes, oldest, groups: Vec::new() }
    }

    /// The number of retained events.
    pub fn events(&self) -> u64 {
        if self.oldest.is_some() { self.last + 1 - self.first } else { 0 }
    }
}

/// The state of a group in a partition.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::topic::{GroupInfo, GroupName, NewEvent, TopicConfig, TopicName, Topics};
///
/// let (name, billing) = (TopicName::new("orders")?, GroupName::new("billing")?);
/// let orders = stores.state().topic(name.clone(), TopicConfig::default()).await?;
/// orders.append(&[NewEvent::new("placed"), NewEvent::new("paid")]).await?;
/// let mut consumer = orders.consumer(billing.clone()).with_max(1);
/// let batch = consumer.next().await?;
/// consumer.acknowledge(&batch).await?;
///
/// let groups: Vec<GroupInfo> = stores.state().topics().inspect(&name).await?.remove(0).groups;
/// assert_eq!((&groups[0].group, groups[0].lag), (&billing, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GroupInfo {
    /// The group.
    pub group: GroupName,
    /// The number of the last event that it has acknowledged.
    pub acknowledged: u64,
    /// The number of retained events that it has not acknowledged.
    pub lag: u64,
    /// The number of events that were removed before it has acknowledged them.
    pub truncated: u64,
    /// The fence of its last lease.
    pub fence: Fence,
    /// The consumer that holds the partition.
    pub holder: Option<HolderName>,
    /// When its lease ends.
    #[serde(rename = "until_ms")]
    pub until: Option<Timestamp>,
}

impl GroupInfo {
    /// A group whose cursor is `acknowledged`, in a partition with the events `first` to `last`. Engines set the holder.
    #[doc(hidden)]
    pub fn new(group: GroupName, acknowledged: u64, fence: Fence, first: u64, last: u64) -> Self {
        let before = (first.max(1) - 1).max(acknowledged);
        let (lag, truncated) = (last.saturating_sub(before), before - acknowledged);
        Self { group, acknowledged, lag, truncated, fence, holder: None, until: None }
    }
}
