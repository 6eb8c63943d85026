//! The task that keeps the connection of the subscriptions open.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use store_core::Op;

use super::{Fresh, Slot, Subscriptions};
use crate::link::connection::Backoff;
use crate::metered;
use crate::wire::{Failure, Wire};

/// How often an idle connection is checked.
const CHECKED_EVERY: Duration = Duration::from_secs(10);
/// The pause after the server has refused a subscription.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);

type Channels = HashMap<Arc<str>, Vec<Weak<Slot>>>;

/// Opens a connection until no subscription is left.
pub(super) async fn keep(subscriptions: Arc<Subscriptions>) {
    let mut backoff = Backoff::new();
    let mut has_been_open = false;
    loop {
        if let Ok(mut opened) = subscriptions.upstream.open_subscriber(&subscriptions.config).await {
            let wire = opened.wire.clone();
            if std::mem::replace(&mut has_been_open, true) {
                metered::reconnected(subscriptions.config.role_label());
            }
            let served = tokio::select! {
                served = serve(&subscriptions, &wire, &mut backoff) => served,
                () = opened.ended() => Err(Failure::LOST),
            };
            match served {
                Ok(()) => return,
                Err(failure @ Failure::Answered(_)) => {
                    let error = failure.into_error(Op::Connect, "SUBSCRIBE");
                    tracing::warn!(%error, "the server refuses a subscription; it is tried again every 10 s");
                    drop((wire, opened));
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
                Err(_) => tracing::debug!("the connection of the subscriptions was lost; reopening it"),
            }
        }
        if subscriptions.leave_if_unused() {
            return;
        }
        backoff.pause().await;
    }
}

/// Subscribes to the wanted channels on this connection. Returns when no subscription is left, or fails with the connection.
async fn serve(subscriptions: &Subscriptions, wire: &Wire, backoff: &mut Backoff) -> Result<(), Failure> {
    // A server that is busy for one command time-out is not taken for a dead one.
    let patience = subscriptions.config.command_timeout * 2;
    let mut served = Channels::new();
    loop {
        if subscriptions.leave_if_unused() {
            return Ok(());
        }
        let wanted = subscriptions.lock().channels.clone();
        for channel in served.extract_if(|channel, _| !wanted.contains_key(channel)).map(|(channel, _)| channel) {
            wire.unsubscribe(&channel, patience).await?;
        }
        for (channel, slots) in wanted {
            let earlier = served.get(&channel);
            let is_new =
                |slot: &&Weak<Slot>| !earlier.is_some_and(|earlier| earlier.iter().any(|one| one.ptr_eq(slot)));
            // Each begins to receive before the server can send the first message.
            let fresh: Vec<_> = slots.iter().filter(is_new).map(|slot| (slot.clone(), wire.messages())).collect();
            if earlier.is_none() {
                wire.subscribe(&channel, patience).await?;
                backoff.reset();
            }
            for (slot, messages) in fresh {
                if let Some(slot) = slot.upgrade() {
                    slot.put(Fresh::Messages(messages));
                }
            }
            served.insert(channel, slots);
        }
        tokio::select! {
            () = subscriptions.changed.notified() => {}
            () = tokio::time::sleep(CHECKED_EVERY) => wire.confirm(patience).await?,
        }
    }
}

impl Subscriptions {
    /// Whether no subscription is left. Then the next one starts another task.
    fn leave_if_unused(&self) -> bool {
        let mut wanted = self.lock();
        let is_unused = wanted.channels.is_empty();
        if is_unused {
            wanted.keeper = None;
        }
        is_unused
    }
}
