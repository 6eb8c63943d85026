//! Notifications of writes: each key that can be watched has a channel, on which the scripts that write it publish.

use redis_link::keys::{self, TopicKeys};
use redis_link::{Arg, Channel, Link};
use store_core::{Notifications, Notify, RunId, Subscribed, TopicName};

use crate::StateStore;

/// The piece of a script that publishes.
pub(crate) const PIECE: &str = include_str!("../lua/notify_watchers.lua");

/// The command with which scripts publish. In a cluster, only the node with the slot of the key handles a message.
pub(crate) fn publish_command(link: &Link) -> Arg {
    Arg::fixed(if link.is_cluster() { "SPUBLISH" } else { "PUBLISH" })
}

impl StateStore {
    /// Each call costs a channel of the link's [subscriptions](Link::subscribe), which share one connection.
    fn watch_key(&self, key: &str, notify: Notify) -> Subscribed {
        let name = keys::watch_channel(key);
        let channel = if self.link.is_cluster() { Channel::sharded(name) } else { Channel::plain(name) };
        Box::new(self.link.subscribe(channel, move |_| notify()))
    }
}

/// One subscription per key, on the connection on which the store's waiters get their wake-ups.
impl Notifications for StateStore {
    fn of_run(&self, run: &RunId, notify: Notify) -> Subscribed {
        self.watch_key(&keys::run(&self.namespace, run), notify)
    }

    fn of_partition(&self, topic: &TopicName, partition: u16, of: u16, notify: Notify) -> Subscribed {
        self.watch_key(&TopicKeys::new(&self.namespace, topic, partition, of).events, notify)
    }
}
