//! The handles of a topic.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use store_core::{
    Durability, EventBatch, EventId, GroupName, HolderName, NewEvent, PartitionLease, ReadOutcome, ReadRequest,
    RequestId, Result, SeekTo, TopicConfig, TopicName, Topics,
};
use tokio::time::{Instant, sleep};

use super::State;

impl State {
    /// A topic. This declares it: see [`Topics::declare`]. Its appends and acknowledgements request [`State::durability`]. One round
    /// trip.
    ///
    /// # Errors
    /// Those of [`Topics::declare`].
    pub async fn topic(&self, name: TopicName, config: TopicConfig) -> store_core::Result<Topic> {
        Topic::declare(self.topics(), name, &config, self.durability()).await
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
    name: TopicName,
    config: TopicConfig,
    durability: Durability,
}

impl Topic {
    pub(super) async fn declare(
        topics: Arc<dyn Topics>,
        name: TopicName,
        config: &TopicConfig,
        durability: Durability,
    ) -> Result<Self> {
        let config = topics.declare(&name, config).await?;
        Ok(Self { topics, name, config, durability })
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

/// How often a consumer asks for a partition that another one holds.
const ASKING: Duration = Duration::from_millis(500);
/// The first pause of a consumer that has found no events. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// A consumer of a group, which reads the partitions that it holds, one after the other. The consumers of a group share the
/// partitions: one that holds more than its share gives partitions back.
///
/// A consumer works in the task of its caller. It renews the leases of its partitions whenever [`next`](TopicConsumer::next) is
/// called: handle each batch within the [lease](TopicConsumer::with_lease). To handle several batches at the same time, make several
/// consumers.
///
/// If it finds no events, it asks again after 5 ms, then after twice as long, up to [`with_poll`](TopicConsumer::with_poll): an event
/// waits this long at most. An idle consumer costs the server one script for each partition and poll.
///
/// ```
/// use twinstore::topic::{GroupName, TopicConsumer};
///
/// async fn bill(mut consumer: TopicConsumer) -> twinstore::Result<()> {
///     loop {
///         let batch = consumer.next().await?; // after an error of the store, call it again
///         if batch.truncated > 0 {
///             println!("{} events were removed before they were read", batch.truncated);
///         }
///         for event in &batch.events {
///             println!("billing {:?}", event.key); // may be a repetition
///         }
///         if !consumer.acknowledge(&batch).await? {
///             println!("another consumer has taken the partition, and repeats these events");
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::topic::{NewEvent, TopicConfig, TopicName};
/// let orders = stores.state().topic(TopicName::new("orders")?, TopicConfig::default()).await?;
/// let billing = tokio::spawn(bill(orders.consumer(GroupName::new("billing")?)));
/// # orders.append(&[NewEvent::new("placed")]).await?;
/// # while orders.lag(&GroupName::new("billing")?).await? > 0 {
/// #     tokio::task::yield_now().await;
/// # }
/// # billing.abort();
/// assert_eq!(orders.lag(&GroupName::new("billing")?).await?, 0);
/// # Ok(())
/// # }
/// ```
pub struct TopicConsumer {
    topic: Topic,
    group: GroupName,
    name: HolderName,
    request: RequestId,
    lease: Duration,
    max: u32,
    poll: Duration,
    held: BTreeMap<u16, Held>,
    /// When to ask for a partition that another consumer holds.
    ask_at: BTreeMap<u16, Instant>,
    /// The partition that is read next.
    turn: u16,
}

/// A partition that the consumer holds.
struct Held {
    lease: PartitionLease,
    renew_at: Instant,
}

impl TopicConsumer {
    fn new(topic: Topic, group: GroupName) -> Self {
        // A name has ASCII characters only.
        let prefix = &group.as_str()[..group.as_str().len().min(90)];
        let name = HolderName::unique(prefix).expect("invariant: the name of a group is a valid prefix");
        Self {
            topic,
            group,
            name,
            request: RequestId::generate(),
            lease: Duration::from_secs(30),
            max: 100,
            poll: Duration::from_millis(250),
            held: BTreeMap::new(),
            ask_at: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Sets the name that [`GroupInfo::holder`](store_core::GroupInfo::holder) shows. Default: the group and a random part.
    #[must_use]
    pub fn with_name(mut self, name: HolderName) -> Self {
        self.name = name;
        self
    }

    /// Sets how long the consumer holds a partition without a call of [`next`](TopicConsumer::next). If the process dies, its
    /// partitions are free after this time. 10 ms to 30 days; default 30 s.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets the most events of a batch. 1 to [`ReadRequest::MAX`]; default 100.
    #[must_use]
    pub fn with_max(mut self, max: u32) -> Self {
        self.max = max.max(1);
        self
    }

    /// Sets the longest pause of a consumer that finds no events. Default 250 ms.
    #[must_use]
    pub fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Its name.
    pub fn name(&self) -> &HolderName {
        &self.name
    }

    /// The partitions that it holds, as far as it knows.
    pub fn partitions(&self) -> Vec<u16> {
        self.held.keys().copied().collect()
    }

    /// Waits for events of a partition that this consumer holds. Partitions take turns. The caller handles the events, acknowledges
    /// them, and calls `next` again: events that were not acknowledged are returned again, by this or another consumer. It can be
    /// dropped at any time, and loses nothing.
    ///
    /// # Errors
    /// Those of [`Topics::read`]. Call it again: the other partitions are read in turn.
    pub async fn next(&mut self) -> Result<EventBatch> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.renew().await?;
            let partitions = self.topic.config.partitions;
            for _ in 0..partitions {
                let partition = self.turn % partitions;
                self.turn = (partition + 1) % partitions;
                if let Some(batch) = self.read(partition).await? {
                    return Ok(batch);
                }
            }
            let until_renewal = self.held.values().map(|held| held.renew_at).min();
            let until_renewal = until_renewal.map_or(pause, |at| at.saturating_duration_since(Instant::now()));
            sleep(pause.min(self.poll).min(until_renewal.max(FIRST_PAUSE))).await;
            pause = (pause * 2).min(self.poll);
        }
    }

    /// Acknowledges the events of a batch. `false` if this consumer has lost the partition: another one reads these events again.
    ///
    /// # Errors
    /// Those of [`Topics::acknowledge`]. Repeat the call.
    pub async fn acknowledge(&self, batch: &EventBatch) -> Result<bool> {
        let Some(last) = batch.last() else { return Ok(true) };
        Ok(self.topic.topics.acknowledge(&batch.lease, last, self.topic.durability).await?.value)
    }

    /// Gives all partitions back, so that other consumers read them immediately. A consumer that is dropped keeps them until their
    /// leases end.
    ///
    /// # Errors
    /// The first one of [`Topics::release`]; the other partitions are given back.
    pub async fn stop(mut self) -> Result<()> {
        let mut result = Ok(());
        while let Some((_, held)) = self.held.pop_first() {
            result = result.and(self.topic.topics.release(&held.lease).await);
        }
        result
    }

    /// Renews the leases that are due, without reading.
    async fn renew(&mut self) -> Result<()> {
        let now = Instant::now();
        let due = self.held.iter().filter(|(_, held)| held.renew_at <= now).map(|(partition, _)| *partition);
        for partition in due.collect::<Vec<_>>() {
            match self.topic.topics.read(&self.request(partition, 0)).await {
                Ok(ReadOutcome::Events(batch)) => self.keep(partition, &batch),
                Ok(_) => drop(self.held.remove(&partition)),
                Err(error) => {
                    // Otherwise it would be the first one again, and no other partition would be read.
                    self.held.remove(&partition);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Reads a partition. `None` if there are no events, if another consumer holds it, or if this one gives it back.
    async fn read(&mut self, partition: u16) -> Result<Option<EventBatch>> {
        let now = Instant::now();
        if !self.held.contains_key(&partition) && self.ask_at.get(&partition).is_some_and(|at| *at > now) {
            return Ok(None);
        }
        let batch = match self.topic.topics.read(&self.request(partition, self.max)).await? {
            ReadOutcome::Events(batch) => batch,
            _ => {
                self.held.remove(&partition);
                self.ask_at.insert(partition, now + ASKING);
                return Ok(None);
            }
        };
        self.keep(partition, &batch);
        let holding = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        if batch.wanted.is_some_and(|of_other| holding > of_other.saturating_add(1)) {
            self.held.remove(&partition);
            self.ask_at.insert(partition, now + ASKING);
            self.topic.topics.release(&batch.lease).await?;
            return Ok(None);
        }
        Ok(Some(batch).filter(|batch| !batch.events.is_empty()))
    }

    fn request(&self, partition: u16, max: u32) -> ReadRequest {
        let (topic, group) = (self.topic.name.clone(), self.group.clone());
        ReadRequest::new(topic, partition, group, self.name.clone())
            .with_lease(self.lease)
            .with_max(max)
            .with_holding(u32::try_from(self.held.len()).unwrap_or(u32::MAX))
            .with_request(self.request)
    }

    fn keep(&mut self, partition: u16, batch: &EventBatch) {
        let held = Held { lease: batch.lease.clone(), renew_at: Instant::now() + batch.remaining / 2 };
        self.held.insert(partition, held);
    }
}

impl fmt::Debug for TopicConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicConsumer")
            .field("topic", &self.topic.name)
            .field("group", &self.group)
            .field("name", &self.name)
            .field("partitions", &self.partitions())
            .finish_non_exhaustive()
    }
}
