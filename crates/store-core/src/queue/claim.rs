//! Claims, the leases of claimed jobs, and extensions of those leases.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{NewJob, Priority, RetryPolicy, TraceContext, Unique, validate_lease};
use crate::{Error, Fence, HolderName, JobId, Op, QueueName, RequestId, Result, Timestamp};

/// A request for jobs, for [`Queue::claim`](super::Queue::claim).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// The queue.
    pub queue: QueueName,
    /// The worker. [`QueueInspect`](super::QueueInspect) shows it.
    pub worker: HolderName,
    /// The largest number of jobs, 1 to [`NewJob::MAX_BATCH`].
    pub max: usize,
    /// How long the lease of each job lasts unless it is extended. Within [`Lease::RANGE`](crate::Lease::RANGE).
    pub lease: Duration,
    /// About how many bytes the jobs may have together: the claim ends with the job that reaches them. At least one job is
    /// returned, however large it is. Default [`ClaimRequest::DEFAULT_BYTES`], at most [`NewJob::MAX_BATCH_BYTES`]. A reply that
    /// takes longer than the command time-out is lost.
    pub max_bytes: usize,
    /// The identity of this claim. Default random. The store remembers it for the time of the lease.
    pub request: RequestId,
    /// Whether the reply to a claim with the same identity was lost: see [`ClaimRequest::repeated`]. Default `false`.
    pub is_repeat: bool,
}

impl ClaimRequest {
    /// The default of [`ClaimRequest::max_bytes`]: 1 MiB.
    pub const DEFAULT_BYTES: usize = 1 << 20;

    /// A request for up to `max` jobs.
    pub fn new(queue: QueueName, worker: HolderName, max: usize, lease: Duration) -> Self {
        let (request, is_repeat) = (RequestId::generate(), false);
        Self { queue, worker, max, lease, max_bytes: Self::DEFAULT_BYTES, request, is_repeat }
    }

    /// Sets about how many bytes the jobs may have together.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The same claim again, after its reply was lost ([`Error::Indeterminate`]). It returns the jobs that the lost claim leased,
    /// under the same lease, as far as they are still leased. Those that exceed [`ClaimRequest::max_bytes`] now are given back
    /// without an attempt. If the lost claim was never executed, this one claims.
    #[must_use]
    pub fn repeated(mut self) -> Self {
        self.is_repeat = true;
        self
    }

    /// Checks the request against the limits.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], with the limit that it exceeds.
    pub fn validate(&self) -> Result<()> {
        if self.max == 0 || self.max > NewJob::MAX_BATCH {
            return Err(Error::invalid_argument(
                Op::QueueClaim,
                format!("claim 1 to {most} jobs, not {}", self.max, most = NewJob::MAX_BATCH),
            ));
        }
        if self.max_bytes == 0 || self.max_bytes > NewJob::MAX_BATCH_BYTES {
            return Err(Error::invalid_argument(
                Op::QueueClaim,
                format!("claim 1 to {most} bytes, not {}", self.max_bytes, most = NewJob::MAX_BATCH_BYTES),
            ));
        }
        validate_lease(Op::QueueClaim, self.lease)
    }
}

/// The result of [`Queue::claim`](super::Queue::claim).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The jobs, at most as many as were requested. May be empty. May be fewer although others are ready, for example if another
    /// claim can take all jobs of a push at once; then `next` is zero.
    pub jobs: Vec<ClaimedJob>,
    /// The time until the next scheduled job is due or the next lease expires. `None` if the queue has neither. Zero if
    /// another job is ready or due now: claim again. It may be too short after a scheduled job was cancelled, deleted or promoted.
    pub next: Option<Duration>,
    /// Whether the queue is paused. A paused queue returns no jobs.
    pub paused: bool,
}

impl Claim {
    /// What an engine returns.
    pub fn new(jobs: Vec<ClaimedJob>, next: Option<Duration>, paused: bool) -> Self {
        Self { jobs, next, paused }
    }
}

