//! Queues of jobs that must not be lost.
//!
//! A job is in exactly one state ([`JobState`]): *ready* to be claimed, *scheduled* for later, *running* under a lease,
//! *completed* (only while its result is kept), or *dead*. The queue delivers it at least once. Only the holder of its current
//! lease can complete it.

mod claim;
mod control;
mod ext;
mod inspect;
mod job;
mod retry;
mod settle;
mod trace;
mod typed;
mod unique;
mod waiter;

pub use claim::{Claim, ClaimRequest, ClaimedJob, Extended, Extension, JobLease};
pub use control::{Cancelled, Deleted, QueueControl, Replayed};
pub use ext::QueueExt;
pub use inspect::{Counts, Explanation, JobInfo, JobState, QueueInspect};
pub use job::{NewJob, Priority, Pushed};
pub use retry::{Backoff, RetryPolicy};
pub use settle::{Kept, Outcome, Settled, Settlement};
pub use trace::TraceContext;
pub use typed::{JobType, TypedQueue};
pub use unique::{Unique, UniqueUntil};
pub use waiter::{REGISTRATION, Waiter, Wakeup};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Durability, Error, Op, QueueName, Receipt, Result};

/// Pushes jobs, and delivers them to workers. Delivery is at least once. Completion is once, by the holder of the current
/// lease.
///
/// Each call costs one round trip for each partition that it concerns. A queue has one partition unless the store declares more
/// ([`StateOptions::with_partitions`](crate::StateOptions::with_partitions)).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::sync::Arc;
/// use twinstore::durability::Durability;
/// use twinstore::queue::{NewJob, Pushed, Queue, QueueName};
///
/// let queue: Arc<dyn Queue> = stores.state().queue();
/// let mails = QueueName::new("mails")?;
/// let jobs = [NewJob::new("to ann"), NewJob::new("to bob")];
/// let receipt = queue.push(&mails, &jobs, Durability::Accepted).await?;
/// assert!(receipt.value.iter().all(Pushed::is_new));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// `async fn push(&self, queue: &QueueName, jobs: &[NewJob], durability: Durability) -> Result<Receipt<Vec<Pushed>>>`
    ///
    /// Pushes up to [`NewJob::MAX_BATCH`] jobs of at most [`NewJob::MAX_BATCH_BYTES`] together. Returns one outcome per job, in the order
    /// given. O(jobs).
    ///
    /// If the queue already has a job with the id that the caller set, the push changes nothing, whatever the content:
    /// [`Pushed::Duplicate`]. If the caller pushes the same [`NewJob`] again, it gets [`Pushed::Created`] again, as long as the queue
    /// has the job. A job without an id is a new one in each call.
    ///
    /// A queue of several partitions looks the id up in one of them: that of the job's unique key, or that of the id if the job has
    /// no key. So it recognises an id among the jobs with the same unique key, or among those without one. An id that is pushed with
    /// one key and then with another key, or with none, may be two jobs; a call that names the id then reaches one of them. To rule
    /// that out, always push an id with the same key, or set only one of the two.
    ///
    /// If a reply is lost, the store sends the same request again. The store remembers each call as long as it may be sent
    /// again: its jobs are added once, also if they were done and removed meanwhile.
    ///
    /// # Errors
    /// [`Error::Limit`] if the server's memory is full or the queue reaches a bound, and [`Error::InvalidArgument`] if a job
    /// exceeds a limit: then no job is pushed. [`Error::NotDurable`]: all jobs are pushed.
    async fn push(&self, queue: &QueueName, jobs: &[NewJob], durability: Durability) -> Result<Receipt<Vec<Pushed>>>;

    /// `async fn claim(&self, request: &ClaimRequest) -> Result<Claim>`
    ///
    /// Claims ready jobs under a lease: higher priorities first, then in the order in which they became ready, within each
    /// partition. O(claimed jobs), and O(log n) for each job that becomes ready.
    ///
    /// It first makes scheduled jobs that are due, and jobs whose lease has expired, ready. It does not wait: without ready
    /// jobs it returns an empty [`Claim`]. It may return fewer jobs than are ready; then [`Claim::next`] is zero.
    ///
    /// The store does not repeat a claim. If its reply is lost, send the same request [`repeated`](ClaimRequest::repeated).
    /// Otherwise its jobs become ready again when their lease expires.
    ///
    /// A partition that cannot be reached holds up only its own jobs. The claim returns the jobs of the others, and [`Claim::next`] is
    /// at most 5 s. Claims of this process leave the partition out for up to 5 s, then one claim tries it again. If the reply of a
    /// partition is lost, the claim fails. Its repetition returns the jobs of the partitions that answer; what the lost claim leased in
    /// another one becomes ready when the lease expires.
    ///
    /// If the lease of a job expires and no call has extended or settled it, its worker has probably not received it. The first
    /// three such deliveries of a job do not count as attempts; further ones do.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the request exceeds a limit. [`Error::Indeterminate`] if a reply is lost.
    /// [`Error::Unavailable`] if no partition can be reached.
    async fn claim(&self, request: &ClaimRequest) -> Result<Claim>;

    /// `async fn extend(&self, queue: &QueueName, jobs: &[Extension], lasting: Duration) -> Result<Vec<Extended>>`
    ///
    /// Sets the end of the leases of up to [`NewJob::MAX_BATCH`] jobs to `lasting` from now, and stores their progress. Returns one
    /// outcome per job, in the order given. O(jobs).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `lasting` is outside [`Lease::RANGE`](crate::Lease::RANGE), or if the batch or a progress exceeds
    /// its limit. [`Error::Indeterminate`] if leases in some partitions were extended and others could not be reached: repeat the
    /// call. A call with leases of one partition does not depend on the others.
    async fn extend(&self, queue: &QueueName, jobs: &[Extension], lasting: Duration) -> Result<Vec<Extended>>;

    /// `async fn settle(&self, queue: &QueueName, settlements: &[Settlement], durability: Durability) ->
    /// Result<Receipt<Vec<Settled>>>`
    ///
    /// Settles up to [`NewJob::MAX_BATCH`] claimed jobs. Returns one outcome per job, in the order given. O(jobs). If a reply is
    /// lost, the store sends the same request again, and remembers it as long as it may be sent again. If the server has lost this
    /// record, the outcome for a job that is gone is [`Settled::Unknown`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the batch, a delay or a result exceeds its limit: then no job is settled.
    /// [`Error::NotDurable`]: the settlements took effect.
    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        durability: Durability,
    ) -> Result<Receipt<Vec<Settled>>>;

    /// `fn waiter(&self) -> Arc<dyn Waiter>`
    ///
    /// A waiter for an idle worker. It is not registered at any queue yet.
    fn waiter(&self) -> Arc<dyn Waiter>;
}

