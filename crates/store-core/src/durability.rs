//! The durability that a write requests, and the durability that it reached.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The durability that a write must reach before the call returns.
///
/// If it is not reached in time, the call returns [`Error::NotDurable`](crate::Error::NotDurable). The write was executed and
/// is kept.
///
/// | level | crash of the server process | crash of its machine | failover | cost |
/// |---|---|---|---|---|
/// | [`Accepted`](Self::Accepted) | survives with an append-only file | loses up to about 1 s with `appendfsync everysec` | loses what the promoted replica had not received | none |
/// | [`Replicated`](Self::Replicated) | as `Accepted` | as `Accepted`, unless a replica is promoted | survives, unless another replica is promoted than those that have the write. If all replicas have it: survives | a wait for the replicas |
/// | [`Fsynced`](Self::Fsynced) | survives | survives, if the disk does | as `Accepted` | a wait for an fsync |
///
/// After a failover, the old primary may acknowledge writes for some seconds, until it learns that it was replaced. These writes
/// are lost. It acknowledges a `Replicated` write only while enough replicas still follow it. `State::loss_reports` reports the
/// writes that a failover may have lost.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::durability::Durability;
/// use twinstore::queue::{NewJob, QueueName};
/// use twinstore::{Bytes, ErrorKind};
///
/// let (queue, mails) = (stores.state().queue(), QueueName::new("mails")?);
/// let jobs = [NewJob::new(Bytes::from("hello"))];
/// assert!(queue.push(&mails, &jobs, Durability::Accepted).await.is_ok());
///
/// let fsynced = Durability::Fsynced { within: Duration::from_secs(1) };
/// let error = queue.push(&mails, &jobs, fsynced).await.expect_err("this store is in memory");
/// assert_eq!(error.kind(), ErrorKind::Unsupported);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The server has executed the write. The server's settings determine what it survives. With `appendfsync everysec`, it
    /// survives a crash of the process; a crash of the machine loses up to about one second of writes. No extra cost.
    #[default]
    Accepted,
    /// `replicas` replicas have the write in memory (`WAIT`, <https://redis.io/docs/latest/commands/wait/>). One more command in
    /// the same round trip, which lasts until the replicas have answered. It is sent on the connection of the write, directly
    /// after it. If the connection ends, the call returns an error or repeats the write.
    Replicated {
        /// The number of replicas. At least 1.
        replicas: u32,
        /// How long to wait for them. Rounded up to a millisecond.
        within: Duration,
    },
    /// The write is on the server's disk. A Redis-compatible server grants it only with settings for which a power cut was
    /// measured to lose no acknowledged write. Otherwise the call returns `Unsupported` before it writes anything.
    ///
    /// | server | `appendonly yes` and `appendfsync always` | `appendonly yes` and `appendfsync everysec` |
    /// |---|---|---|
    /// | Redis from 8.2 | granted | granted; a write takes up to 2 s |
    /// | Redis 7.2 to 8.1, Valkey | granted | refused: `WAITAOF` answers before the fsync |
    /// | Redis 7.0, and servers without `WAITAOF` | granted, except while the append-only file is rewritten: `Unavailable` | refused |
    ///
    /// All of them need `no-appendfsync-on-rewrite no`, the default, and a user with the right `+config|get`. That right
    /// also shows the passwords `masterauth` and `requirepass`. If a setting changes during a write, the call returns
    /// [`Error::NotDurable`](crate::Error::NotDurable).
    ///
    /// Kvrocks grants it if `rocksdb.write_options.sync` is `yes`; that was not measured.
    ///
    /// An embedded file grants it with every commit. An embedded store in memory refuses it.
    Fsynced {
        /// How long to wait for it.
        within: Duration,
    },
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Accepted => f.write_str("accepted"),
            Durability::Replicated { replicas, within } => {
                write!(f, "replicated to {replicas} within {} ms", within.as_millis())
            }
            Durability::Fsynced { within } => write!(f, "on disk within {} ms", within.as_millis()),
        }
    }
}