/// A claimed job and its lease.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimedJob {
    /// The lease. Extend and settle the job with it.
    pub lease: JobLease,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The payload.
    pub payload: Bytes,
    /// The priority.
    pub priority: Priority,
    /// The unique key, if the job has one.
    pub unique: Option<Unique>,
    /// The retry policy.
    pub retry: RetryPolicy,
    /// The version of the payload's format.
    pub schema: u16,
    /// The trace that the job belongs to.
    pub trace: Option<TraceContext>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// When it was claimed, by the server's clock.
    pub claimed_at: Timestamp,
    /// Why the attempt before this one failed. `None` for the first attempt.
    pub last_error: Option<String>,
}

impl ClaimedJob {
    /// A claimed job with the defaults of [`NewJob`](crate::NewJob). Engines set the other fields.
    pub fn new(lease: JobLease, attempt: u32, payload: Bytes, pushed_at: Timestamp, claimed_at: Timestamp) -> Self {
        Self {
            lease,
            attempt,
            payload,
            priority: Priority::Normal,
            unique: None,
            retry: RetryPolicy::default(),
            schema: 0,
            trace: None,
            pushed_at,
            claimed_at,
            last_error: None,
        }
    }

    /// The id.
    pub fn id(&self) -> &JobId {
        &self.lease.job
    }
}

impl fmt::Debug for ClaimedJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClaimedJob")
            .field("lease", &self.lease)
            .field("attempt", &self.attempt)
            .field("bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// The lease of a claimed job: the right to extend and settle it. It is a credential, so it is not `Serialize`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobLease {
    /// The job.
    pub job: JobId,
    /// The fencing token. It is larger than those of all earlier claims of the queue.
    pub fence: Fence,
    /// When the lease expires unless it is extended, by the server's clock.
    pub until: Timestamp,
    /// The unique key that the job releases when it ends. `None` if it holds none then.
    pub unique: Option<crate::UniqueKey>,
    /// The partition of the queue that has the job. Default 0.
    pub partition: u16,
}

impl JobLease {
    /// A lease of a job without a unique key, in partition 0.
    pub fn new(job: JobId, fence: Fence, until: Timestamp) -> Self {
        Self { job, fence, until, unique: None, partition: 0 }
    }

    /// Sets the partition that has the job.
    #[must_use]
    pub fn with_partition(mut self, partition: u16) -> Self {
        self.partition = partition;
        self
    }

    /// Sets the unique key that the job holds until it ends.
    #[must_use]
    pub fn with_unique(mut self, unique: Option<crate::UniqueKey>) -> Self {
        self.unique = unique;
        self
    }
}

/// A request to extend the lease of a job, for [`Queue::extend`](super::Queue::extend).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extension {
    /// The lease.
    pub lease: JobLease,
    /// The progress, in a format of the caller's choice, at most [`JobInfo::MAX_RESULT_BYTES`](crate::JobInfo::MAX_RESULT_BYTES) bytes.
    /// `None` keeps what is stored.
    pub progress: Option<Bytes>,
}

impl Extension {
    /// An extension without progress.
    pub fn new(lease: JobLease) -> Self {
        Self { lease, progress: None }
    }

    /// Sets the progress.
    #[must_use]
    pub fn with_progress(mut self, progress: impl Into<Bytes>) -> Self {
        self.progress = Some(progress.into());
        self
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension").field("lease", &self.lease).finish_non_exhaustive()
    }
}

/// The outcome of [`Queue::extend`](super::Queue::extend) for one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extended {
    /// The lease lasts until this time.
    Until(Timestamp),
    /// The lease lasts until this time, and the job's cancellation was requested. Stop, and settle the job as
    /// [`Outcome::Cancelled`](crate::Outcome::Cancelled).
    CancelRequested(Timestamp),
    /// The lease is lost: it expired, or the job was settled or removed. Stop: the store refuses every write under this
    /// lease.
    Lost,
}

impl Extended {
    /// Whether the lease is lost.
    pub fn is_lost(self) -> bool {
        matches!(self, Extended::Lost)
    }

    /// Whether the job's cancellation was requested.
    pub fn is_cancel_requested(self) -> bool {
        matches!(self, Extended::CancelRequested(_))
    }

    /// When the lease expires. `None` if it is lost.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Extended::Until(until) | Extended::CancelRequested(until) => Some(until),
            Extended::Lost => None,
        }
    }
}
