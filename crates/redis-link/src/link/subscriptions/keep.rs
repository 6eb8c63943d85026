//! The task that divides the channels among connections.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::serve::{Place, Share};
use super::{Channels, Places, Subscriptions};
use crate::Endpoint;
use crate::link::cluster::Slots;
use crate::link::upstream::Upstream;

/// A connection that a task keeps open. Dropping it closes the connection.
struct Kept {
    share: watch::Sender<Share>,
    task: JoinHandle<()>,
}

impl Kept {
    /// Changes the share. A connection whose share stays the same is not woken.
    fn set(&self, share: Share) {
        self.share.send_if_modified(|present| {
            let is_changed = !present.is_same(&share);
            if is_changed {
                *present = share;
            }
            is_changed
        });
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps connections until no subscription is left.
pub(super) async fn keep(subscriptions: Arc<Subscriptions>) {
    // By node; without a cluster, the key is `None`.
    let mut kept: HashMap<Option<Endpoint>, Kept> = HashMap::new();
    let mut left: Vec<Kept> = Vec::new();
    let (mut slots, mut maps) = (subscriptions.places.slots(), 0);
    while let Some(shares) = subscriptions.shares(slots.as_ref()) {
        // Connections that are no longer needed still deliver messages that were published before.
        left.retain(|kept| !kept.task.is_finished());
        left.extend(kept.extract_if(|node, _| !shares.contains_key(node)).map(|(_, kept)| kept));
        left.iter().for_each(|kept| kept.set(Share { channels: Arc::default(), maps }));
        for (node, channels) in shares {
            let share = Share { channels: Arc::new(channels), maps };
            if let Some(kept) = kept.get(&node) {
                kept.set(share);
                continue;
            }
            let upstream = subscriptions.places.upstream(node.as_ref());
            let (sender, share) = watch::channel(share);
            let place = Place { config: subscriptions.config.clone(), upstream, slots: slots.clone(), share };
            kept.insert(node, Kept { share: sender, task: tokio::spawn(place.keep()) });
        }
        tokio::select! {
            () = subscriptions.changed.notified() => {}
            is_there = changed(slots.as_mut()) => match is_there {
                true => maps += 1,
                false => return,
            },
        }
    }
}

/// Waits until other nodes may have the slots. Returns whether the cluster still exists.
async fn changed(slots: Option<&mut Slots>) -> bool {
    match slots {
        Some(slots) => slots.changed().await,
        None => std::future::pending().await,
    }
}

impl Places {
    fn slots(&self) -> Option<Slots> {
        match self {
            Self::One(_) => None,
            Self::Nodes(slots) => Some(slots.clone()),
        }
    }

    fn upstream(&self, node: Option<&Endpoint>) -> Upstream {
        match (self, node) {
            (_, Some(node)) => Upstream::Server(node.clone()),
            (Self::One(upstream), None) => upstream.clone(),
            (Self::Nodes(_), None) => unreachable!("invariant: each channel of a cluster has a node"),
        }
    }
}

impl Subscriptions {
    /// The channels of each node; `None` if no subscription is left. Then the next subscription starts another task.
    fn shares(&self, slots: Option<&Slots>) -> Option<HashMap<Option<Endpoint>, Channels>> {
        let mut wanted = self.lock();
        if wanted.channels.is_empty() {
            wanted.keeper = None;
            return None;
        }
        let mut shares: HashMap<_, Channels> = HashMap::new();
        for (name, listened) in &wanted.channels {
            let node = slots.map(|slots| slots.owner(listened.channel.slot()));
            // The channels of a slot without a node wait for the next change of the slots.
            if let Some(None) = node {
                continue;
            }
            shares.entry(node.flatten()).or_default().insert(Arc::clone(name), listened.clone());
        }
        Some(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, Listened, Listener};
    use super::*;

    fn share(channels: &[(&str, &[u64])], maps: u64) -> Share {
        let listened = |(name, numbers): &(&str, &[u64])| {
            let listeners = numbers.iter().map(|number| Listener { number: *number, hear: Arc::new(|_| {}) });
            let channel = Channel::plain(*name);
            (Arc::clone(channel.name()), Listened { channel, listeners: listeners.collect() })
        };
        Share { channels: Arc::new(channels.iter().map(listened).collect()), maps }
    }

    #[tokio::test]
    async fn only_a_connection_whose_share_changes_is_woken() {
        let (sender, mut changes) = watch::channel(share(&[("a", &[1]), ("b", &[2, 3])], 0));
        let kept = Kept { share: sender, task: tokio::spawn(async {}) };
        kept.set(share(&[("b", &[2, 3]), ("a", &[1])], 0));
        assert!(!changes.has_changed().unwrap());
        let changed = [
            share(&[("a", &[1]), ("b", &[2])], 0),
            share(&[("a", &[1])], 0),
            share(&[("c", &[1])], 0),
            share(&[("c", &[4])], 0),
            share(&[("c", &[4])], 1),
        ];
        for share in changed {
            kept.set(share);
            assert!(changes.has_changed().unwrap());
            changes.mark_unchanged();
        }
    }
}
