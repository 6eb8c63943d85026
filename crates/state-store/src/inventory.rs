//! [`Inventory`]: the names in the keys of the namespace.

use std::collections::HashSet;
use std::hash::Hash;

use async_trait::async_trait;
use redis_link::keys;
use store_core::{Cursor, Error, Inventory, LeaseName, Op, Page, PoolName, QueueName, Result, Scope, TopicName};

use crate::StateStore;

/// How many keys the server looks at in one step.
const STEP: u64 = 1000;

/// Each call is one `SCAN` with `INFO server` before it, plain commands in one round trip, O(1,000). Pushes keep no list of the queues: that would cost
/// each of them a write, and a listing is rare.
#[async_trait]
impl Inventory for StateStore {
    async fn queues(&self, after: Option<Cursor>) -> Result<Page<QueueName>> {
        let namespace = &self.namespace;
        self.scan(Op::InventoryQueues, keys::queues(namespace), after, |key| keys::queue_of(namespace, key)).await
    }

    async fn leases(&self, after: Option<Cursor>) -> Result<Page<(Scope, LeaseName)>> {
        let namespace = &self.namespace;
        self.scan(Op::InventoryLeases, keys::leases(namespace), after, |key| keys::lease_of(namespace, key)).await
    }

    async fn pools(&self, after: Option<Cursor>) -> Result<Page<(Scope, PoolName)>> {
        let namespace = &self.namespace;
        self.scan(Op::InventoryPools, keys::pools(namespace), after, |key| keys::pool_of(namespace, key)).await
    }

    async fn declared_topics(&self, after: Option<Cursor>) -> Result<Page<TopicName>> {
        let (op, namespace) = (Op::InventoryDeclaredTopics, &self.namespace);
        self.scan(op, keys::topics(namespace), after, |key| keys::topic_of(namespace, key)).await
    }
}

impl StateStore {
    /// One step of an iteration over the keys of all nodes. Returns the names in the keys that match.
    pub(crate) async fn scan<T: Clone + Eq + Hash>(
        &self,
        op: Op,
        pattern: String,
        after: Option<Cursor>,
        read: impl Fn(&str) -> Option<T> + Send,
    ) -> Result<Page<T>> {
        let scanned = self.link.scan(op, &pattern, STEP, after.as_ref().map(Cursor::as_str)).await;
        let (mut keys, next) = scanned.map_err(|error| match error {
            Error::Forbidden { .. } => Error::forbidden(op, "the user may not send SCAN: grant it `+scan`"),
            other => other,
        })?;
        let (mut items, mut seen) = (Vec::new(), HashSet::new());
        while keys.remaining() > 0 {
            let key = keys.next_bytes()?;
            let name = std::str::from_utf8(&key).ok().and_then(&read);
            items.extend(name.filter(|name| seen.insert(name.clone())));
        }
        Ok(Page::new(items, next.map(Cursor::new)))
    }
}
