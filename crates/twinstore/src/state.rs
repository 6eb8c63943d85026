//! The worker state store as a service sees it.

use std::fmt;
use std::sync::Arc;

use store_core::{
    Durability, Heartbeats, HolderName, Idempotency, LeaseName, Leases, Queue, QueueControl, QueueInspect, QueueName,
    StateRole, TypedQueue,
};
use store_worker::{Candidate, Worker, WorkerBuilder};

/// The worker state store: what it acknowledged survives what its durability says. Clones share it.
#[derive(Clone)]
pub struct State {
    engine: &'static str,
    store: Arc<dyn StateRole>,
    durability: Durability,
}

impl State {
    pub(crate) fn new(engine: &'static str, store: impl StateRole + 'static, durability: Durability) -> Self {
        Self { engine, store: Arc::new(store), durability }
    }

    /// What it runs on: `redis`, `embedded (memory)`, `embedded (file)`.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// Begins a worker on this store, whose settlements reach as far as [`State::durability`] says. Add queues, then
    /// [`build`](WorkerBuilder::build).
    pub fn worker(&self) -> WorkerBuilder {
        Worker::new(self.queue()).durability(self.durability)
    }

    /// A candidate for a leadership among this fleet, whose lease reaches as far as [`State::durability`] says.
    pub fn candidate(&self, name: LeaseName, holder: HolderName) -> Candidate {
        Candidate::new(self.leases(), name, holder).with_durability(self.durability)
    }

    /// Queues, as bytes. Each push says its durability; [`State::durability`] is what the environment asks for.
    pub fn queue(&self) -> Arc<dyn Queue> {
        self.store.clone()
    }

    /// A queue whose payloads are values of one type, pushed with [`State::durability`].
    pub fn queue_of<T: serde::Serialize + serde::de::DeserializeOwned + Sync>(&self, name: QueueName) -> TypedQueue<T> {
        TypedQueue::new(self.queue(), name).with_durability(self.durability)
    }

    /// How far a critical write of this service has to reach: as many replicas as `REDIS_STATE_MIN_REPLICAS` says, within
    /// the command time-out; [`Durability::Accepted`] where that is 0. [`State::queue_of`] and [`State::worker`] use it by
    /// themselves; pass it to what takes a durability.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Looking at queues.
    pub fn inspect(&self) -> Arc<dyn QueueInspect> {
        self.store.clone()
    }

    /// Acting on queues from outside.
    pub fn control(&self) -> Arc<dyn QueueControl> {
        self.store.clone()
    }

    /// Leases with fencing tokens.
    pub fn leases(&self) -> Arc<dyn Leases> {
        self.store.clone()
    }

    /// Who is alive.
    pub fn heartbeats(&self) -> Arc<dyn Heartbeats> {
        self.store.clone()
    }

    /// Idempotency keys that may not be lost.
    pub fn idempotency(&self) -> Arc<dyn Idempotency> {
        self.store.clone()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({})", self.engine)
    }
}
