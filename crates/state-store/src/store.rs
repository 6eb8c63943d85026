//! The store itself, which all capabilities share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use redis_link::{Link, Slot, args, idempotency, keys};
use store_core::{Error, Namespace, Op, QueueName, Result, Scope, ServiceName, StateOptions};

use crate::leases::LeaseCalls;
use crate::queue::{self, PushGroups, Shapes, Waking};

/// The worker state store on one server. Clones share its connections.
///
/// Each call is one script in one round trip. Concurrent calls of one operation are coalesced: each has its own
/// outcome, and waits for at most one call before it. A dropped call may have been executed; sending it again is safe,
/// and jobs of a dropped claim return when its lease expires.
#[derive(Clone)]
pub struct StateStore {
    pub(crate) link: Link,
    pub(crate) namespace: Namespace,
    pub(crate) scope: Scope,
    /// The bounds of a queue's retention, as its scripts take them.
    pub(crate) bounds: Bytes,
    /// The declared number of partitions of queues.
    pub(crate) partitions: Arc<BTreeMap<QueueName, u16>>,
    pub(crate) shapes: Arc<Shapes>,
    /// Selects the partition of the next push or claim.
    pub(crate) turn: Arc<AtomicUsize>,
    pub(crate) waking: Arc<Waking>,
    pub(crate) push_groups: Arc<PushGroups>,
    pub(crate) calls: Arc<Calls>,
}

/// The coalesced calls, by capability.
pub(crate) struct Calls {
    pub(crate) leases: LeaseCalls,
    pub(crate) idempotency: idempotency::Entries,
}

impl StateStore {
    /// Opens the namespace on the server of `link`, for `service`. One round trip that writes nothing, so a full server can
    /// be opened and drained; an empty namespace takes two more, which write the layout's version.
    ///
    /// Idempotency keys, leases and pools belong to the service; [`StateStore::shared`] has those of the whole namespace.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the namespace was written in another layout; those of the link.
    pub async fn open(link: Link, namespace: Namespace, service: ServiceName, options: StateOptions) -> Result<Self> {
        if !has_layout(&link, &namespace).await? {
            let (key, version) = (keys::layout(&namespace), keys::LAYOUT_VERSION.to_string());
            link.command(Op::Connect, "SETNX", args![&key, &version]).await?;
            has_layout(&link, &namespace).await?;
        }
        Ok(Self::on(link, namespace, service, options))
    }

    /// Opens the namespace as [`StateStore::open`] does, but never writes: `None` if no store was ever opened there. One
    /// round trip.
    ///
    /// # Errors
    /// As [`StateStore::open`].
    pub async fn open_existing(
        link: Link,
        namespace: Namespace,
        service: ServiceName,
        options: StateOptions,
    ) -> Result<Option<Self>> {
        let exists = has_layout(&link, &namespace).await?;
        Ok(exists.then(|| Self::on(link, namespace, service, options)))
    }

    fn on(link: Link, namespace: Namespace, service: ServiceName, options: StateOptions) -> Self {
        let link = link.with_clock(options.clock);
        let bounds = queue::bounds(&options.retention);
        let calls = Calls { leases: LeaseCalls::new(&link), idempotency: idempotency::Entries::new(&link) };
        Self {
            link,
            namespace,
            scope: service.into(),
            bounds,
            partitions: Arc::new(options.partitions),
            shapes: Arc::default(),
            turn: Arc::new(AtomicUsize::new(fastrand::usize(..))),
            waking: Arc::default(),
            push_groups: Arc::default(),
            calls: Arc::new(calls),
        }
    }

    /// The same store with the idempotency keys, leases and pools that all services of the namespace share. Queues are the
    /// same.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { scope: Scope::Shared, ..self.clone() }
    }

    /// The same store with the idempotency keys, leases and pools of another service. Queues are the same.
    #[must_use]
    pub fn for_service(&self, service: ServiceName) -> Self {
        Self { scope: service.into(), ..self.clone() }
    }

    /// The slot of the keys of leases or requests: calls on keys of one slot may be coalesced. A server without slots
    /// is one slot.
    pub(crate) fn slot(&self) -> Slot {
        Slot::SERVER
    }
}

/// Whether the namespace was ever opened.
async fn has_layout(link: &Link, namespace: &Namespace) -> Result<bool> {
    let stored = link.command(Op::Connect, "GET", args![keys::layout(namespace)]).await?;
    match stored.reply.as_str() {
        Some(version) if version == keys::LAYOUT_VERSION.to_string() => Ok(true),
        None if stored.reply.is_nil() => Ok(false),
        _ => Err(Error::corrupt(Op::Connect, "the namespace was written by a version with another layout")),
    }
}

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateStore")
            .field("namespace", &self.namespace)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
