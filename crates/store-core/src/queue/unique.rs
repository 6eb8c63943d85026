//! Unique keys of jobs.

use std::time::Duration;

use crate::UniqueKey;

/// A key that only one job of a queue holds at a time. If another job holds the key, the queue does not accept the push:
/// [`Pushed::Held`](super::Pushed::Held).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: UniqueKey,
    /// When the job releases it.
    pub until: UniqueUntil,
}

impl Unique {
    /// A key that the job holds until `until`.
    pub fn new(key: UniqueKey, until: UniqueUntil) -> Self {
        Self { key, until }
    }
}

/// When a job releases its unique key. A job that is removed releases its key, except with [`UniqueUntil::Elapsed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniqueUntil {
    /// When it is first claimed. One job may run while the next one waits.
    Claimed,
    /// When it is completed, dead, cancelled or deleted.
    Finished,
    /// This long after its push, in every case. From 1 ms to [`NewJob::MAX_DELAY`](super::NewJob::MAX_DELAY).
    Elapsed(Duration),
}