/// The durability that the writes of each capability request if the call does not request one. `None` selects the default that
/// the field documents. The variables `REDIS_STATE_QUEUE_DURABILITY`, `REDIS_STATE_LEASE_DURABILITY`,
/// `REDIS_STATE_HEARTBEAT_DURABILITY` and `REDIS_STATE_IDEMPOTENCY_DURABILITY` take precedence.
///
/// The rule is that a call names its durability. Only calls that cannot, and the runtimes that make calls for a service, need a default of their
/// own: these four. Steps, retries, runs, sessions, resume tokens, commits in homes, schedules and topics take a durability with each call,
/// and the handles of `State` for them request `REDIS_STATE_MIN_REPLICAS` replicas, as queues do by default.
///
/// ```
/// use std::time::Duration;
/// use twinstore::config::StoresOptions;
/// use twinstore::durability::{Durabilities, Durability};
///
/// let two = Durability::Replicated { replicas: 2, within: Duration::from_secs(1) };
/// let durabilities = Durabilities::default().with_leases(two).with_idempotency(two);
/// assert_eq!((durabilities.leases, durabilities.queues), (Some(two), None));
/// let options = StoresOptions::new().with_durabilities(durabilities);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Durabilities {
    /// For the pushes of typed queues and the settlements of workers. Default: `REDIS_STATE_MIN_REPLICAS` replicas, or
    /// [`Durability::Accepted`] if that is 0. A claim or an extension is always [`Durability::Accepted`]: if it is lost, the job is
    /// delivered again.
    pub queues: Option<Durability>,
    /// For the leases of leaderships and their renewals. Default: as for queues.
    pub leases: Option<Durability>,
    /// For heartbeats. Default [`Durability::Accepted`]: the next heartbeat replaces a lost one.
    pub heartbeats: Option<Durability>,
    /// For the keys and responses of idempotent operations. Default [`Durability::Accepted`]: if a failover loses a key, a repeated
    /// request is executed again.
    pub idempotency: Option<Durability>,
}

impl Durabilities {
    /// Sets the durability for queues and workers.
    #[must_use]
    pub fn with_queues(mut self, durability: Durability) -> Self {
        self.queues = Some(durability);
        self
    }

    /// Sets the durability for leaderships.
    #[must_use]
    pub fn with_leases(mut self, durability: Durability) -> Self {
        self.leases = Some(durability);
        self
    }

    /// Sets the durability for heartbeats.
    #[must_use]
    pub fn with_heartbeats(mut self, durability: Durability) -> Self {
        self.heartbeats = Some(durability);
        self
    }

    /// Sets the durability for idempotent operations.
    #[must_use]
    pub fn with_idempotency(mut self, durability: Durability) -> Self {
        self.idempotency = Some(durability);
        self
    }
}

/// The durability that a write reached, as the server reported it.
///
/// ```
/// use std::time::Duration;
/// use twinstore::durability::{Durability, Reached};
///
/// let reached = Reached::new(1, false); // one replica has the write; the disk was not requested
/// let replicated = |replicas| Durability::Replicated { replicas, within: Duration::from_secs(1) };
/// assert!(reached.satisfies(replicated(1)));
/// assert!(!reached.satisfies(replicated(2)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Reached {
    /// The number of replicas that have acknowledged the write. 0 if the write did not request replicas.
    pub replicas: u32,
    /// Whether the write is on the server's disk. `false` if the write did not request that.
    pub on_disk: bool,
}

impl Reached {
    /// What an engine reports.
    pub fn new(replicas: u32, on_disk: bool) -> Self {
        Self { replicas, on_disk }
    }

    /// Whether this is at least the durability `wanted`.
    pub fn satisfies(self, wanted: Durability) -> bool {
        match wanted {
            Durability::Accepted => true,
            Durability::Replicated { replicas, .. } => self.replicas >= replicas,
            Durability::Fsynced { .. } => self.on_disk,
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} replicas, {}", self.replicas, if self.on_disk { "on disk" } else { "not known to be on disk" })
    }
}

/// The result of a write that takes a [`Durability`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::durability::{Durability, Reached};
/// use twinstore::Bytes;
/// use twinstore::queue::{NewJob, QueueName};
///
/// let mails = QueueName::new("mails")?;
/// let jobs = [NewJob::new(Bytes::from("hello"))];
/// let receipt = stores.state().queue().push(&mails, &jobs, Durability::Accepted).await?;
/// assert_eq!(receipt.value.len(), 1);
/// assert_eq!(receipt.reached, Reached::new(0, false)); // neither replicas nor the disk were requested
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[must_use]
pub struct Receipt<T> {
    /// The outcome.
    pub value: T,
    /// The durability that the write reached. At least the one that it requested.
    pub reached: Reached,
}

impl<T> Receipt<T> {
    /// What an engine returns.
    pub fn new(value: T, reached: Reached) -> Self {
        Self { value, reached }
    }

    /// Applies `change` to the outcome.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Receipt<U> {
        Receipt { value: change(self.value), reached: self.reached }
    }
}
