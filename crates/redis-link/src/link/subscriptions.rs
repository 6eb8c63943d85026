//! Subscriptions to channels. They share one connection, which is opened with the first one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Link;
use super::upstream::Upstream;
use crate::LinkConfig;
use crate::wire::{Messages, Received};

mod keep;

/// What happens on a subscribed channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// From here on, messages arrive. Earlier ones may have been missed: the server has confirmed the subscription, also
    /// after each lost connection; or too many messages waited, and the oldest were dropped.
    Subscribed,
    /// A published message.
    Message(Bytes),
}

/// A subscription to one channel. Dropping it unsubscribes.
///
/// The connection is opened again when it is lost. A connection that does not answer is noticed within 10 s and two command
/// time-outs. Up to 1024 messages of all channels wait for [`Subscription::next`]; beyond that, the oldest are dropped and
/// reported.
pub struct Subscription {
    channel: Arc<str>,
    slot: Arc<Slot>,
    messages: Option<Messages>,
    subscriptions: Arc<Subscriptions>,
}

/// Where the task that keeps the connection leaves the messages of a new connection.
#[derive(Default)]
struct Slot {
    state: Mutex<Fresh>,
    changed: Notify,
}

#[derive(Default)]
enum Fresh {
    #[default]
    None,
    /// The channel is subscribed on a new connection.
    Messages(Messages),
    Closed,
}

/// The subscriptions of a link.
pub(super) struct Subscriptions {
    config: LinkConfig,
    upstream: Upstream,
    wanted: Mutex<Wanted>,
    /// Notified when a subscription begins or ends.
    changed: Notify,
}

#[derive(Default)]
struct Wanted {
    channels: HashMap<Arc<str>, Vec<Weak<Slot>>>,
    keeper: Option<AbortHandle>,
    is_closed: bool,
}

impl Link {
    /// Subscribes to a channel. All subscriptions of a link share one connection, which is opened with the first one and
    /// closed after the last one; it costs one `PING` every 10 s. Messages are delivered at most once.
    ///
    /// Returns immediately. The first event is [`Event::Subscribed`]. While the server is down or refuses the subscription,
    /// there is no event, and the link tries again. It logs a refusal and tries again after 10 s; meanwhile the link's other
    /// subscriptions may be interrupted, too, since each attempt needs a new connection.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn subscribe(&self, channel: impl Into<Arc<str>>) -> Subscription {
        Subscriptions::begin(&self.inner.subscriptions, channel.into())
    }
}

impl Subscription {
    /// Waits for the next event; `None` after [`Link::close`]. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            // In this order: the messages of a lost connection come before those of the next.
            let received = match &mut self.messages {
                Some(messages) => tokio::select! {
                    biased;
                    received = messages.next(&self.channel) => Some(received),
                    () = self.slot.changed.notified() => None,
                },
                None => {
                    self.slot.changed.notified().await;
                    None
                }
            };
            match received {
                Some(Received::Message(bytes)) => return Some(Event::Message(bytes)),
                Some(Received::Missed) => return Some(Event::Subscribed),
                Some(Received::Ended) => self.messages = None,
                None => {}
            }
            match self.slot.take() {
                Fresh::Messages(messages) => {
                    self.messages = Some(messages);
                    return Some(Event::Subscribed);
                }
                Fresh::Closed => return None,
                Fresh::None => {}
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscriptions.end(&self.channel, &self.slot);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("is_connected", &self.messages.is_some()).finish_non_exhaustive()
    }
}

impl Slot {
    fn put(&self, fresh: Fresh) {
        *self.lock() = fresh;
        self.changed.notify_one();
    }

    /// What was put since the last call. A closed slot stays closed.
    fn take(&self) -> Fresh {
        let taken = std::mem::take(&mut *self.lock());
        if matches!(taken, Fresh::Closed) {
            self.put(Fresh::Closed);
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Fresh> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriptions {
    pub(super) fn new(config: &LinkConfig, upstream: &Upstream) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            upstream: upstream.clone(),
            wanted: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn begin(this: &Arc<Self>, channel: Arc<str>) -> Subscription {
        let slot = Arc::new(Slot::default());
        {
            let mut wanted = this.lock();
            if wanted.is_closed {
                slot.put(Fresh::Closed);
            } else {
                wanted.channels.entry(Arc::clone(&channel)).or_default().push(Arc::downgrade(&slot));
                let is_kept = wanted.keeper.as_ref().is_some_and(|keeper| !keeper.is_finished());
                if !is_kept {
                    wanted.keeper = Some(tokio::spawn(keep::keep(Arc::clone(this))).abort_handle());
                }
            }
        }
        this.changed.notify_one();
        Subscription { channel, slot, messages: None, subscriptions: Arc::clone(this) }
    }

    fn end(&self, channel: &str, slot: &Arc<Slot>) {
        let mut wanted = self.lock();
        if let Some(slots) = wanted.channels.get_mut(channel) {
            slots.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(slot)));
            if slots.is_empty() {
                wanted.channels.remove(channel);
            }
        }
        drop(wanted);
        self.changed.notify_one();
    }

    /// Ends all subscriptions, and closes the connection.
    pub(super) fn close(&self) {
        let mut wanted = self.lock();
        wanted.is_closed = true;
        if let Some(keeper) = wanted.keeper.take() {
            keeper.abort();
        }
        let slots: Vec<_> = wanted.channels.drain().flat_map(|(_, slots)| slots).collect();
        drop(wanted);
        slots.iter().filter_map(Weak::upgrade).for_each(|slot| slot.put(Fresh::Closed));
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
