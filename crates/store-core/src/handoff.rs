//! Hand-offs: a value for another service, which takes it once.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::{Key, RequestId, Result, ServiceName, Ttl};

/// Hands a value to another service through the shared database of the cache store. The other service takes it exactly once,
/// unless the cache store loses it. The sender must handle a value that never arrives.
///
/// Each call costs one round trip and is O(1).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::handoff::HandoffItem;
/// use twinstore::name::{Key, RequestId, ServiceName};
/// use twinstore::time::Ttl;
///
/// let key = Key::new("session-7")?;
/// let item = HandoffItem::new(ServiceName::new("test")?, key.clone(), "signed in", Ttl::from_secs(60));
/// assert!(stores.cache().handoff().put(&item).await?.is_stored());
///
/// // In the service `test`:
/// let handoff = stores.cache().handoff();
/// assert_eq!(handoff.take(&key, RequestId::generate()).await?.as_deref(), Some(b"signed in".as_slice()));
/// assert_eq!(handoff.take(&key, RequestId::generate()).await?, None);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Handoff: Send + Sync + fmt::Debug {
    /// `async fn put(&self, item: &HandoffItem) -> Result<Put>`
    ///
    /// Puts a value for a service. If the key has a value that nobody has taken, that value stays: [`Put::Occupied`]. If the
    /// same item is put again before its TTL ends, nothing changes, even if its value has been taken and another put has followed.
    /// A value that was taken stays in the store until its TTL ends, so that its take can be repeated, or for
    /// [`HandoffItem::REPLACED_FOR`] after another put has replaced it. So a key that is used again and again takes the memory of the
    /// values of the last minute; of older ones, only their identities are kept, about 200 bytes each, until their TTL ends.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the value has more than [`Entry::MAX_VALUE_BYTES`](crate::Entry::MAX_VALUE_BYTES).
    async fn put(&self, item: &HandoffItem) -> Result<Put>;

    /// `async fn take(&self, key: &Key, claim: RequestId) -> Result<Option<Bytes>>`
    ///
    /// Takes the value for this service under `key`. `None` if there is none, or if another claim took it. With the same
    /// `claim`, a take can be repeated until the value's TTL ends: it returns the same value. After another put it can be repeated for
    /// [`HandoffItem::REPLACED_FOR`]; later, the claim takes the other value.
    async fn take(&self, key: &Key, claim: RequestId) -> Result<Option<Bytes>>;
}

/// A value for another service.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::handoff::{HandoffItem, Put};
/// # use twinstore::name::{Key, RequestId, ServiceName};
/// # use twinstore::time::Ttl;
///
/// # let (handoff, key) = (stores.cache().handoff(), Key::new("session-7")?);
/// let item = HandoffItem::new(ServiceName::new("test")?, key.clone(), "signed in", Ttl::from_secs(60));
/// assert_eq!(handoff.put(&item).await?, Put::Stored);
/// assert!(handoff.take(&key, RequestId::generate()).await?.is_some());
/// // The reply to the put was lost. The same item does not become available a second time.
/// assert_eq!(handoff.put(&item).await?, Put::Stored);
/// assert_eq!(handoff.take(&key, RequestId::generate()).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandoffItem {
    /// The service that may take it.
    pub to: ServiceName,
    /// The key. Both services must know it.
    pub key: Key,
    /// The value, at most [`Entry::MAX_VALUE_BYTES`](crate::Entry::MAX_VALUE_BYTES).
    pub value: Bytes,
    /// How long the value waits, and how long a take can be repeated.
    pub ttl: Ttl,
    /// The identity of this put. Default random.
    pub request: RequestId,
}

impl HandoffItem {
    /// For how long a take can be repeated after another put has replaced the value, at most until the value's TTL ends: 1 minute, or
    /// as long as the store itself repeats a call if its time-outs are larger.
    pub const REPLACED_FOR: Duration = Duration::from_secs(60);

    /// A value with a new identity.
    pub fn new(to: ServiceName, key: Key, value: impl Into<Bytes>, ttl: Ttl) -> Self {
        Self { to, key, value: value.into(), ttl, request: RequestId::generate() }
    }

    /// Sets the identity, to repeat a put that was sent before.
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

/// The outcome of [`Handoff::put`]. In JSON: `{"outcome":"stored"}`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::handoff::{HandoffItem, Put};
/// # use twinstore::name::{Key, ServiceName};
/// # use twinstore::time::Ttl;
///
/// # let handoff = stores.cache().handoff();
/// # let (test, key) = (ServiceName::new("test")?, Key::new("session-7")?);
/// let item = |value: &'static str| HandoffItem::new(test.clone(), key.clone(), value, Ttl::from_secs(60));
/// assert_eq!(handoff.put(&item("first")).await?, Put::Stored);
/// assert_eq!(handoff.put(&item("second")).await?, Put::Occupied); // nobody has taken the first
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Put {
    /// The value waits for the other service, or that service has already taken it.
    Stored,
    /// The key has another value that nobody has taken. Nothing was changed.
    Occupied,
}

impl Put {
    /// Whether the value was stored.
    pub fn is_stored(self) -> bool {
        matches!(self, Put::Stored)
    }
}
