//! The consumers of a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store_core::{
    EventBatch, GroupName, HolderName, PartitionLease, ReadOutcome, ReadRequest, RequestId, Result, Subscribed,
};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::Topic;

/// How often a consumer asks for a partition that another one holds.
const ASKING: Duration = Duration::from_millis(500);
/// The first pause of a consumer that has found no events and does not get notifications yet. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest one.
const LAST_PAUSE: Duration = Duration::from_millis(250);
/// The longest time between reads without a notification.
const LONGEST_POLL: Duration = Duration::from_secs(24 * 3600);

/// A consumer of a group, which reads the partitions that it holds, one after the other. The consumers of a group share the
/// partitions: one that holds more than its share gives partitions back.
///
/// A consumer works in the task of its caller. It renews the leases of its partitions whenever [`next`](TopicConsumer::next) is
/// called: handle each batch within the [lease](TopicConsumer::with_lease). To handle several batches at the same time, make several
/// consumers.
///
/// An append notifies the consumers that wait for its partition, which then read: an event arrives a notification and a round trip
/// after it was appended. A consumer that joins the group asks for partitions, which notifies their holders, and gets its share
/// when it asks again, after 500 ms. In case a notification is lost, or the server's user may not publish, a waiting consumer
/// also reads each of
/// its partitions every 2 s ([`with_poll`](TopicConsumer::with_poll)). Until the server has confirmed the subscription, it reads after
/// 5 ms, then after twice as long, up to 250 ms. All consumers of a process share one connection for notifications, in a cluster one
/// for each node.
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
    /// When to read partitions that had no events, and to ask for those that other consumers hold. The others are read now.
    read_at: BTreeMap<u16, Instant>,
    bell: Arc<Bell>,
    /// The partition that is read next.
    turn: u16,
    /// When it began to read the partitions that are due, and how many it held. Those that it takes meanwhile do not count: all may be
    /// reserved for a consumer that holds as many. So it asks for all partitions at the same time.
    round: (Instant, u32),
    given: Given,
}

/// How many partitions a consumer has given to others, which their wishes do not show yet.
#[derive(Default)]
struct Given {
    count: u32,
    /// Then these wishes have ended.
    until: Option<Instant>,
}

impl Given {
    /// Whether a consumer with `holding` partitions has at least two more than another one that held `of_other`. If it does, it is
    /// assumed to give one.
    fn gives(&mut self, holding: u32, of_other: u32, now: Instant) -> bool {
        if self.until.is_some_and(|until| until <= now) {
            *self = Self::default();
        }
        let gives = holding > of_other.saturating_add(self.count).saturating_add(1);
        if gives {
            self.count += 1;
            self.until.get_or_insert(now + ReadRequest::ASKED_FOR);
        }
        gives
    }
}

/// A partition that the consumer holds.
struct Held {
    lease: PartitionLease,
    renew_at: Instant,
    /// From the first read without events on.
    subscribed: Option<Subscribed>,
    /// Whether notifications have begun.
    is_notified: bool,
    /// The pause after a read without events before they have begun.
    pause: Duration,
}

/// The partitions of which a consumer was notified.
#[derive(Default)]
struct Bell {
    rung: Mutex<BTreeSet<u16>>,
    notify: Notify,
}

impl Bell {
    fn rung(&self) -> MutexGuard<'_, BTreeSet<u16>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, partition: u16) {
        self.rung().insert(partition);
        self.notify.notify_one();
    }
}

