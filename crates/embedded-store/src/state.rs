//! The worker state store.

mod broadcasts;
mod heartbeats;
mod inventory;
mod leases;
mod queue;
mod resume_tokens;
mod retries;
mod runs;
mod steps;
mod topics;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Begun, Finished, Idempotency, IdempotentRequest, Key, QueueName, Result, Role, Scope, ServiceName, Ttl,
};

use crate::StateOptions;
use crate::database::Database;
use crate::expiring::Usage;
use crate::idempotency::Entries;

/// The worker state store inside the process, in memory or in one durable file.
///
/// Clones share the store. In a file, acknowledged writes are on disk: `Accepted` and `Fsynced` are the same there, and
/// concurrent writers share one `fsync`. In memory, dropping the last clone deletes the store, and `Fsynced` is
/// refused. There are no replicas.
///
/// Idempotency keys, leases, pools, runs and retries belong to the service that opened the store.
/// [`for_service`](EmbeddedState::for_service) returns a handle for another service of the process, and
/// [`shared`](EmbeddedState::shared) one for all services.
///
/// ```
/// use std::time::Duration;
/// use embedded_store::{EmbeddedState, StateOptions};
/// use store_core::{
///     ClaimRequest, HolderName, NewJob, Outcome, Queue, QueueExt, QueueName, ServiceName, Settled,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = EmbeddedState::in_memory(ServiceName::new("mailer")?, StateOptions::default());
/// let mail = QueueName::new("mail")?;
/// assert!(store.push_one(&mail, NewJob::new("to: you")).await?.is_new());
///
/// let request = ClaimRequest::new(mail.clone(), HolderName::new("worker-1")?, 10, Duration::from_secs(15));
/// for job in store.claim(&request).await?.jobs {
///     assert_eq!(job.payload, "to: you");
///     assert_eq!(store.settle_one(&mail, job.lease, Outcome::Complete(None)).await?, Settled::Done);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EmbeddedState {
    database: Database,
    scope: Scope,
    options: StateOptions,
    /// The queue that is the home of its steps, runs and resume tokens.
    home: Option<QueueName>,
    outboxes: Arc<queue::Outboxes>,
}

impl EmbeddedState {
    /// A store in memory. Dropping its last clone deletes it.
    pub fn in_memory(service: ServiceName, options: StateOptions) -> Self {
        Self::on(Database::in_memory(Role::State), service, options)
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
    pub fn open(path: impl AsRef<Path>, service: ServiceName, options: StateOptions) -> Result<Self> {
        Ok(Self::on(Database::open(path.as_ref(), Role::State)?, service, options))
    }

    fn on(database: Database, service: ServiceName, options: StateOptions) -> Self {
        Self { database, scope: service.into(), options, home: None, outboxes: Arc::default() }
    }

    /// The same store with the idempotency keys, leases, pools, runs and retries that all services share. Queues are the same.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { scope: Scope::Shared, ..self.clone() }
    }

    /// The same store with the idempotency keys, leases, pools, runs and retries of another service. Queues are the same.
    #[must_use]
    pub fn for_service(&self, service: ServiceName) -> Self {
        Self { scope: service.into(), ..self.clone() }
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

    fn idempotent(&self, key: &Key) -> Entries<'_> {
        Entries {
            database: &self.database,
            clock: &self.options.clock,
            bounds: Usage::UNBOUNDED,
            key: self.entry(b'i', key.as_str()),
        }
    }

    /// The row key of an entry with a TTL: its kind, and its name within the scope.
    fn entry(&self, kind: u8, name: &str) -> Vec<u8> {
        [vec![kind], self.scoped(name)].concat()
    }

    /// A name within the scope: the service, a zero byte, the name. No name contains a zero byte. The shared scope has the
    /// empty name, which no service has.
    fn scoped(&self, name: &str) -> Vec<u8> {
        scoped(&self.scope, name)
    }
}

fn scoped(scope: &Scope, name: &str) -> Vec<u8> {
    let service = match scope {
        Scope::Service(service) => service.as_str(),
        Scope::Shared => "",
    };
    [service.as_bytes(), &[0], name.as_bytes()].concat()
}

impl fmt::Debug for EmbeddedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedState").field("scope", &self.scope).finish_non_exhaustive()
    }
}

#[async_trait]
impl Idempotency for EmbeddedState {
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

#[cfg(test)]
mod tests;
