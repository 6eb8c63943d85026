//! Subscriptions to channels.
//!
//! On one server all channels share one connection. In a cluster the link subscribes to each channel at the node that has its slot,
//! with one connection for each such node. One task divides the channels among the connections ([`keep`]). Each connection has its
//! own task ([`serve`]), which also calls the listeners.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Link;
use super::cluster::Slots;
use super::upstream::Upstream;
use crate::{LinkConfig, keys};

mod keep;
mod serve;

/// What happens on a subscribed channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// From now on messages arrive; earlier ones may have been missed. Sent when the server confirms the subscription, at first and
    /// after each lost connection and each change of the node. Also sent when too many messages waited and the oldest were dropped.
    Subscribed,
    /// A published message.
    Message(Bytes),
}

/// A channel. In a cluster, channels have slots like keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    name: Arc<str>,
    is_sharded: bool,
}

/// A subscription to one channel. Dropping it unsubscribes.
///
/// The link reopens a lost connection, and detects one that does not answer within 10 s and two command time-outs. Up to 1024
/// messages of all channels of a connection wait for their listeners; beyond that, the link drops the oldest and reports that.
pub struct Subscription {
    channel: Arc<str>,
    number: u64,
    subscriptions: Arc<Subscriptions>,
}

/// The subscriptions of a link.
pub(super) struct Subscriptions {
    config: LinkConfig,
    places: Places,
    wanted: Mutex<Wanted>,
    /// Notified when a subscription begins or ends.
    changed: Notify,
}

/// The servers at which channels are subscribed to.
pub(super) enum Places {
    /// All at one server.
    One(Upstream),
    /// Each at the node that has its slot.
    Nodes(Slots),
}

#[derive(Default)]
struct Wanted {
    channels: Channels,
    /// The number of subscriptions so far.
    begun: u64,
    keeper: Option<AbortHandle>,
    is_closed: bool,
}

/// By name.
type Channels = HashMap<Arc<str>, Listened>;

/// A channel and its listeners.
#[derive(Clone)]
struct Listened {
    channel: Channel,
    listeners: Vec<Listener>,
}

#[derive(Clone)]
struct Listener {
    number: u64,
    hear: Arc<dyn Fn(Event) + Send + Sync>,
}

impl Channel {
    /// A channel of a server, or of a whole cluster: a message that is published at any node reaches subscribers at all nodes.
    pub fn plain(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), is_sharded: false }
    }

    /// A channel of the shard that has its slot: only messages that `SPUBLISH` publishes there arrive.
    pub fn sharded(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), is_sharded: true }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn slot(&self) -> u16 {
        keys::slot_of(self.name.as_bytes())
    }
}

impl Link {
    /// Subscribes to a channel. All subscriptions of a link share one connection, or one for each node of a cluster, which is
    /// opened with the first one and closed after the last one; it costs one command every 10 s. Messages are delivered at
    /// most once.
    ///
    /// Returns immediately. The task of the connection calls `hear` with each event; it must not block. The first event is
    /// [`Event::Subscribed`], except that a message may come just before it. While the server is down or refuses the subscription,
    /// there is no event, and the link tries again. It logs a refusal and tries again after 10 s. If the channel is plain, the
    /// link's other subscriptions may be interrupted meanwhile, because each attempt needs a new connection.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn subscribe(&self, channel: Channel, hear: impl Fn(Event) + Send + Sync + 'static) -> Subscription {
        Subscriptions::begin(&self.inner.subscriptions, channel, Arc::new(hear))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscriptions.end(&self.channel, self.number);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Subscriptions {
    pub(super) fn new(config: &LinkConfig, places: Places) -> Arc<Self> {
        Arc::new(Self { config: config.clone(), places, wanted: Mutex::default(), changed: Notify::new() })
    }

    fn begin(this: &Arc<Self>, channel: Channel, hear: Arc<dyn Fn(Event) + Send + Sync>) -> Subscription {
        let mut wanted = this.lock();
        wanted.begun += 1;
        let (name, number) = (Arc::clone(&channel.name), wanted.begun);
        if !wanted.is_closed {
            let listened = || Listened { channel, listeners: Vec::new() };
            let listened = wanted.channels.entry(Arc::clone(&name)).or_insert_with(listened);
            listened.listeners.push(Listener { number, hear });
            if wanted.keeper.as_ref().is_none_or(AbortHandle::is_finished) {
                wanted.keeper = Some(tokio::spawn(keep::keep(Arc::clone(this))).abort_handle());
            }
        }
        drop(wanted);
        this.changed.notify_one();
        Subscription { channel: name, number, subscriptions: Arc::clone(this) }
    }

    fn end(&self, channel: &str, number: u64) {
        let mut wanted = self.lock();
        // Dropped after the lock, because dropping a listener may end another subscription.
        let mut ended = Vec::new();
        if let Some(listened) = wanted.channels.get_mut(channel) {
            ended.extend(listened.listeners.extract_if(.., |listener| listener.number == number));
            if listened.listeners.is_empty() {
                wanted.channels.remove(channel);
            }
        }
        drop(wanted);
        drop(ended);
        self.changed.notify_one();
    }

    /// Ends all subscriptions, and closes the connections.
    pub(super) fn close(&self) {
        let mut wanted = self.lock();
        wanted.is_closed = true;
        if let Some(keeper) = wanted.keeper.take() {
            keeper.abort();
        }
        let channels = std::mem::take(&mut wanted.channels);
        drop(wanted);
        drop(channels);
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
