//! The handles of a topic.

mod consumer;

use std::fmt;
use std::sync::Arc;

use store_core::{
    Durability, EventId, GroupName, NewEvent, Notifications, Result, SeekTo, TopicConfig, TopicName, Topics,
};

use super::State;

pub use consumer::TopicConsumer;

impl State {
    /// A topic. This declares it: see [`Topics::declare`]. Its appends and acknowledgements request [`State::durability`]. One round
    /// trip.
    ///
    /// # Errors
    /// Those of [`Topics::declare`].
    pub async fn topic(&self, name: TopicName, config: TopicConfig) -> store_core::Result<Topic> {
        let stores = (self.topics(), self.notifications.clone());
        Topic::declare(stores, name, &config, self.durability()).await
    }

    /// The topics of the whole namespace.
    pub fn topics(&self) -> Arc<dyn Topics> {
        self.topics.clone()
    }
}

/// A topic that was declared. Clones share it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::name::Key;
/// use twinstore::topic::{GroupName, NewEvent, Topic, TopicConfig, TopicName};
///
/// let config = TopicConfig::default().with_partitions(4);
/// let orders: Topic = stores.state().topic(TopicName::new("orders")?, config).await?;
/// let order = Key::new("order-7")?; // its events are read in this order
/// orders.append(&["placed", "paid"].map(|event| NewEvent::new(event).with_key(order.clone()))).await?;
///
/// let billing = GroupName::new("billing")?;
/// let mut consumer = orders.consumer(billing.clone());
/// let batch = consumer.next().await?;
/// for event in &batch.events {
///     println!("{:?}: {:?}", event.key, event.payload);
/// }
/// assert!(consumer.acknowledge(&batch).await?);
/// assert_eq!(orders.lag(&billing).await?, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Topic {
    topics: Arc<dyn Topics>,
    notifications: Arc<dyn Notifications>,
    name: TopicName,
    config: TopicConfig,
    durability: Durability,
}

impl Topic {
    pub(super) async fn declare(
        (topics, notifications): (Arc<dyn Topics>, Arc<dyn Notifications>),
        name: TopicName,
        config: &TopicConfig,
        durability: Durability,
    ) -> Result<Self> {
        let config = topics.declare(&name, config).await?;
        Ok(Self { topics, notifications, name, config, durability })
    }

    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// Its configuration.
    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// Appends events, and returns their ids in order: see [`Topics::append`].
    ///
    /// # Errors
    /// Those of [`Topics::append`].
    pub async fn append(&self, events: &[NewEvent]) -> Result<Vec<EventId>> {
        Ok(self.topics.append(&self.name, events, self.durability).await?.value)
    }

    /// A new consumer of a group. It has a name of its own.
    pub fn consumer(&self, group: GroupName) -> TopicConsumer {
        TopicConsumer::new(self.clone(), group)
    }

    /// Moves a group, forwards or backwards, or makes it: see [`Topics::seek`].
    ///
    /// # Errors
    /// Those of [`Topics::seek`].
    pub async fn seek(&self, group: &GroupName, to: SeekTo) -> Result<()> {
        self.topics.seek(&self.name, group, to).await
    }

    /// The number of retained events that a group has not acknowledged, in all partitions.
    ///
    /// # Errors
    /// Those of [`Topics::inspect`].
    pub async fn lag(&self, group: &GroupName) -> Result<u64> {
        let partitions = self.topics.inspect(&self.name).await?;
        let lag = partitions.iter().map(|partition| {
            let of_group = partition.groups.iter().find(|info| info.group == *group);
            of_group.map_or_else(|| partition.events(), |info| info.lag)
        });
        Ok(lag.sum())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("name", &self.name).field("config", &self.config).finish_non_exhaustive()
    }
}
