//! Values handed from one service to another.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Key, RequestId, Result, ServiceName, Ttl};

/// Hands a value to another service through the shared database of the cache store. Taken exactly once, or lost:
/// the sender must have an answer for a value that never arrives.
#[async_trait]
pub trait Handoff: Send + Sync + fmt::Debug {
    /// Puts a value for a service. Sent again with the same `request`, it changes nothing, even if the value was taken in
    /// the meantime. A value under the same key that nobody has taken yet is kept: [`Put::Occupied`].
    async fn put(&self, item: &HandoffItem) -> Result<Put>;

    /// Takes the value that was put for this service under `key`; `None` when there is none, or another claim took it.
    /// With the same `claim` it may be repeated until the value's TTL.
    async fn take(&self, key: &Key, claim: RequestId) -> Result<Option<Bytes>>;
}

/// A value for another service.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandoffItem {
    /// The service that may take it.
    pub to: ServiceName,
    /// Under which key; both sides must know it.
    pub key: Key,
    /// The value, at most [`MAX_VALUE_BYTES`](crate::MAX_VALUE_BYTES).
    pub value: Bytes,
    /// How long it waits, and how long a take may be repeated.
    pub ttl: Ttl,
    /// The identity of this put.
    pub request: RequestId,
}

impl HandoffItem {
    /// A value to be put once.
    pub fn new(to: ServiceName, key: Key, value: impl Into<Bytes>, ttl: Ttl) -> Self {
        Self { to, key, value: value.into(), ttl, request: RequestId::generate() }
    }

    /// The same put under an identity that was made before.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }
}

impl fmt::Debug for HandoffItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandoffItem")
            .field("to", &self.to)
            .field("bytes", &self.value.len())
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// What became of a [`Handoff::put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It waits to be taken (or this very put was taken already).
    Stored,
    /// Another value waits under this key and has not been taken.
    Occupied,
}
