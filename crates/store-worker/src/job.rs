//! The job that a handler works on.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use store_core::{
    ClaimedJob, Commit, Error, Fence, JobId, JobInfo, Op, Outcome, Priority, QueueName, Result, Timestamp, TraceContext,
};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Done;

/// A claimed job. Clones are cheap and share the job.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # let mails = QueueName::new("mails")?;
/// # stores.state().queue().push_one(&mails, NewJob::new("ann@example.org").with_id("7".try_into()?)).await?;
/// let worker = stores.state().worker().with_queue("mails", async |job: Job| {
///     assert_eq!((job.id().as_str(), job.attempt()), ("7", 1));
///     assert_eq!(&job.payload()[..], b"ann@example.org");
///     Ok(())
/// });
/// let report = twinstore::testing::run_until_empty(worker.build()?, stores.state()).await?;
/// assert_eq!(report.stats.completed, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Job(Arc<Inner>);

struct Inner {
    queue: QueueName,
    claimed: ClaimedJob,
    /// When the claim's answer arrived, by the local clock.
    heard: Instant,
    cancelled: AtomicBool,
    cancel: Notify,
    progress: Mutex<Option<Bytes>>,
    /// Whether the handler has made a commit, which may have ended the lease.
    may_be_committed: AtomicBool,
}

impl Job {
    pub(crate) fn new(queue: QueueName, claimed: ClaimedJob, heard: Instant) -> Self {
        let (cancelled, cancel, progress) = (AtomicBool::new(false), Notify::new(), Mutex::new(None));
        let may_be_committed = AtomicBool::new(false);
        Self(Arc::new(Inner { queue, claimed, heard, cancelled, cancel, progress, may_be_committed }))
    }

    /// Its id.
    pub fn id(&self) -> &JobId {
        self.0.claimed.id()
    }

    /// The queue that it was claimed from.
    pub fn queue(&self) -> &QueueName {
        &self.0.queue
    }

    /// Its payload.
    pub fn payload(&self) -> &Bytes {
        &self.0.claimed.payload
    }

    /// Its payload, read as JSON.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not JSON of this type; the error does not contain the payload. With `?` the job is retried by
    /// its policy; with `.map_err(JobError::dead)` it is dead immediately.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.payload()).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Error::corrupt(
                Op::QueueClaim,
                format!("the payload is not what was expected, at line {line} column {column}"),
            )
        })
    }

    /// Which delivery this is, 1 for the first. Snoozed and released deliveries do not count.
    pub fn attempt(&self) -> u32 {
        self.0.claimed.attempt
    }

    /// Whether a failure of this delivery makes the job dead.
    pub fn is_last_attempt(&self) -> bool {
        self.attempt() >= u32::from(self.0.claimed.retry.max_attempts)
    }

    /// Why the previous delivery failed.
    pub fn last_error(&self) -> Option<&str> {
        self.0.claimed.last_error.as_deref()
    }

    /// Its priority.
    pub fn priority(&self) -> Priority {
        self.0.claimed.priority
    }

    /// The version of its payload's form: [`JobType::VERSION`](store_core::JobType::VERSION) of the code that pushed it, or 0.
    pub fn schema(&self) -> u16 {
        self.0.claimed.schema
    }

    /// The trace that it belongs to.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.0.claimed.trace.as_ref()
    }

    /// The fencing token of its lease. Present it with every write, so that this delivery cannot overwrite a later one.
    pub fn fence(&self) -> Fence {
        self.0.claimed.lease.fence
    }

    /// When it was pushed, by the server's clock.
    pub fn pushed_at(&self) -> Timestamp {
        self.0.claimed.pushed_at
    }

    /// The time since its push: by the server's clock, in milliseconds, until the claim, and by the local clock since the claim.
    pub fn since_push(&self) -> Duration {
        self.age_at(Instant::now())
    }

    pub(crate) fn age_at(&self, now: Instant) -> Duration {
        self.0.claimed.claimed_at.since(self.0.claimed.pushed_at) + now.duration_since(self.0.heard)
    }

    /// Reports progress, in a form of the handler's choice; inspection shows it. The next renewal of the lease sends it, after a
    /// third of the lease's time at the latest. Of several reports before a renewal, only the last one is sent.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it is larger than [`JobInfo::MAX_RESULT_BYTES`].
    pub fn progress(&self, progress: impl Into<Bytes>) -> Result<()> {
        let progress = progress.into();
        if progress.len() > JobInfo::MAX_RESULT_BYTES {
            let len = progress.len();
            return Err(Error::invalid_argument(
                Op::QueueExtend,
                format!("progress of {len} bytes; at most {most}", most = JobInfo::MAX_RESULT_BYTES),
            ));
        }
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
        Ok(())
    }

    /// Whether the handler should stop: a cancellation of its job was requested, its lease is lost, its time is over, or the
    /// worker's shutdown deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Returns when [`Job::is_cancelled`] returns `true`. After a requested cancellation the handler has the worker's
    /// [grace](crate::WorkerBuilder::with_cancel_grace) to end. In the other cases the worker drops the handler immediately, so
    /// this returns only in tasks that the handler has spawned.
    pub async fn cancelled(&self) {
        let mut notified = pin!(self.0.cancel.notified());
        notified.as_mut().enable();
        if !self.is_cancelled() {
            notified.await;
        }
    }

    /// A commit that completes this delivery together with other writes of its home: see
    /// [`Home::commit`](store_core::Home::commit). A handler whose commit was done returns [`Done::committed`]. `done`: whether the
    /// queue keeps the job, as in the return value of a handler. From this call on, the worker assumes that a commit may have
    /// ended the lease.
    pub fn commit(&self, done: impl Into<Done>) -> Commit {
        self.0.may_be_committed.store(true, Ordering::Release);
        Commit::new(self.0.claimed.lease.clone(), Outcome::Complete(done.into().kept))
    }

    pub(crate) fn may_be_committed(&self) -> bool {
        self.0.may_be_committed.load(Ordering::Acquire)
    }

    pub(crate) fn claimed(&self) -> &ClaimedJob {
        &self.0.claimed
    }

    pub(crate) fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        self.0.cancel.notify_waiters();
    }

    /// Takes the newest report since the last call, if it has at most so many bytes.
    pub(crate) fn take_progress(&self, most: usize) -> Option<Bytes> {
        let mut progress = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.take_if(|progress| progress.len() <= most)
    }

    /// Puts back a report that could not be sent, unless there is a newer one.
    pub(crate) fn put_back_progress(&self, progress: Bytes) {
        self.0.progress.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(progress);
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("queue", &self.0.queue)
            .field("id", self.id())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