/// How many scheduled jobs, and how many jobs with an expired lease, one claim makes ready at most. If more are due,
/// [`Claim::next`] is zero.
pub const MAX_MOVES: usize = 256;

/// Refuses a batch that is empty or too large.
///
/// # Errors
/// [`Error::InvalidArgument`].
pub fn validate_batch(op: Op, len: usize) -> Result<()> {
    if len == 0 || len > NewJob::MAX_BATCH {
        return Err(Error::invalid_argument(
            op,
            format!("{len} jobs in one call; give 1 to {most}", most = NewJob::MAX_BATCH),
        ));
    }
    Ok(())
}

/// Refuses a lease outside [`Lease::RANGE`](crate::Lease::RANGE).
///
/// # Errors
/// [`Error::InvalidArgument`].
pub fn validate_lease(op: Op, lasting: Duration) -> Result<()> {
    if !crate::Lease::RANGE.contains(&lasting) {
        return Err(Error::invalid_argument(op, "a lease lasts from 10 ms to 30 days"));
    }
    Ok(())
}

/// Truncates a text to [`JobInfo::MAX_REASON_BYTES`], at a character boundary.
pub fn cut_reason(text: &str) -> &str {
    &text[..text.floor_char_boundary(JobInfo::MAX_REASON_BYTES)]
}
