//! The cache store.

mod handoff;
mod key_value;
mod keys;
mod rate_limit;

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{Begun, Finished, Idempotency, IdempotentRequest, Key, Result, Role, ServiceName, Ttl};

use crate::CacheOptions;
use crate::database::Database;
use crate::expiring::Usage;
use crate::idempotency::Entries;

/// The cache store inside the process, in memory or in one file, as one service sees it.
///
/// Clones share the store. [`for_service`](EmbeddedCache::for_service) returns a handle for another service of the same
/// process. It has its own values, counters, limits and idempotency keys; hand-offs use the space that all services
/// share.
///
/// Expired entries are invisible immediately; later writes remove them, a few at a time. The store is bounded
/// ([`CacheOptions`]): if it is full, it evicts the entries that expire soonest.
///
/// ```
/// use embedded_store::{CacheOptions, EmbeddedCache};
/// use store_core::{HandoffItem, Handoff, Key, Put, RequestId, ServiceName, Ttl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let orders = EmbeddedCache::in_memory(ServiceName::new("orders")?, CacheOptions::default());
/// let mail = orders.for_service(ServiceName::new("mail")?);
///
/// let key = Key::new("receipt/42")?;
/// let item = HandoffItem::new(ServiceName::new("mail")?, key.clone(), "paid", Ttl::from_secs(60));
/// assert_eq!(orders.put(&item).await?, Put::Stored);
///
/// assert_eq!(mail.take(&key, RequestId::generate()).await?.as_deref(), Some(&b"paid"[..]));
/// assert_eq!(mail.take(&key, RequestId::generate()).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EmbeddedCache {
    database: Database,
    service: ServiceName,
    options: CacheOptions,
}

impl EmbeddedCache {
    /// A store in memory. Dropping its last handle deletes it.
    pub fn in_memory(service: ServiceName, options: CacheOptions) -> Self {
        Self { database: Database::in_memory(Role::Cache), service, options }
    }

    /// Opens the file at `path`, or creates it. The file is locked for this process. So is its path, by an empty file
    /// `<name>.lock` that stays beside it. Open the store once and clone the handle. If the file is moved or deleted
    /// while it is open, writes return `Unavailable`. If the disk is full, operations that add data return
    /// [`Error::Limit`](store_core::Error::Limit); the others continue in a reserve of 1 MiB inside the file. Dropping
    /// the last clone commits everything and closes the file. Opening and closing block for I/O; after a crash, opening
    /// reads the whole file.
    ///
    /// # Errors
    /// [`Error::Unavailable`](store_core::Error::Unavailable) if the file is already open or cannot be read or written;
    /// [`Error::Corrupt`](store_core::Error::Corrupt) if it is not such a file, or was truncated;
    /// [`Error::Unsupported`](store_core::Error::Unsupported) if it has another layout. A refused file is not changed, except that redb
    /// may try to repair it after a crash.
    pub fn open(path: impl AsRef<Path>, service: ServiceName, options: CacheOptions) -> Result<Self> {
        Ok(Self { database: Database::open(path.as_ref(), Role::Cache)?, service, options })
    }

    /// The same store as a handle of another service.
    #[must_use]
    pub fn for_service(&self, service: ServiceName) -> Self {
        Self { service, ..self.clone() }
    }

    /// Closes the store for all its clones. Earlier calls are committed; later calls return
    /// [`Error::Unavailable`](store_core::Error::Unavailable). Waits end, and the file can be opened again.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Checks that the store takes calls. Reads the metadata of a file, and nothing else.
    ///
    /// # Errors
    /// [`Error::Unavailable`](store_core::Error::Unavailable) if the store was closed, or if its file was moved or deleted or
    /// is being opened again after a failure.
    pub fn check(&self) -> Result<()> {
        self.database.check()
    }

    /// How many write transactions were committed since the store was opened.
    pub fn commits(&self) -> u64 {
        self.database.commits()
    }

    fn bounds(&self) -> Usage {
        Usage { entries: self.options.max_entries, bytes: self.options.max_bytes }
    }

    fn idempotent(&self, key: &Key) -> Entries<'_> {
        Entries {
            database: &self.database,
            clock: &self.options.clock,
            bounds: self.bounds(),
            key: self.idempotency_row(key),
        }
    }
}

impl fmt::Debug for EmbeddedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedCache").field("service", &self.service).finish_non_exhaustive()
    }
}

#[async_trait]
impl Idempotency for EmbeddedCache {
    async fn begin(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<Begun> {
        self.idempotent(&request.key).begin(request, in_progress_for).await
    }

    async fn prolong(&self, request: &IdempotentRequest, in_progress_for: Ttl) -> Result<bool> {
        self.idempotent(&request.key).prolong(request, in_progress_for).await
    }

    async fn finish(&self, request: &IdempotentRequest, response: &Bytes, keep: Ttl) -> Result<Finished> {
        self.idempotent(&request.key).finish(request, response, keep).await
    }

    async fn abandon(&self, request: &IdempotentRequest) -> Result<bool> {
        self.idempotent(&request.key).abandon(request).await
    }
}
