//! Idempotency keys: a request that is sent several times is executed once.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use sha2::Digest;

use crate::{Key, RequestId, Result, Timestamp, Ttl};

/// Idempotency keys with the semantics of the IETF draft `draft-ietf-httpapi-idempotency-key-header`. The first request with
/// a key is executed. The store keeps its response, and later requests with the key get that response. A request with
/// the same key and another content gets [`Begun::Mismatch`]. A request that arrives while the first is in progress gets
/// [`Begun::InProgress`].
///
/// The keys belong to the service (`SERVICE_NAME`): the same key in another service is another key. In the state store, a
/// shared handle ([`Scope::Shared`](crate::Scope::Shared)) has the keys of all services.
///
/// The cache store may evict these keys before their time, because `volatile-lru` chooses among the keys with a TTL. If a
/// repeated effect is not acceptable, use the state store, which has the same trait.
///
/// Each call costs one round trip and is O(1).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::idempotency::{Begun, Fingerprint, IdempotentRequest};
/// use twinstore::{Bytes, name::Key, time::Ttl};
///
/// let keys = stores.state().idempotency();
/// let (key, body) = (Key::new("order-7")?, b"3 apples"); // the header Idempotency-Key, and the body
/// let request = || IdempotentRequest::new(key.clone(), Fingerprint::of(body));
///
/// let first = request();
/// assert!(keys.begin(&first, Ttl::from_secs(60)).await?.is_started());
/// let response = Bytes::from("ordered"); // the caller executes the request here
/// keys.finish(&first, &response, Ttl::from_secs(24 * 3600)).await?;
///
/// assert_eq!(keys.begin(&request(), Ttl::from_secs(60)).await?, Begun::Finished(response));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Idempotency: Send + Sync + fmt::Debug {
    /// `async fn begin(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun>`
    ///
    /// Begins a request. If the outcome is [`Begun::Started`], the caller executes the request and then calls
    /// [`finish`](Idempotency::finish) or [`abandon`](Idempotency::abandon). If the caller crashes, the key is free again
    /// after `in_progress_for`. If the same attempt is sent again, it returns `Started` again.
    async fn begin(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun>;

    /// `async fn prolong(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<bool>`
    ///
    /// Keeps a request in progress until `in_progress_for` from now, which may be earlier than before. Returns whether it is
    /// still in progress under this attempt. `false` after its time is over, even if no other attempt has begun, and after it
    /// was finished or abandoned; then [`begin`](Idempotency::begin) decides which attempt may execute it.
    async fn prolong(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<bool>;

    /// `async fn finish(&self, request: &IdempotentRequest, response: &Bytes, keep: Ttl) -> Result<Finished>`
    ///
    /// Keeps the response for `keep`. [`Finished::Lost`] if another attempt has taken the key; then the response of that
    /// attempt is valid. If it is sent again, the response is kept from the first time on.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the response has more than [`IdempotentRequest::MAX_RESPONSE_BYTES`].
    async fn finish(&self, request: &IdempotentRequest, response: &Bytes, keep: Ttl) -> Result<Finished>;

    /// `async fn abandon(&self, request: &IdempotentRequest) -> Result<bool>`
    ///
    /// Frees the key, because the request was not executed and may be tried again. Returns whether this attempt still held
    /// the key.
    async fn abandon(&self, request: &IdempotentRequest) -> Result<bool>;
}

/// A digest of a request's content. If a key comes with another fingerprint, the caller made a mistake: [`Begun::Mismatch`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::idempotency::{Begun, Fingerprint, IdempotentRequest};
/// # use twinstore::{name::Key, time::Ttl};
///
/// # let keys = stores.state().idempotency();
/// # let key = Key::new("order-7")?;
/// let apples = IdempotentRequest::new(key.clone(), Fingerprint::of(b"3 apples"));
/// let pears = IdempotentRequest::new(key, Fingerprint::of(b"3 pears")); // the same key by mistake
/// assert_eq!(keys.begin(&apples, Ttl::from_secs(60)).await?, Begun::Started);
/// assert_eq!(keys.begin(&pears, Ttl::from_secs(60)).await?, Begun::Mismatch);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// A digest that the caller computed, such as SHA-256 of the body.
    pub fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The SHA-256 digest (FIPS 180-4) of a request's content.
    pub fn of(content: &[u8]) -> Self {
        Self(sha2::Sha256::digest(content).into())
    }

    /// The bytes of the digest.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}

/// One attempt at an idempotent request: the key, the digest of the content and the identity of the attempt.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::idempotency::{Fingerprint, IdempotentRequest};
/// # use twinstore::{name::Key, time::Ttl};
///
/// # let keys = stores.state().idempotency();
/// let attempt = IdempotentRequest::new(Key::new("order-7")?, Fingerprint::of(b"3 apples"));
/// let other = IdempotentRequest::new(attempt.key.clone(), attempt.fingerprint);
/// assert!(keys.begin(&attempt, Ttl::from_secs(60)).await?.is_started());
/// assert!(keys.begin(&attempt, Ttl::from_secs(60)).await?.is_started()); // the same attempt, sent again
/// assert!(!keys.begin(&other, Ttl::from_secs(60)).await?.is_started());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdempotentRequest {
    /// The idempotency key.
    pub key: Key,
    /// The digest of the content.
    pub fingerprint: Fingerprint,
    /// The identity of this attempt: begin and finish with the same one. Default random.
    pub request: RequestId,
}

