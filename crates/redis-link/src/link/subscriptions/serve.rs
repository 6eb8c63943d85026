//! The task of one connection on which messages arrive.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store_core::Op;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Channel, Channels, Event, Listened};
use crate::link::cluster::Slots;
use crate::link::connection::Backoff;
use crate::link::upstream::{Opened, Upstream};
use crate::wire::{Failure, Messages, Received, Wire};
use crate::{LinkConfig, metered};

/// How often an idle connection is checked.
const CHECKED_EVERY: Duration = Duration::from_secs(10);
/// The pause after the server has refused a subscription.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

/// The channels of one connection.
#[derive(Clone)]
pub(super) struct Share {
    pub(super) channels: Arc<Channels>,
    /// The number of changes of the slots so far.
    pub(super) maps: u64,
}

impl Share {
    /// Whether both have the same channels with the same listeners, and the same slots.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let has_same = |(name, listened): (&Arc<str>, &Listened)| {
            other.channels.get(name).is_some_and(|other| other.is_same(listened))
        };
        self.maps == other.maps && self.channels.len() == other.channels.len() && self.channels.iter().all(has_same)
    }
}

/// The server of a connection, and its share as it changes.
pub(super) struct Place {
    pub(super) config: LinkConfig,
    pub(super) upstream: Upstream,
    pub(super) slots: Option<Slots>,
    pub(super) share: watch::Receiver<Share>,
}

/// The channels that are subscribed to, and the listeners that have received [`Event::Subscribed`].
type Served = HashMap<Arc<str>, (Channel, Vec<u64>)>;

impl Place {
    /// Keeps a connection open until its share is empty.
    pub(super) async fn keep(mut self) {
        let (mut backoff, mut has_been_open) = (Backoff::new(), false);
        while !self.share.borrow().channels.is_empty() {
            let mut reopened = self.config.reopened.subscribe();
            if let Ok(mut opened) = self.upstream.open_subscriber(&self.config).await {
                if std::mem::replace(&mut has_been_open, true) {
                    metered::reconnected(self.config.role_label(), opened.endpoint());
                }
                let Err(failure) = self.serve(&mut opened, &mut reopened, &mut backoff).await else { return };
                drop(opened);
                match failure {
                    Failure::Answered(_) => refused(failure, "SUBSCRIBE").await,
                    _ => tracing::debug!("the connection of the subscriptions was lost; reopening it"),
                }
            }
            self.doubt();
            backoff.pause().await;
        }
    }

    /// Subscribes on this connection, and calls the listeners, until it ends.
    async fn serve(
        &mut self,
        opened: &mut Opened,
        reopened: &mut watch::Receiver<u64>,
        backoff: &mut Backoff,
    ) -> Result<(), Failure> {
        let wire = opened.wire.clone();
        let (mut messages, heard) = (wire.messages(), Heard::default());
        let ended = tokio::select! {
            ended = self.subscribe(&wire, &heard, reopened, backoff) => ended,
            () = heard.listen(&mut messages) => Err(Failure::LOST),
            () = opened.ended() => Err(Failure::LOST),
        };
        while let Some(received) = messages.arrived() {
            heard.hear(received);
        }
        ended
    }

    /// Subscribes to the channels of the share, as it changes. Returns when no channel is left.
    async fn subscribe(
        &mut self,
        wire: &Wire,
        heard: &Heard,
        reopened: &mut watch::Receiver<u64>,
        backoff: &mut Backoff,
    ) -> Result<(), Failure> {
        // A server that is busy for one command time-out is not considered dead.
        let patience = self.config.command_timeout * 2;
        let (mut served, mut retry) = (Served::new(), Backoff::new());
        let mut maps = self.share.borrow().maps;
        // Changes of the share do not delay the check.
        let mut next_check = Instant::now() + CHECKED_EVERY;
        loop {
            let share = self.share.borrow_and_update().clone();
            // Channels that left the share are delivered until the server has confirmed the unsubscription.
            heard.add(&share.channels);
            if std::mem::replace(&mut maps, share.maps) != share.maps {
                check(wire, &mut served, patience).await?;
            }
            for (_, (channel, _)) in served.extract_if(|name, _| !share.channels.contains_key(name)) {
                match channel.is_sharded {
                    true => wire.unsubscribe_sharded(&channel.name, patience).await?,
                    false => wire.unsubscribe(&channel.name, patience).await?,
                }
            }
            heard.set(&share.channels);
            if share.channels.is_empty() {
                return Ok(());
            }
            let mut later = None;
            for (name, listened) in share.channels.iter() {
                let channel = &listened.channel;
                if !served.contains_key(name) {
                    let subscribed = match channel.is_sharded {
                        true => wire.subscribe_sharded(name, patience).await,
                        false => wire.subscribe(name, patience).await,
                    };
                    match subscribed {
                        Ok(()) => backoff.reset(),
                        Err(failure @ Failure::Answered(_)) if channel.is_sharded => {
                            later = Some(failure);
                            continue;
                        }
                        Err(failure) => return Err(failure),
                    }
                }
                let (_, told) = served.entry(Arc::clone(name)).or_insert_with(|| (channel.clone(), Vec::new()));
                listened.tell(told);
            }
            if later.is_some() {
                self.doubt();
            } else {
                retry.reset();
            }
            tokio::select! {
                changed = self.share.changed() => if changed.is_err() { std::future::pending().await },
                () = again(later, &mut retry) => {}
                // Calls may be sent to another server from now on.
                _ = reopened.changed(), if self.slots.is_none() => check_role(wire, true, patience).await?,
                () = sleep_until(next_check) => {
                    check(wire, &mut served, patience).await?;
                    if self.slots.is_none() {
                        check_role(wire, false, patience).await?;
                    }
                    next_check = Instant::now() + CHECKED_EVERY;
                }
            }
        }
    }

