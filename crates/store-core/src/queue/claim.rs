//! Claiming jobs, and holding on to them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{MAX_BATCH, Priority, RetryPolicy, TraceContext, Unique, validate_lease};
use crate::{Error, Fence, HolderName, JobId, Op, QueueName, Result, Timestamp};

/// A request for jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// From which queue.
    pub queue: QueueName,
    /// Who works on them; shown by inspection.
    pub worker: HolderName,
    /// At most how many, 1 to [`MAX_BATCH`].
    pub max: usize,
    /// How long the lease lasts unless it is extended, within [`LEASE_RANGE`](crate::LEASE_RANGE).
    pub lease: Duration,
}

impl ClaimRequest {
    /// A request.
    pub fn new(queue: QueueName, worker: HolderName, max: usize, lease: Duration) -> Self {
        Self { queue, worker, max, lease }
    }

    /// Checks the request against the limits.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], saying which limit.
    pub fn validate(&self) -> Result<()> {
        if self.max == 0 || self.max > MAX_BATCH {
            return Err(Error::invalid_argument(
                Op::QueueClaim,
                format!("claim 1 to {MAX_BATCH} jobs, not {}", self.max),
            ));
        }
        validate_lease(Op::QueueClaim, self.lease)
    }
}

/// What a claim returned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The jobs, none or up to as many as were asked for.
    pub jobs: Vec<ClaimedJob>,
    /// How long until something becomes due that is not ready yet: a scheduled job, or a lease that runs out. `None` when
    /// nothing is waiting. Zero when more is ready or due already: claim again.
    pub next: Option<Duration>,
    /// Whether the queue is paused; then there are no jobs.
    pub paused: bool,
}

impl Claim {
    /// What a claim returned.
    pub fn new(jobs: Vec<ClaimedJob>, next: Option<Duration>, paused: bool) -> Self {
        Self { jobs, next, paused }
    }
}

/// A job, and the lease under which it is worked on.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimedJob {
    /// The lease; extend and settle with it.
    pub lease: JobLease,
    /// Which delivery this is, 1 for the first.
    pub attempt: u32,
    /// Its payload.
    pub payload: Bytes,
    /// Its priority.
    pub priority: Priority,
    /// Its unique key.
    pub unique: Option<Unique>,
    /// Its retry policy.
    pub retry: RetryPolicy,
    /// The version of the payload's form.
    pub schema: u16,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// When it was claimed: now, by the server's clock.
    pub claimed_at: Timestamp,
    /// Why the delivery before this one failed.
    pub last_error: Option<String>,
}

impl ClaimedJob {
    /// A claimed job with the defaults of [`NewJob`](crate::NewJob); engines fill in the rest.
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

    /// Its id.
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

/// The right to work on a job and to settle it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobLease {
    /// The job.
    pub job: JobId,
    /// The number of this lease, larger than those of all earlier claims of the queue.
    pub fence: Fence,
    /// Until when, by the server's clock.
    pub until: Timestamp,
    /// The unique key that the job gives back when it ends, if it still holds one then.
    pub unique: Option<crate::UniqueKey>,
}

impl JobLease {
    /// A lease of a job without a unique key.
    pub fn new(job: JobId, fence: Fence, until: Timestamp) -> Self {
        Self { job, fence, until, unique: None }
    }

    /// The same for a job that holds a unique key until it ends.
    #[must_use]
    pub fn with_unique(mut self, unique: Option<crate::UniqueKey>) -> Self {
        self.unique = unique;
        self
    }
}

/// A job whose lease is to be extended.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extension {
    /// Its lease.
    pub lease: JobLease,
    /// How far it is, in a form of the caller's choice, at most [`MAX_RESULT_BYTES`](super::MAX_RESULT_BYTES); `None`
    /// leaves what was stored.
    pub progress: Option<Bytes>,
}

impl Extension {
    /// An extension without progress.
    pub fn new(lease: JobLease) -> Self {
        Self { lease, progress: None }
    }

    /// With progress.
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

/// What became of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    /// The lease lasts until then.
    Until(Timestamp),
    /// The lease lasts until then, and somebody asks that the job be cancelled: stop, and settle it as
    /// [`Outcome::Cancelled`](crate::Outcome::Cancelled).
    CancelRequested(Timestamp),
    /// The lease is lost: it ran out, or the job was settled or is gone. Stop: what you write from now on does not count.
    Lost,
}
