//! The worker state store.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    AcquireRequest, Acquired, Beat, Begun, Cancelled, Claim, ClaimRequest, Counts, Deleted, Durability, Error,
    Explanation, Extended, Extension, Finished, Heartbeats, HolderName, Idempotency, IdempotentRequest, JobId, JobInfo,
    JobState, Lease, LeaseName, Leases, Member, NewJob, Op, Page, PageRequest, PoolName, Pushed, Queue, QueueControl,
    QueueInspect, QueueName, Receipt, Result, Settled, Settlement, Timestamp, Ttl,
};

use crate::StateOptions;

/// The worker state store inside the process, in memory or in one durable file. Clones share it.
#[derive(Clone)]
pub struct EmbeddedState {}

impl EmbeddedState {
    /// A store in memory, gone when its last clone is dropped.
    pub fn in_memory(options: StateOptions) -> Self {
        let _ = options;
        Self {}
    }

    /// Opens or creates the file at `path`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file is open already; [`Error::Corrupt`] when it is not such a file.
    pub fn open(path: impl AsRef<Path>, options: StateOptions) -> Result<Self> {
        let _ = path;
        Ok(Self::in_memory(options))
    }

    /// How many write transactions were committed since it was opened.
    pub fn commits(&self) -> u64 {
        0
    }
}

impl fmt::Debug for EmbeddedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedState").finish_non_exhaustive()
    }
}

#[async_trait]
impl Queue for EmbeddedState {
    async fn push(
        &self,
        _queue: &QueueName,
        _jobs: &[NewJob],
        _durability: Durability,
    ) -> Result<Receipt<Vec<Pushed>>> {
        Err(Error::unsupported(Op::QueuePush, "not written yet"))
    }

    async fn claim(&self, _request: &ClaimRequest) -> Result<Claim> {
        Err(Error::unsupported(Op::QueueClaim, "not written yet"))
    }

    async fn extend(&self, _queue: &QueueName, _jobs: &[Extension], _lasting: Duration) -> Result<Vec<Extended>> {
        Err(Error::unsupported(Op::QueueExtend, "not written yet"))
    }

    async fn settle(
        &self,
        _queue: &QueueName,
        _settlements: &[Settlement],
        _durability: Durability,
    ) -> Result<Receipt<Vec<Settled>>> {
        Err(Error::unsupported(Op::QueueSettle, "not written yet"))
    }

    async fn wait(&self, _queues: &[QueueName], _up_to: Duration) -> Result<Option<QueueName>> {
        Err(Error::unsupported(Op::QueueWait, "not written yet"))
    }
}

#[async_trait]
impl QueueInspect for EmbeddedState {
    async fn counts(&self, _queue: &QueueName) -> Result<Counts> {
        Err(Error::unsupported(Op::QueueCounts, "not written yet"))
    }

    async fn get(&self, _queue: &QueueName, _job: &JobId) -> Result<Option<JobInfo>> {
        Err(Error::unsupported(Op::QueueGet, "not written yet"))
    }

    async fn list(&self, _queue: &QueueName, _state: JobState, _page: PageRequest) -> Result<Page<JobInfo>> {
        Err(Error::unsupported(Op::QueueList, "not written yet"))
    }

    async fn explain(&self, _queue: &QueueName, _job: &JobId) -> Result<Explanation> {
        Err(Error::unsupported(Op::QueueExplain, "not written yet"))
    }
}

#[async_trait]
impl QueueControl for EmbeddedState {
    async fn cancel(&self, _queue: &QueueName, _job: &JobId) -> Result<Cancelled> {
        Err(Error::unsupported(Op::QueueCancel, "not written yet"))
    }

    async fn replay(&self, _queue: &QueueName, _jobs: &[JobId]) -> Result<Vec<bool>> {
        Err(Error::unsupported(Op::QueueReplay, "not written yet"))
    }

    async fn delete(&self, _queue: &QueueName, _jobs: &[JobId]) -> Result<Vec<Deleted>> {
        Err(Error::unsupported(Op::QueueDelete, "not written yet"))
    }

    async fn promote(&self, _queue: &QueueName, _jobs: &[JobId]) -> Result<Vec<bool>> {
        Err(Error::unsupported(Op::QueuePromote, "not written yet"))
    }

    async fn pause(&self, _queue: &QueueName) -> Result<()> {
        Err(Error::unsupported(Op::QueuePause, "not written yet"))
    }

    async fn resume(&self, _queue: &QueueName) -> Result<()> {
        Err(Error::unsupported(Op::QueueResume, "not written yet"))
    }
}

#[async_trait]
impl Leases for EmbeddedState {
    async fn acquire(&self, _request: &AcquireRequest, _durability: Durability) -> Result<Receipt<Acquired>> {
        Err(Error::unsupported(Op::LeaseAcquire, "not written yet"))
    }

    async fn renew(&self, _lease: &Lease, _lasting: Duration) -> Result<Option<Timestamp>> {
        Err(Error::unsupported(Op::LeaseRenew, "not written yet"))
    }

    async fn release(&self, _lease: &Lease) -> Result<bool> {
        Err(Error::unsupported(Op::LeaseRelease, "not written yet"))
    }

    async fn inspect(&self, _name: &LeaseName) -> Result<Option<Lease>> {
        Err(Error::unsupported(Op::LeaseInspect, "not written yet"))
    }
}

#[async_trait]
impl Heartbeats for EmbeddedState {
    async fn beat(&self, _beat: &Beat) -> Result<()> {
        Err(Error::unsupported(Op::HeartbeatBeat, "not written yet"))
    }

    async fn leave(&self, _pool: &PoolName, _member: &HolderName) -> Result<bool> {
        Err(Error::unsupported(Op::HeartbeatLeave, "not written yet"))
    }

    async fn alive(&self, _pool: &PoolName, _page: PageRequest) -> Result<Page<Member>> {
        Err(Error::unsupported(Op::HeartbeatAlive, "not written yet"))
    }

    async fn lost(&self, _pool: &PoolName, _since: Timestamp, _page: PageRequest) -> Result<Page<Member>> {
        Err(Error::unsupported(Op::HeartbeatLost, "not written yet"))
    }
}

#[async_trait]
impl Idempotency for EmbeddedState {
    async fn begin(&self, _request: &IdempotentRequest, _in_progress_for: Ttl) -> Result<Begun> {
        Err(Error::unsupported(Op::IdempotencyBegin, "not written yet"))
    }

    async fn finish(&self, _request: &IdempotentRequest, _response: &Bytes, _keep: Ttl) -> Result<Finished> {
        Err(Error::unsupported(Op::IdempotencyFinish, "not written yet"))
    }

    async fn abandon(&self, _request: &IdempotentRequest) -> Result<bool> {
        Err(Error::unsupported(Op::IdempotencyAbandon, "not written yet"))
    }
}
