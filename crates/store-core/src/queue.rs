//! Queues of jobs that may not be lost.
//!
//! A job is in exactly one state ([`JobState`]): *ready* to be claimed, *scheduled* for later, *running* under a lease,
//! *completed* (only while its result is kept), or *dead*. It is delivered at least once; it is completed once, by the
//! holder of its current lease.

mod claim;
mod control;
mod ext;
mod inspect;
mod job;
mod settle;
mod trace;
mod typed;

pub use claim::{Claim, ClaimRequest, ClaimedJob, Extended, Extension, JobLease};
pub use control::{Cancelled, Deleted, QueueControl, Replayed};
pub use ext::QueueExt;
pub use inspect::{Counts, Explanation, JobInfo, JobState, QueueInspect};
pub use job::{Backoff, NewJob, Priority, Pushed, RetryPolicy, Unique, UniqueUntil};
pub use settle::{Kept, Outcome, Settled, Settlement};
pub use trace::{MAX_TRACESTATE_BYTES, TraceContext};
pub use typed::{JobType, TypedQueue};

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Durability, Error, Op, QueueName, Receipt, Result};

/// Pushing jobs, and working on them.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// Pushes up to [`MAX_BATCH`] jobs of at most [`MAX_BATCH_BYTES`] together. One answer per job, in the order given.
    /// A job whose id the queue already has is not pushed again, whatever its content: [`Pushed::Duplicate`]; but sending
    /// the very same push again ([`NewJob::request`]) answers [`Pushed::Created`] again. An id is known as long as its job is: a push
    /// that is repeated after its jobs were done and forgotten pushes them again.
    ///
    /// # Errors
    /// [`Error::Limit`] when the server's memory is full, or the queue's bounds are reached; [`Error::InvalidArgument`] for a job
    /// outside the limits: then none is pushed. [`Error::NotDurable`]: all are pushed.
    async fn push(&self, queue: &QueueName, jobs: &[NewJob], durability: Durability) -> Result<Receipt<Vec<Pushed>>>;

    /// Claims ready jobs under a lease: higher priorities first, then the order in which they became ready. Returns at once,
    /// also when there is none, and may return fewer than are ready: then [`Claim::next`] is zero. Never repeated: jobs whose
    /// claim was answered but not heard come back when the lease runs out. Whatever became due before now is made ready
    /// first: scheduled jobs, and jobs whose lease ran out.
    async fn claim(&self, request: &ClaimRequest) -> Result<Claim>;

    /// Makes the leases of up to [`MAX_BATCH`] jobs last for `lasting` from now, and stores the progress they report.
    /// One answer per job, in the order given.
    async fn extend(&self, queue: &QueueName, jobs: &[Extension], lasting: Duration) -> Result<Vec<Extended>>;

    /// Settles up to [`MAX_BATCH`] claimed jobs. One answer per job, in the order given. Sent again, a settlement that was
    /// carried out answers [`Settled::Done`] again as long as its lease would have lasted.
    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        durability: Durability,
    ) -> Result<Receipt<Vec<Settled>>>;

    /// Waits until one of the queues may have something to claim, at most `up_to`. May return early without a reason, and
    /// wakes one waiter per news, not all. The caller passes what [`Claim::next`] said, so that due jobs are not missed.
    /// Sends nothing while it waits; `None` when nothing happened.
    async fn wait(&self, queues: &[QueueName], up_to: Duration) -> Result<Option<QueueName>>;
}

/// How many jobs one call may carry.
pub const MAX_BATCH: usize = 1000;

/// How many bytes of payload the jobs of one push may have together: 16 MiB.
pub const MAX_BATCH_BYTES: usize = 16 << 20;

/// How many scheduled jobs, and how many jobs whose lease ran out, one claim makes ready at most. When more are due,
/// [`Claim::next`] is zero.
pub const MAX_MOVES: usize = 256;

/// The largest payload of a job: 1 MiB. Keep what is larger elsewhere, and push where it is.
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// The largest result or progress of a job: 64 KiB.
pub const MAX_RESULT_BYTES: usize = 64 << 10;

/// Reasons and errors are cut to this many bytes, at a character.
pub const MAX_REASON_BYTES: usize = 1024;

/// The longest delay, deadline, back-off or retention: 366 days.
pub const MAX_DELAY: Duration = Duration::from_secs(366 * 24 * 3600);

/// Refuses a batch that is empty or too large.
///
/// # Errors
/// [`Error::InvalidArgument`].
pub fn validate_batch(op: Op, len: usize) -> Result<()> {
    if len == 0 || len > MAX_BATCH {
        return Err(Error::invalid_argument(op, format!("{len} jobs in one call; give 1 to {MAX_BATCH}")));
    }
    Ok(())
}

/// Refuses a lease outside [`LEASE_RANGE`](crate::LEASE_RANGE).
///
/// # Errors
/// [`Error::InvalidArgument`].
pub fn validate_lease(op: Op, lasting: Duration) -> Result<()> {
    if !crate::LEASE_RANGE.contains(&lasting) {
        return Err(Error::invalid_argument(op, "a lease lasts from 10 ms to 30 days"));
    }
    Ok(())
}

/// Cuts a text to [`MAX_REASON_BYTES`], at a character.
pub fn cut_reason(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_REASON_BYTES)]
}
