//! Requests that are carried out once, however often they are sent.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::Digest;

use crate::{Key, RequestId, Result, Timestamp, Ttl};

/// Idempotency keys with the semantics of the IETF draft `draft-ietf-httpapi-idempotency-key-header`: the first request
/// with a key is carried out, its response is kept and given to those that repeat it; a request with the same key and
/// another content is told so; one that arrives while the first is in progress is told that.
///
/// The keys belong to the service (`SERVICE_NAME`): the same key in another service is another key. In the state store, a
/// shared handle ([`Scope::Shared`](crate::Scope::Shared)) has the keys of all services.
///
/// On the cache store these keys may be evicted before their time (`volatile-lru` chooses among exactly the keys with a
/// TTL); where a repeated effect is not acceptable, use the state store, which offers the same trait.
#[async_trait]
pub trait Idempotency: Send + Sync + fmt::Debug {
    /// Begins a request. The caller that gets [`Begun::Started`] carries it out and then calls
    /// [`finish`](Idempotency::finish) or [`abandon`](Idempotency::abandon); when it crashes, the key is free again after
    /// `in_progress_for`. Sent again with the same `request` it answers `Started` again.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) when `in_progress_for` is outside 1 ms to 366 days.
    async fn begin(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun>;

    /// Keeps a request that takes longer than expected in progress, until `in_progress_for` from now (which may be earlier
    /// than before). Returns whether it is still in progress under this attempt: `false` after its time is over, even if no
    /// other attempt has begun, and after it was finished or abandoned. Then [`begin`](Idempotency::begin) decides who may
    /// execute it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) when `in_progress_for` is outside 1 ms to 366 days.
    async fn prolong(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<bool>;

    /// Keeps the response for `keep`. [`Finished::Lost`] when another request has taken the key since; its response counts.
    async fn finish(&self, request: &IdempotentRequest, response: &Bytes, keep: Ttl) -> Result<Finished>;

    /// Frees the key, because the request was not carried out and may be tried again. Whether it was still this request's.
    async fn abandon(&self, request: &IdempotentRequest) -> Result<bool>;
}

/// A digest of a request's content: a repeated key with another one is a mistake of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// A digest that the caller made, such as SHA-256 of the body.
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The SHA-256 digest (FIPS 180-4) of a request's content.
    pub fn of(content: &[u8]) -> Self {
        Self(sha2::Sha256::digest(content).into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

/// One attempt at an idempotent request: key, content and the identity of the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdempotentRequest {
    /// The idempotency key.
    pub key: Key,
    /// The digest of the content.
    pub fingerprint: Fingerprint,
    /// Which attempt this is: who begins with it must finish with it.
    pub request: RequestId,
}

impl IdempotentRequest {
    /// A new attempt.
    pub fn new(key: Key, fingerprint: Fingerprint) -> Self {
        Self { key, fingerprint, request: RequestId::generate() }
    }

    /// The same attempt under an identity that was made before.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }
}

/// What [`Idempotency::begin`] found.
#[derive(Clone, PartialEq, Eq)]
pub enum Begun {
    /// Nobody has begun it: carry it out.
    Started,
    /// Another attempt carries it out (HTTP 409).
    InProgress {
        /// Since when.
        since: Timestamp,
        /// When the key is free at the latest, if that attempt has crashed.
        retry_after: Duration,
    },
    /// It was carried out; this was its response.
    Finished(Bytes),
    /// The key belongs to a request with another content (HTTP 422).
    Mismatch,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Begun::Started => f.write_str("Started"),
            Begun::InProgress { since, retry_after } => {
                write!(f, "InProgress {{ since: {since:?}, retry_after: {retry_after:?} }}")
            }
            Begun::Finished(response) => write!(f, "Finished({} bytes)", response.len()),
            Begun::Mismatch => f.write_str("Mismatch"),
        }
    }
}

/// What became of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It is kept.
    Stored,
    /// Another request had taken the key: this attempt was too slow.
    Lost,
}

/// The largest response that is kept, in bytes: 1 MiB.
pub const MAX_RESPONSE_BYTES: usize = 1 << 20;
