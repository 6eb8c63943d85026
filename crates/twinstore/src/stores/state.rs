//! The worker state store as a service sees it.

use std::fmt;
use std::sync::Arc;

use store_core::{
    Durability, HandleName, Heartbeats, HolderName, Idempotency, Inventory, JobType, LeaseName, Leases, Queue,
    QueueControl, QueueInspect, StateRole, TypedQueue,
};
use store_worker::{Candidate, QueueSampler, Worker, WorkerBuilder};

use super::Operation;

/// The worker state store: an acknowledged write survives every failure that its durability covers. Clones share it.
///
/// Queues belong to the whole namespace: services push jobs for each other. Leases, leaderships, pools of heartbeats and
/// idempotency keys belong to this service (`SERVICE_NAME`): another service that uses the same name has another lease.
/// [`State::shared`] has the ones that all services of the namespace share.
#[derive(Clone)]
pub struct State {
    engine: &'static str,
    store: Arc<dyn StateRole>,
    shared: Arc<dyn StateRole>,
    durability: Durability,
    #[cfg(feature = "testing")]
    clock: store_core::Clock,
}

impl State {
    /// `shared` is the same store in the scope that all services share.
    pub(crate) fn new<S: StateRole + 'static>(
        engine: &'static str,
        store: S,
        shared: S,
        durability: Durability,
    ) -> Self {
        Self {
            engine,
            store: Arc::new(store),
            shared: Arc::new(shared),
            durability,
            #[cfg(feature = "testing")]
            clock: store_core::Clock::Server,
        }
    }

    /// The same with the clock by which the store decides.
    #[cfg(feature = "testing")]
    pub(crate) fn with_clock(mut self, clock: store_core::Clock) -> Self {
        self.clock = clock;
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn clock(&self) -> &store_core::Clock {
        &self.clock
    }

    /// What it runs on: `redis`, `embedded (memory)`, `embedded (file)`.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// Begins a worker on this store, whose settlements reach as far as [`State::durability`] says. Add queues, then
    /// [`build`](WorkerBuilder::build).
    pub fn worker(&self) -> WorkerBuilder {
        Worker::new(self.queue()).with_durability(self.durability)
    }

    /// A candidate for a leadership among the processes of this service, whose lease reaches as far as
    /// [`State::durability`] says.
    pub fn candidate(&self, name: LeaseName, holder: HolderName) -> Candidate {
        Candidate::new(self.leases(), name, holder).with_durability(self.durability)
    }

    /// Queues, as bytes. Each push says its durability; [`State::durability`] is what the environment asks for.
    pub fn queue(&self) -> Arc<dyn Queue> {
        self.store.clone()
    }

    /// The queue of a type of jobs. Pushes reach as far as [`State::durability`] says.
    pub fn queue_of<T: JobType>(&self) -> TypedQueue<T> {
        TypedQueue::new(self.queue()).with_durability(self.durability)
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

    /// Lists the queues, leases and pools of the namespace, those of other services too.
    pub fn inventory(&self) -> Arc<dyn Inventory> {
        self.store.clone()
    }

    /// Begins a sampler of queues' gauges for [metrics](crate::metrics). Add queues, then [`start`](QueueSampler::start).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use twinstore::prelude::*;
    /// # let environment = Environment::from_variables([
    /// #     ("SERVICE_NAME", "mailer"),
    /// #     ("REDIS_CONN_BASE_URL", "embedded:"),
    /// #     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
    /// # ]);
    /// # let stores = Stores::open(&environment).await?;
    /// let sampling = stores.state().sampler().with_queue(QueueName::new("mails")?).start(); // until it is dropped
    /// # drop(sampling);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sampler(&self) -> QueueSampler {
        QueueSampler::new(self.inspect())
    }

    /// Acting on queues from outside.
    pub fn control(&self) -> Arc<dyn QueueControl> {
        self.store.clone()
    }

    /// This service's leases with fencing tokens.
    pub fn leases(&self) -> Arc<dyn Leases> {
        self.store.clone()
    }

    /// Which members of this service's pools are alive. Workers that send heartbeats to it
    /// ([`WorkerBuilder::with_heartbeats`]) belong to this service, whatever queues they work on.
    pub fn heartbeats(&self) -> Arc<dyn Heartbeats> {
        self.store.clone()
    }

    /// An operation that takes effect once for each idempotency key, also after failures that the state store survives. Make one
    /// handle per name and share its clones.
    pub fn operation<Q, R>(&self, name: HandleName) -> Operation<Q, R>
    where
        Q: serde::Serialize,
        R: serde::Serialize + serde::de::DeserializeOwned,
    {
        Operation::new(self.idempotency(), name)
    }

    /// This service's idempotency keys that must not be lost.
    pub fn idempotency(&self) -> Arc<dyn Idempotency> {
        self.store.clone()
    }

    /// The leases, leaderships, pools and idempotency keys that all services of the namespace share.
    pub fn shared(&self) -> SharedState {
        SharedState { store: self.shared.clone(), durability: self.durability }
    }
}

/// The part of the state that all services of the namespace share: [`State::shared`]. It is separate from the part of each
/// service: a shared lease and a service's lease of the same name are two leases.
#[derive(Clone)]
pub struct SharedState {
    store: Arc<dyn StateRole>,
    durability: Durability,
}

impl SharedState {
    /// A candidate for a leadership among all services, whose lease reaches as far as [`State::durability`] says.
    pub fn candidate(&self, name: LeaseName, holder: HolderName) -> Candidate {
        Candidate::new(self.leases(), name, holder).with_durability(self.durability)
    }

    /// The fleet's leases with fencing tokens.
    pub fn leases(&self) -> Arc<dyn Leases> {
        self.store.clone()
    }

    /// Which members of the fleet's pools are alive.
    pub fn heartbeats(&self) -> Arc<dyn Heartbeats> {
        self.store.clone()
    }

    /// An operation that takes effect once for each idempotency key among all services.
    pub fn operation<Q, R>(&self, name: HandleName) -> Operation<Q, R>
    where
        Q: serde::Serialize,
        R: serde::Serialize + serde::de::DeserializeOwned,
    {
        Operation::new(self.idempotency(), name)
    }

    /// The fleet's idempotency keys: a request that one service finished is finished for all.
    pub fn idempotency(&self) -> Arc<dyn Idempotency> {
        self.store.clone()
    }
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedState")
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State({})", self.engine)
    }
}
