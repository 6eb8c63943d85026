//! [`StoresOptions`]: the settings that a service makes in code.

use std::collections::BTreeMap;

use store_core::{Durabilities, QueueName, Retention};

/// Settings that a service gives in code, for [`Stores::open_with`](crate::Stores::open_with).
///
/// They replace the defaults of the variables. A variable that is set takes precedence, so an operator can change a fleet
/// without a new build: with `REDIS_STATE_RETAIN_DEAD_COUNT=500` the service below keeps 500 dead jobs per queue.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), twinstore::StartError> {
/// use twinstore::Stores;
/// use twinstore::config::{Environment, Retention, StoresOptions};
///
/// let environment = Environment::from_variables([
///     ("SERVICE_NAME", "billing"),
///     ("REDIS_CONN_BASE_URL", "embedded:"),
///     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
/// ]);
/// let retention = Retention::default().with_dead_count(1000).with_completed_count(1000);
/// let options = StoresOptions::new().with_retention(retention);
/// let stores = Stores::open_with(&environment, options).await?;
/// assert!(stores.warnings().is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoresOptions {
    retention: Retention,
    newest_layouts: bool,
    partitions: BTreeMap<QueueName, u16>,
    kept_push_bytes: usize,
    durabilities: Durabilities,
}

impl StoresOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many dead and completed jobs each queue keeps.
    #[must_use]
    pub fn with_retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Whether both stores write everything in the newest layout that this version knows. Default: `false`, the oldest that it
    /// reads, so that services with the version before it can still read what is written. Set it when each service on the
    /// servers has this version. Where this version reads a single layout, it changes nothing. The variable
    /// `STORE_LAYOUTS` takes precedence.
    #[must_use]
    pub fn with_newest_layouts(mut self, newest: bool) -> Self {
        self.newest_layouts = newest;
        self
    }

    /// Declares the number of partitions of a queue, 1 to 1,024. Default: none declared.
    ///
    /// The first push to a queue records the number, 1 if none is declared. It cannot change as long as the queue exists. A
    /// service that declares another number gets [`Error::InvalidArgument`](crate::Error::InvalidArgument) from every call on the
    /// queue; a service that declares none uses the recorded number. So it is enough that the services declare it that may push
    /// first.
    ///
    /// On one server, partitions only cost: batches are smaller, and an idle worker registers in each partition. They are for
    /// one queue that uses several servers of a cluster. Priorities and order hold within a partition. A unique key holds over
    /// the queue. An id that the caller sets is recognised among the jobs with the same unique key, or among those without one
    /// ([`Queue::push`](crate::queue::Queue::push)). An embedded store records and compares the number, and has one partition.
    ///
    /// ```
    /// use twinstore::config::StoresOptions;
    /// use twinstore::queue::QueueName;
    ///
    /// let options = StoresOptions::new().with_partitions(QueueName::new("mails")?, 4);
    /// # let _ = options;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_partitions(mut self, queue: QueueName, partitions: u16) -> Self {
        self.partitions.insert(queue, partitions);
        self
    }

    /// Sets the durability that the writes of each capability request on a server. The variables `REDIS_STATE_QUEUE_DURABILITY`,
    /// `REDIS_STATE_LEASE_DURABILITY`, `REDIS_STATE_HEARTBEAT_DURABILITY` and `REDIS_STATE_IDEMPOTENCY_DURABILITY` take precedence.
    /// An embedded file makes every write durable.
    #[must_use]
    pub fn with_durabilities(mut self, durabilities: Durabilities) -> Self {
        self.durabilities = durabilities;
        self
    }

    pub(crate) fn durabilities(&self) -> Durabilities {
        self.durabilities
    }

    /// Keeps the jobs of recent pushes in the process's memory, up to this many bytes, for
    /// [`State::push_again`](crate::State::push_again). A job counts as its payload plus 256 bytes, and is kept for 60 s. Default 0:
    /// none.
    #[must_use]
    pub fn with_kept_push_bytes(mut self, bytes: usize) -> Self {
        self.kept_push_bytes = bytes;
        self
    }

    pub(crate) fn kept_push_bytes(&self) -> usize {
        self.kept_push_bytes
    }

    pub(crate) fn partitions(&self) -> &BTreeMap<QueueName, u16> {
        &self.partitions
    }

    pub(crate) fn newest_layouts(&self) -> bool {
        self.newest_layouts
    }

    pub(crate) fn retention(&self) -> Retention {
        self.retention
    }
}