impl TopicConsumer {
    pub(super) fn new(topic: Topic, group: GroupName) -> Self {
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
            poll: Duration::from_secs(2),
            held: BTreeMap::new(),
            read_at: BTreeMap::new(),
            bell: Arc::default(),
            turn: 0,
            round: (Instant::now(), 0),
            given: Given::default(),
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

    /// Sets how often a consumer that waits reads without a notification. At most a day; default 2 s.
    #[must_use]
    pub fn with_poll(mut self, poll: Duration) -> Self {
        self.poll = poll.min(LONGEST_POLL);
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
    /// Those of [`Topics::read`](store_core::Topics::read). Call it again: the other partitions are read in turn.
    pub async fn next(&mut self) -> Result<EventBatch> {
        loop {
            self.renew().await?;
            self.hear();
            self.round = (Instant::now(), self.holding_now());
            let partitions = self.topic.config.partitions;
            for _ in 0..partitions {
                let partition = self.turn % partitions;
                self.turn = (partition + 1) % partitions;
                let is_due = self.read_at.get(&partition).is_none_or(|at| *at <= self.round.0);
                if is_due && let Some(batch) = self.read(partition).await? {
                    return Ok(batch);
                }
            }
            let soon = Instant::now() + FIRST_PAUSE;
            let renewals = self.held.values().map(|held| held.renew_at.max(soon));
            let next = self.read_at.values().copied().chain(renewals).min();
            let _ = timeout_at(next.unwrap_or(soon), self.bell.notify.notified()).await;
        }
    }

    /// The partitions of which this consumer was notified are read now.
    fn hear(&mut self) {
        for partition in std::mem::take(&mut *self.bell.rung()) {
            if let Some(held) = self.held.get_mut(&partition) {
                held.is_notified = true;
                self.read_at.remove(&partition);
            }
        }
    }

    /// Acknowledges the events of a batch. `false` if this consumer has lost the partition: another one reads these events again.
    ///
    /// # Errors
    /// Those of [`Topics::acknowledge`](store_core::Topics::acknowledge). Repeat the call.
    pub async fn acknowledge(&self, batch: &EventBatch) -> Result<bool> {
        let Some(last) = batch.last() else { return Ok(true) };
        Ok(self.topic.topics.acknowledge(&batch.lease, last, self.topic.durability).await?.value)
    }

    /// Gives all partitions back, so that other consumers read them immediately. A consumer that is dropped keeps them until their
    /// leases end.
    ///
    /// # Errors
    /// The first one of [`Topics::release`](store_core::Topics::release); the other partitions are given back.
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
                Ok(_) => self.lose(partition, now),
                Err(error) => {
                    // Otherwise it would be the first one again, and no other partition would be read.
                    self.lose(partition, now);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Reads a partition. `None` if there are no events, if another consumer holds it, or if this one gives it back.
    async fn read(&mut self, partition: u16) -> Result<Option<EventBatch>> {
        let now = Instant::now();
        let batch = match self.topic.topics.read(&self.request(partition, self.max)).await? {
            ReadOutcome::Events(batch) => batch,
            _ => {
                self.lose(partition, self.round.0 + ASKING);
                return Ok(None);
            }
        };
        self.keep(partition, &batch);
        let holding = self.holding_now();
        if batch.wanted.is_some_and(|of_other| self.given.gives(holding, of_other, now)) {
            self.lose(partition, now + ASKING);
            self.topic.topics.release(&batch.lease).await?;
            return Ok(None);
        }
        if batch.events.is_empty() {
            self.wait_for(partition, now);
            return Ok(None);
        }
        self.read_at.remove(&partition);
        Ok(Some(batch))
    }

    /// This consumer does not hold the partition any longer, and asks for it again at this time.
    fn lose(&mut self, partition: u16, ask_at: Instant) {
        self.held.remove(&partition);
        self.read_at.insert(partition, ask_at);
    }

    /// The partition had no events at this time. The beginning of the notifications is the first one: the read that follows it finds
    /// what was appended before.
    fn wait_for(&mut self, partition: u16, now: Instant) {
        let Some(held) = self.held.get_mut(&partition) else { return };
        let (topic, bell) = (&self.topic, &self.bell);
        held.subscribed.get_or_insert_with(|| {
            let bell = Arc::clone(bell);
            let notify = Arc::new(move || bell.ring(partition));
            topic.notifications.of_partition(&topic.name, partition, topic.config.partitions, notify)
        });
        let pause = if held.is_notified { self.poll } else { held.pause.min(self.poll) };
        held.pause = (held.pause * 2).min(LAST_PAUSE);
        self.read_at.insert(partition, now + pause);
    }

    fn request(&self, partition: u16, max: u32) -> ReadRequest {
        let (topic, group) = (self.topic.name.clone(), self.group.clone());
        ReadRequest::new(topic, partition, group, self.name.clone())
            .with_lease(self.lease)
            .with_max(max)
            .with_holding(self.round.1)
            .with_request(self.request)
    }

    fn holding_now(&self) -> u32 {
        u32::try_from(self.held.len()).unwrap_or(u32::MAX)
    }

    fn keep(&mut self, partition: u16, batch: &EventBatch) {
        let (lease, renew_at) = (batch.lease.clone(), Instant::now() + batch.remaining / 2);
        match self.held.get_mut(&partition) {
            Some(held) => (held.lease, held.renew_at) = (lease, renew_at),
            None => {
                let held = Held { lease, renew_at, subscribed: None, is_notified: false, pause: FIRST_PAUSE };
                self.held.insert(partition, held);
            }
        }
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