impl IdempotentRequest {
    /// The largest response, in bytes: 1 MiB.
    pub const MAX_RESPONSE_BYTES: usize = 1 << 20;

    /// An attempt with a new identity.
    pub fn new(key: Key, fingerprint: Fingerprint) -> Self {
        Self { key, fingerprint, request: RequestId::generate() }
    }

    /// Sets the identity, to repeat an attempt that was sent before.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }
}

/// The outcome of [`Idempotency::begin`]. It is not `Serialize`, because it may carry the response of the application.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::idempotency::Begun;
/// # use twinstore::idempotency::{Fingerprint, IdempotentRequest};
/// # use twinstore::{name::Key, time::Ttl};
///
/// # let keys = stores.state().idempotency();
/// # let request = || IdempotentRequest::new(Key::new("order-7").expect("valid"), Fingerprint::of(b"3 apples"));
/// # keys.begin(&request(), Ttl::from_secs(60)).await?;
/// let status = match keys.begin(&request(), Ttl::from_secs(60)).await? {
///     Begun::Started => 201, // after the caller has executed it
///     Begun::Finished(_response) => 201,
///     Begun::InProgress { .. } => 409,
///     Begun::Mismatch => 422,
///     _ => 500,
/// };
/// assert_eq!(status, 409); // another attempt executes it
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begun {
    /// No other attempt has begun it. Execute the request.
    Started,
    /// Another attempt executes it. Answer with HTTP 409.
    InProgress {
        /// When that attempt began.
        since: Timestamp,
        /// The time until the key is free, if that attempt has crashed.
        retry_after: Duration,
    },
    /// It was executed. This is its response.
    Finished(Bytes),
    /// The key belongs to a request with another content. Answer with HTTP 422.
    Mismatch,
}

impl Begun {
    /// Whether the caller must execute the request.
    pub fn is_started(&self) -> bool {
        matches!(self, Begun::Started)
    }
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

/// The outcome of [`Idempotency::finish`]. In JSON: `{"outcome":"stored"}`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use twinstore::idempotency::Finished;
/// # use twinstore::idempotency::{Fingerprint, IdempotentRequest};
/// # use twinstore::{Bytes, name::Key, time::Ttl};
///
/// # let keys = stores.state().idempotency();
/// # let request = || IdempotentRequest::new(Key::new("order-7").expect("valid"), Fingerprint::of(b"3 apples"));
/// # let response = Bytes::from("ordered");
/// let (slow, fast) = (request(), request());
/// keys.begin(&slow, Ttl::from_secs(60)).await?;
/// clock.advance(std::time::Duration::from_secs(61)); // the slow attempt does not prolong its time
/// keys.begin(&fast, Ttl::from_secs(60)).await?;
/// assert_eq!(keys.finish(&fast, &response, Ttl::from_secs(3600)).await?, Finished::Stored);
/// assert_eq!(keys.finish(&slow, &response, Ttl::from_secs(3600)).await?, Finished::Lost);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finished {
    /// The store keeps the response.
    Stored,
    /// This attempt was too slow: it no longer holds the key. Its response is not kept.
    Lost,
}

impl Finished {
    /// Whether this attempt no longer held the key, so that its response is not kept.
    pub fn is_lost(self) -> bool {
        matches!(self, Finished::Lost)
    }
}
