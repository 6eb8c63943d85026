//! How far a write has to reach before it is acknowledged, and how far it did.

use std::fmt;
use std::time::Duration;

/// How far a write has to reach before the call returns.
///
/// A level that is not reached in time is [`Error::NotDurable`](crate::Error::NotDurable): the write stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The server has executed it. It survives what the server's own settings say (`appendfsync everysec`: a process
    /// that dies; up to about a second may be lost when the machine dies). No extra cost.
    #[default]
    Accepted,
    /// `replicas` replicas have it in memory (`WAIT`, <https://redis.io/docs/latest/commands/wait/>). One more command in
    /// the same round trip, which lasts until the replicas have answered.
    Replicated {
        /// How many replicas; at least 1.
        replicas: u32,
        /// How long to wait for them; rounded up to a millisecond.
        within: Duration,
    },
    /// It is on the disk of the server. A Redis-compatible server grants it only with settings for which a power cut was
    /// measured to lose no acknowledged write. Everywhere else the call returns `Unsupported` before it writes anything.
    ///
    /// | server | `appendonly yes` and `appendfsync always` | `appendonly yes` and `appendfsync everysec` |
    /// |---|---|---|
    /// | Redis from 8.2 | granted | granted; a write takes up to 2 s |
    /// | Redis 7.2 to 8.1, Valkey | granted | refused: `WAITAOF` answers before the fsync |
    /// | Redis 7.0, and servers without `WAITAOF` | granted, except while the append-only file is rewritten: `Unavailable` | refused |
    ///
    /// All of them need `no-appendfsync-on-rewrite no`, the default, and a user with the right `+config|get`. That right
    /// also shows the passwords `masterauth` and `requirepass`. If a setting changes while a write is under way, the call
    /// returns [`Error::NotDurable`](crate::Error::NotDurable).
    ///
    /// An embedded file grants it with every commit; an embedded store in memory refuses it.
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

/// How far a write has reached, as the server reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Reached {
    /// How many replicas have acknowledged it; 0 where that was not asked.
    pub replicas: u32,
    /// Whether it is on the server's disk; `false` where that was not asked.
    pub on_disk: bool,
}

impl Reached {
    /// Acknowledged by `replicas` replicas, and on disk or not.
    pub fn new(replicas: u32, on_disk: bool) -> Self {
        Self { replicas, on_disk }
    }

    /// Whether this is at least what was wanted.
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

/// What a critical write returns: its outcome, and how far it has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Receipt<T> {
    /// The outcome.
    pub value: T,
    /// How far it has reached; at least what was asked for.
    pub reached: Reached,
}

impl<T> Receipt<T> {
    /// A receipt for `value`.
    pub fn new(value: T, reached: Reached) -> Self {
        Self { value, reached }
    }

    /// The same receipt for a value derived from this one.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Receipt<U> {
        Receipt { value: change(self.value), reached: self.reached }
    }
}
