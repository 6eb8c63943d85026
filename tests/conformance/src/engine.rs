//! An engine under test.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use store_core::{CacheRole, Clock, PressureReading, QueueName, Result, Retention, ServiceName, StateRole};
use tokio::sync::watch;

/// An engine under test. It opens stores.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug {
    /// Its name in reports.
    fn name(&self) -> &str;

    /// Its capabilities beyond those that every engine has. Cases that need more are skipped and reported.
    fn capabilities(&self) -> &[Capability];

    /// Every queue, key and name that a case makes begins with this.
    fn prefix(&self) -> &str;

    /// Opens both stores at `place`. If the engine has [`Capability::Reopen`], a place that is opened
    /// again has its earlier data. Two places with different names share nothing that a case could notice.
    ///
    /// # Errors
    /// The error of the engine.
    async fn open(&self, place: &str, options: &Options) -> Result<Stores>;

    /// The pressure on the state store, which is read several times a second. That of an engine without servers is unknown.
    ///
    /// # Errors
    /// The error of the engine.
    async fn pressure(&self) -> Result<watch::Receiver<PressureReading>> {
        Ok(watch::channel(PressureReading::default()).1)
    }
}

/// A capability that not every engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Data remains after all handles were dropped and the stores are opened again.
    Reopen,
    /// A write can be acknowledged when it is on disk.
    Fsync,
    /// A write can be acknowledged by a replica.
    Replication,
    /// All jobs of a queue have one order, one set of bounds and one set of ids. A queue of several partitions has one in each.
    OneOrder,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Capability::Reopen => "keeping data while nothing has it open",
            Capability::Fsync => "acknowledging a write when it is on disk",
            Capability::Replication => "a replica that acknowledges writes",
            Capability::OneOrder => "one order of all jobs of a queue",
        })
    }
}

/// The options with which a case opens the stores.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The clock of the stores.
    pub clock: Clock,
    /// The bounds on completed and dead jobs.
    pub retention: Retention,
    /// Whether the place shares no namespace with another one: for data that belongs to a namespace and is listed as a whole.
    pub own_namespace: bool,
    /// The partitions that the store declares for these queues, whatever the engine declares for the queues of cases.
    pub partitions: BTreeMap<QueueName, u16>,
}

/// Both stores of one service, and both stores of another service.
#[derive(Debug, Clone)]
pub struct Stores {
    /// The worker state store of the service [`Stores::service`].
    pub state: Arc<dyn StateRole>,
    /// The worker state store of the service [`Stores::other_service`]: it shares the queues.
    pub other_state: Arc<dyn StateRole>,
    /// The worker state store with the leases, pools and idempotency keys that all services share.
    pub shared_state: Arc<dyn StateRole>,
    /// The cache store of the service [`Stores::service`].
    pub cache: Arc<dyn CacheRole>,
    /// The cache store of the service [`Stores::other_service`]: it shares the hand-offs, nothing else.
    pub other: Arc<dyn CacheRole>,
    /// The service of `state` and `cache`.
    pub service: ServiceName,
    /// The service of `other_state` and `other`.
    pub other_service: ServiceName,
}
