//! The environment of a case: stores, unique names, and a clock of its own.

use std::sync::Arc;
use std::time::Duration;

use store_core::{
    Clock, HolderName, Idempotency, Key, LeaseName, ManualClock, PoolName, PressureReading, QueueName, Retention,
    ServiceName, StreamName, Timestamp, Ttl, UniqueKey,
};
use tokio::sync::watch;

use crate::engine::{Capability, Engine, Options, Stores};
use crate::verdict::BrokenPromise;

/// The first time of the manual clock of every case.
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The stores of one case, opened for it, with a clock that only this case moves.
#[derive(Debug)]
pub struct Fixture {
    engine: Arc<dyn Engine>,
    place: String,
    options: Options,
    clock: ManualClock,
    stores: Stores,
}

impl Fixture {
    /// Opens a new place of an engine with a manual clock.
    ///
    /// # Errors
    /// [`BrokenPromise`] if the engine cannot be opened.
    pub async fn open(engine: &Arc<dyn Engine>) -> Result<Self, BrokenPromise> {
        let clock = ManualClock::new(START);
        let options = Options { clock: Clock::Manual(clock.clone()), ..Options::default() };
        Self::open_with(engine, options, clock).await
    }

    async fn open_with(engine: &Arc<dyn Engine>, options: Options, clock: ManualClock) -> Result<Self, BrokenPromise> {
        let place = format!("{}-{}", engine.prefix(), random_word());
        let stores = engine.open(&place, &options).await?;
        Ok(Self { engine: Arc::clone(engine), place, options, clock, stores })
    }

    /// Another place, which uses the store's own clock.
    pub(crate) async fn on_server_clock(self) -> Result<Self, BrokenPromise> {
        Self::open_with(&self.engine, Options { clock: Clock::Server, ..self.options }, self.clock).await
    }

    /// Another place, with other bounds on finished jobs.
    pub(crate) async fn with_retention(self, retention: Retention) -> Result<Self, BrokenPromise> {
        Self::open_with(&self.engine, Options { retention, ..self.options }, self.clock).await
    }

    /// Another place, which has a namespace of its own.
    pub(crate) async fn in_own_namespace(self) -> Result<Self, BrokenPromise> {
        Self::open_with(&self.engine, Options { own_namespace: true, ..self.options }, self.clock).await
    }

    /// The same place after every handle to it was dropped.
    pub(crate) async fn reopen(self) -> Result<Self, BrokenPromise> {
        let Self { engine, place, options, clock, stores } = self;
        drop(stores);
        let stores = engine.open(&place, &options).await?;
        Ok(Self { engine, place, options, clock, stores })
    }

    /// The same place after every handle to it was dropped, with a store that declares these partitions.
    pub(crate) async fn declaring(
        mut self,
        partitions: impl IntoIterator<Item = (QueueName, u16)>,
    ) -> Result<Self, BrokenPromise> {
        self.options.partitions = partitions.into_iter().collect();
        self.reopen().await
    }

    /// The same stores and clock, for another task of the case.
    pub(crate) fn share(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            place: self.place.clone(),
            options: self.options.clone(),
            clock: self.clock.clone(),
            stores: self.stores.clone(),
        }
    }

    /// Whether the engine has this capability.
    pub(crate) fn can(&self, capability: Capability) -> bool {
        self.engine.capabilities().contains(&capability)
    }

    /// The pressure on the state store.
    pub(crate) async fn pressure(&self) -> Result<watch::Receiver<PressureReading>, BrokenPromise> {
        Ok(self.engine.pressure().await?)
    }

    /// The time of the case's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the case's clock.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Both stores that keep idempotency keys.
    pub(crate) fn idempotency(&self) -> [Arc<dyn Idempotency>; 2] {
        [self.stores.state.clone(), self.stores.cache.clone()]
    }

    /// A text that no other case uses.
    pub(crate) fn text(&self, what: &str) -> String {
        format!("{}-{what}", self.place)
    }

    /// The queue that this case calls `what`.
    pub(crate) fn queue(&self, what: &str) -> QueueName {
        queue(&self.place, what)
    }

    /// The key that this case calls `what`.
    pub(crate) fn key(&self, what: &str) -> Key {
        Key::new(self.text(what)).expect("invariant: cases use short plain names")
    }

    /// The lease that this case calls `what`.
    pub(crate) fn lease(&self, what: &str) -> LeaseName {
        LeaseName::new(self.text(what)).expect("invariant: cases use short plain names")
    }

    /// The stream that this case calls `what`.
    pub(crate) fn stream(&self, what: &str) -> StreamName {
        StreamName::new(self.text(what)).expect("invariant: cases use short plain names")
    }

    /// The pool that this case calls `what`.
    pub(crate) fn pool(&self, what: &str) -> PoolName {
        PoolName::new(self.text(what)).expect("invariant: cases use short plain names")
    }
}

impl std::ops::Deref for Fixture {
    type Target = Stores;

    fn deref(&self) -> &Stores {
        &self.stores
    }
}

/// What cases call their queues, those of the inventory and with hostile names excepted.
pub(crate) const QUEUES: [&str; 3] = ["queue", "other", "cancelled"];

/// The queue that a case at a place calls `what`.
pub(crate) fn queue(place: &str, what: &str) -> QueueName {
    QueueName::new(format!("{place}-{what}")).expect("invariant: cases use short plain names")
}

/// Eight random letters and digits.
pub(crate) fn random_word() -> String {
    std::iter::repeat_with(|| fastrand::char('a'..='z')).take(8).collect()
}

/// A holder of leases, a worker, a member of a pool.
pub(crate) fn holder(name: &str) -> HolderName {
    HolderName::new(name).expect("invariant: cases use short plain names")
}

/// A service.
pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("invariant: engines use short plain prefixes")
}

/// A unique key; unique within its queue, hence the same in every case.
pub(crate) fn unique_key(name: &str) -> UniqueKey {
    UniqueKey::new(name).expect("invariant: cases use short plain names")
}

/// This many milliseconds.
pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// This many seconds.
pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A TTL of this many milliseconds.
pub(crate) fn ttl_ms(millis: u64) -> Ttl {
    Ttl::new(ms(millis)).expect("invariant: cases use TTLs within their range")
}

/// The pause between two checks of a condition. If it never becomes true, the deadline of the case ends the wait.
pub(crate) async fn look_again() {
    tokio::time::sleep(ms(5)).await;
}