    /// Asks the nodes for the slots, because another node may have them.
    fn doubt(&self) {
        self.slots.iter().for_each(Slots::doubt);
    }
}

/// Waits until refused channels are to be tried again; forever if there are none.
async fn again(failure: Option<Failure>, retry: &mut Backoff) {
    match failure {
        None => std::future::pending().await,
        Some(failure) if failure.is_forbidden() => refused(failure, "SSUBSCRIBE").await,
        // The slot has moved.
        Some(_) => retry.pause().await,
    }
}

async fn refused(failure: Failure, command: &str) {
    let error = failure.into_error(Op::Connect, command);
    tracing::warn!(%error, "the server refuses a subscription; it is tried again every 10 s");
    tokio::time::sleep(REFUSED_PAUSE).await;
}

/// Checks the connection. Removes the sharded channels that the server has unsubscribed: it does so when their slot moves away,
/// even if the slot returns.
async fn check(wire: &Wire, served: &mut Served, patience: Duration) -> Result<(), Failure> {
    let sharded: Vec<_> = served.values().filter(|(channel, _)| channel.is_sharded).cloned().collect();
    if sharded.is_empty() {
        return wire.confirm(patience).await;
    }
    let own = wire.sharded_count(patience).await?;
    if own == Some(sharded.len()) {
        return Ok(());
    }
    // This counts the subscriptions of all clients.
    let names = sharded.iter().map(|(channel, _)| &*channel.name);
    let are_there = wire.have_subscribers(names, patience).await?.unwrap_or_default();
    for (index, (channel, _)) in sharded.iter().enumerate() {
        if are_there.get(index) != Some(&true) {
            served.remove(&channel.name);
        }
    }
    // Others have subscribed to a channel that is lost, and which one is not reported.
    let left = served.values().filter(|(channel, _)| channel.is_sharded).count();
    if own.is_some_and(|own| own != left) {
        served.retain(|_, (channel, _)| !channel.is_sharded);
    }
    Ok(())
}

/// Fails if the server is no longer a primary: servers do not end subscriptions when they become replicas. A server that does not
/// report its role is left if `is_suspect`.
async fn check_role(wire: &Wire, is_suspect: bool, patience: Duration) -> Result<(), Failure> {
    match wire.is_primary_now(patience).await? {
        Some(true) => Ok(()),
        None if !is_suspect => Ok(()),
        _ => Err(Failure::NotSent("the server is no longer the primary".into())),
    }
}

impl Listened {
    fn is_same(&self, other: &Self) -> bool {
        let numbers = |listened: &Self| listened.listeners.iter().map(|listener| listener.number).collect::<Vec<_>>();
        self.channel == other.channel && numbers(self) == numbers(other)
    }

    /// Sends [`Event::Subscribed`] to the listeners that have not received it yet.
    fn tell(&self, told: &mut Vec<u64>) {
        for listener in &self.listeners {
            if !told.contains(&listener.number) {
                told.push(listener.number);
                (listener.hear)(Event::Subscribed);
            }
        }
        told.retain(|number| self.listeners.iter().any(|listener| listener.number == *number));
    }

    fn hear(&self, event: &Event) {
        self.listeners.iter().for_each(|listener| (listener.hear)(event.clone()));
    }
}

/// The channels whose messages are delivered.
#[derive(Default)]
struct Heard(Mutex<Arc<Channels>>);

impl Heard {
    fn get(&self) -> MutexGuard<'_, Arc<Channels>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, channels: &Arc<Channels>) {
        *self.get() = Arc::clone(channels);
    }

    fn add(&self, channels: &Arc<Channels>) {
        let mut heard = self.get();
        if !Arc::ptr_eq(&heard, channels) {
            let mut all = Channels::clone(channels);
            for (name, listened) in heard.iter() {
                all.entry(Arc::clone(name)).or_insert_with(|| listened.clone());
            }
            *heard = Arc::new(all);
        }
    }

    /// Calls the listeners until the connection ends.
    async fn listen(&self, messages: &mut Messages) {
        loop {
            match messages.next().await {
                Received::Ended => return,
                received => self.hear(received),
            }
        }
    }

    fn hear(&self, received: Received<impl Deref<Target = str>>) {
        let heard = Arc::clone(&self.get());
        match received {
            Received::Message(channel, bytes) => {
                if let Some(listened) = heard.get(&*channel) {
                    listened.hear(&Event::Message(bytes));
                }
            }
            Received::Missed => heard.values().for_each(|listened| listened.hear(&Event::Subscribed)),
            Received::Ended => {}
        }
    }
}
