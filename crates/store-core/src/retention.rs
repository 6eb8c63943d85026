//! How many finished jobs a queue keeps, and how long.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Clock, Durabilities, QueueName};

/// How many dead and completed jobs a queue keeps, and how long. If a bound is exceeded, the queue removes the oldest jobs:
/// dead jobs by their time of death, completed jobs by the end of the time for which they are kept. Each call that adds one
/// removes a bounded number, so a queue with lowered bounds shrinks step by step.
///
/// Bytes count payloads and results, and about [`Retention::ENTRY_BYTES`] more for each job. A server that has used 85 % of
/// its memory, and a file on a full disk, keep fewer completed jobs, so that draining frees space.
///
/// ```
/// use twinstore::config::Retention;
///
/// let retention = Retention::default().with_dead_count(1000);
/// assert_eq!(retention.dead_for.as_secs(), 30 * 24 * 3600);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// How long a dead job is kept. Default 30 days.
    pub dead_for: Duration,
    /// How many dead jobs are kept. Default 100,000.
    pub dead_count: u64,
    /// How many bytes the dead jobs may have together. Default 256 MiB.
    pub dead_bytes: u64,
    /// How many completed jobs are kept. Default 100,000.
    pub completed_count: u64,
    /// How many bytes the completed jobs may have together. Default 256 MiB.
    pub completed_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            dead_for: Duration::from_secs(30 * 24 * 3600),
            dead_count: 100_000,
            dead_bytes: 256 << 20,
            completed_count: 100_000,
            completed_bytes: 256 << 20,
        }
    }
}

impl Retention {
    /// How many bytes each job counts besides its payload and result: the cost of its entries on a server.
    pub const ENTRY_BYTES: u64 = 320;

    /// Sets how long a dead job is kept.
    #[must_use]
    pub fn with_dead_for(mut self, time: Duration) -> Self {
        self.dead_for = time;
        self
    }

    /// Sets how many dead jobs are kept.
    #[must_use]
    pub fn with_dead_count(mut self, count: u64) -> Self {
        self.dead_count = count;
        self
    }

    /// Sets how many bytes the dead jobs may have together.
    #[must_use]
    pub fn with_dead_bytes(mut self, bytes: u64) -> Self {
        self.dead_bytes = bytes;
        self
    }

    /// Sets how many completed jobs are kept.
    #[must_use]
    pub fn with_completed_count(mut self, count: u64) -> Self {
        self.completed_count = count;
        self
    }

    /// Sets how many bytes the completed jobs may have together.
    #[must_use]
    pub fn with_completed_bytes(mut self, bytes: u64) -> Self {
        self.completed_bytes = bytes;
        self
    }
}

/// Settings of a worker state store, on any engine.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StateOptions {
    /// The clock. Default: the server's. An embedded store is its own server.
    pub clock: Clock,
    /// How many finished jobs each queue keeps, and how long.
    pub retention: Retention,
    /// Whether the newest layouts are written. See [`StateOptions::with_newest_layouts`].
    pub newest_layouts: bool,
    /// The numbers of partitions that are declared, by queue. See [`StateOptions::with_partitions`].
    pub partitions: BTreeMap<QueueName, u16>,
    /// See [`StateOptions::with_kept_push_bytes`].
    pub kept_push_bytes: usize,
    /// For heartbeats and idempotency keys. All other calls request a durability themselves. The embedded store ignores this field.
    pub durabilities: Durabilities,
}

impl StateOptions {
    /// Sets the clock, in tests.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Declares the number of partitions of a queue, 1 to 1,024. The first push records it with the queue, 1 if none is declared,
    /// and it cannot change as long as the queue exists. A store that declares another number refuses every call on the queue
    /// with [`Error::InvalidArgument`](crate::Error::InvalidArgument); one that declares none uses the recorded number. An
    /// embedded store records and compares the number, and has one partition.
    ///
    /// Declare it in each service. If a server loses the record, the next process that declares the number or has used the queue
    /// restores it; one that does neither begins a queue of one partition under this name. Recording the number and restoring it take
    /// one call to each partition.
    ///
    /// Priorities and order hold within a partition, and each partition keeps its share of the finished jobs. A unique key holds
    /// over the queue. An id that the caller sets is recognised among the jobs with the same unique key, or among those without one
    /// ([`Queue::push`](crate::Queue::push)).
    #[must_use]
    pub fn with_partitions(mut self, queue: QueueName, partitions: u16) -> Self {
        self.partitions.insert(queue, partitions);
        self
    }

    /// Writes everything in the newest layout that this version knows. Default: `false`, the oldest that it reads, so that
    /// the version before it can still read what both write. Set it when each process that opens the namespace has this
    /// version. Where this version reads a single layout, it changes nothing. The embedded store ignores it.
    #[must_use]
    pub fn with_newest_layouts(mut self, newest: bool) -> Self {
        self.newest_layouts = newest;
        self
    }

    /// Keeps the jobs of recent pushes in the process's memory, up to this many bytes, so that they can be pushed again after a
    /// failover that may have lost them. A job counts as its payload plus 256 bytes, and is kept for 60 s. Default 0: none. The
    /// embedded store ignores it.
    #[must_use]
    pub fn with_kept_push_bytes(mut self, bytes: usize) -> Self {
        self.kept_push_bytes = bytes;
        self
    }

    /// Sets the durabilities of heartbeats and idempotency keys.
    #[must_use]
    pub fn with_durabilities(mut self, durabilities: Durabilities) -> Self {
        self.durabilities = durabilities;
        self
    }

    /// Sets the bounds for dead and completed jobs.
    #[must_use]
    pub fn with_retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }
}
