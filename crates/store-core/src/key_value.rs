//! Short-lived values and counters of the cache store.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Key, RequestId, Result, Ttl};

/// Short-lived values and counters. May lose anything at any moment; nothing is kept without a TTL.
///
/// Values and counters live apart: a counter's key can also hold a value, and neither sees the other.
#[async_trait]
pub trait KeyValue: Send + Sync + fmt::Debug {
    /// The values of up to [`MAX_KEYS`] keys, in the order asked; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for more keys than that; else what every operation can answer.
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>>;

    /// Sets up to [`MAX_KEYS`] values, each with its TTL. Each is set or replaced by itself: when the call fails, some may
    /// have been set; sending it again is safe.
    async fn set_many(&self, entries: &[Entry]) -> Result<()>;

    /// Sets a value unless the key has one. Sent again with the same `request`, it answers [`SetIfAbsent::Stored`]
    /// again as long as that value is there.
    async fn set_if_absent(&self, entry: &Entry, request: RequestId) -> Result<SetIfAbsent>;

    /// Deletes up to [`MAX_KEYS`] values and counters of these keys. How many keys had one. Sent again after a lost reply, it
    /// does not count what is gone already.
    async fn delete_many(&self, keys: &[Key]) -> Result<u64>;

    /// Deletes the value if it equals `expected`. Whether it did. Sent again after a lost reply, it answers `false` when the
    /// first sending had deleted the value: `true` is certain, `false` says only that the value is not there any more.
    async fn delete_if(&self, key: &Key, expected: &Bytes) -> Result<bool>;

    /// Adds `by` to a counter and returns its new value. A counter that is absent starts at 0, and lives for `ttl` from then
    /// on; later additions do not prolong it. Never repeated: a lost reply is
    /// [`Error::Indeterminate`](crate::Error::Indeterminate).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) when the sum leaves the range of 64 bits; the counter stays as it was.
    async fn add(&self, key: &Key, by: i64, ttl: Ttl) -> Result<i64>;
}

/// How many keys one call may name.
pub const MAX_KEYS: usize = 1000;

/// The largest value, in bytes: 8 MiB.
pub const MAX_VALUE_BYTES: usize = 8 << 20;

/// A value, its key and how long it may be kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// The value, at most [`MAX_VALUE_BYTES`].
    pub value: Bytes,
    /// How long it may be kept.
    pub ttl: Ttl,
}

impl Entry {
    /// A value to be kept for at most `ttl`.
    pub fn new(key: Key, value: impl Into<Bytes>, ttl: Ttl) -> Self {
        Self { key, value: value.into(), ttl }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("bytes", &self.value.len()).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// What [`KeyValue::set_if_absent`] found.
#[derive(Clone, PartialEq, Eq)]
pub enum SetIfAbsent {
    /// There was none; the given one is stored.
    Stored,
    /// There was one already, this one.
    Present(Bytes),
}

impl fmt::Debug for SetIfAbsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetIfAbsent::Stored => f.write_str("Stored"),
            SetIfAbsent::Present(value) => write!(f, "Present({} bytes)", value.len()),
        }
    }
}
