//! The channels on which messages for the waiters of a process arrive.
//!
//! On one server a process has one channel. In a cluster it also has a sharded channel for each partition at which it waits: other
//! shards do not get its messages. Its plain channel then receives only the notifications of scripts that find no subscriber on a
//! sharded channel, because the slot has just moved.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis_link::{Channel, Event, Subscription, keys};
use store_core::{Op, QueueName, Result};
use tokio::sync::watch;

use super::partition::Shape;
use crate::StateStore;

/// How long a claim waits for its subscriptions.
const FIRST: Duration = Duration::from_secs(1);

/// The channels of a process.
#[derive(Debug, Default)]
pub(super) struct Channels {
    of_process: Option<Arc<OpenChannel>>,
    /// By name.
    of_partitions: HashMap<Arc<str>, Weak<OpenChannel>>,
}

/// A channel. Dropping it unsubscribes.
#[derive(Debug)]
pub(super) struct OpenChannel {
    pub(super) name: Arc<str>,
    is_subscribed: watch::Receiver<bool>,
    /// Whether a claim has waited for the subscription.
    is_awaited: AtomicBool,
    _subscription: Subscription,
}

/// The channels on which messages of a queue arrive.
#[derive(Debug, Clone)]
pub(super) struct QueueChannels {
    of_process: Arc<OpenChannel>,
    /// `None` on one server.
    of_partitions: Option<Arc<PartitionChannels>>,
}

/// The channels of the partitions of a queue that has this shape.
type PartitionChannels = (Arc<Shape>, Vec<Arc<OpenChannel>>);

impl OpenChannel {
    pub(super) fn is_subscribed(&self) -> bool {
        *self.is_subscribed.borrow()
    }
}

impl QueueChannels {
    /// The channel for messages of this partition.
    pub(super) fn of(&self, partition: u16) -> &OpenChannel {
        let own = self.of_partitions.as_ref().and_then(|channels| channels.1.get(usize::from(partition)));
        own.unwrap_or(&self.of_process)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<OpenChannel>> {
        std::iter::once(&self.of_process).chain(self.of_partitions.iter().flat_map(|channels| &channels.1))
    }

    /// Whether both are channels of the same shape.
    pub(super) fn are(&self, others: &Self) -> bool {
        let shape = |channels: &Self| channels.of_partitions.as_ref().map(|channels| Arc::as_ptr(&channels.0));
        shape(self) == shape(others)
    }

    /// Waits once for each new channel, up to [`FIRST`], until it is subscribed to. Returns whether all that it waited for are.
    pub(super) async fn await_new(&self) -> bool {
        let is_new =
            |channel: &&Arc<OpenChannel>| !channel.is_subscribed() && !channel.is_awaited.load(Ordering::Relaxed);
        let new: Vec<_> = self.all().filter(is_new).collect();
        let each = async {
            for channel in &new {
                let _ = channel.is_subscribed.clone().wait_for(|is| *is).await;
            }
        };
        let are_subscribed = new.is_empty() || tokio::time::timeout(FIRST, each).await.is_ok();
        new.iter().for_each(|channel| channel.is_awaited.store(true, Ordering::Relaxed));
        are_subscribed
    }
}

impl StateStore {
    /// The channels of a queue: `known` if they are current, otherwise new ones.
    pub(super) async fn channels(&self, queue: &QueueName, known: Option<QueueChannels>) -> Result<QueueChannels> {
        if !self.link.is_cluster() {
            return Ok(known.unwrap_or_else(|| QueueChannels { of_process: self.own_channel(), of_partitions: None }));
        }
        let shape = self.shape(Op::QueueClaim, queue, false).await?;
        let is_current = |known: &QueueChannels| {
            known.of_partitions.as_ref().is_some_and(|channels| Arc::ptr_eq(&channels.0, &shape))
        };
        if let Some(known) = known.filter(is_current) {
            return Ok(known);
        }
        let of_process = self.own_channel();
        let channels = shape.wake_channels(&of_process.name).map(|name| self.partition_channel(name.into())).collect();
        Ok(QueueChannels { of_process, of_partitions: Some(Arc::new((shape, channels))) })
    }

    /// The plain channel of this process.
    fn own_channel(&self) -> Arc<OpenChannel> {
        let mut channels = self.waking.channels();
        let open = || {
            let name = keys::wake_channel(&self.namespace, &format!("{:016x}", fastrand::u64(..)));
            Arc::new(self.open_channel(Channel::plain(name)))
        };
        Arc::clone(channels.of_process.get_or_insert_with(open))
    }

    fn partition_channel(&self, name: Arc<str>) -> Arc<OpenChannel> {
        let mut channels = self.waking.channels();
        if let Some(open) = channels.of_partitions.get(&name).and_then(Weak::upgrade) {
            return open;
        }
        channels.of_partitions.retain(|_, channel| channel.strong_count() > 0);
        let open = Arc::new(self.open_channel(Channel::sharded(Arc::clone(&name))));
        channels.of_partitions.insert(name, Arc::downgrade(&open));
        open
    }

    fn open_channel(&self, channel: Channel) -> OpenChannel {
        let (subscribed, is_subscribed) = watch::channel(false);
        let (waking, name) = (Arc::downgrade(&self.waking), Arc::clone(channel.name()));
        let heard = Arc::clone(&name);
        let hear = move |event| {
            let Some(waking) = waking.upgrade() else { return };
            match event {
                Event::Message(message) => waking.on_message(message),
                // A claim that did not wait for this may have registered a waiter that could not be notified.
                Event::Subscribed => {
                    waking.on_gap(&heard);
                    subscribed.send_replace(true);
                }
                _ => waking.on_gap(&heard),
            }
        };
        let is_awaited = AtomicBool::new(false);
        OpenChannel { name, is_subscribed, is_awaited, _subscription: self.link.subscribe(channel, hear) }
    }
}
