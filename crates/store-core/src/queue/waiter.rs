//! Waiting for jobs: registrations and wake-ups of idle workers.

use std::fmt;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Claim, ClaimRequest};
use crate::{QueueName, Result};

/// An idle worker of one process: it registers at queues, and is notified of jobs.
///
/// [`Queue::waiter`](super::Queue::waiter) makes one. Jobs that were handed over and not taken by [`Waiter::next`] are given back
/// when it is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use store_core::{ClaimRequest, HolderName, NewJob, Queue, QueueExt, QueueName, Waiter, Wakeup};
///
/// let (queue, mails) = (stores.state().queue(), QueueName::new("mails")?);
/// let waiter = queue.waiter();
/// let request = ClaimRequest::new(mails.clone(), HolderName::new("worker-1")?, 10, Duration::from_secs(30));
/// assert!(waiter.claim(&request, 10).await?.jobs.is_empty()); // registers the worker
/// queue.push_one(&mails, NewJob::new("to ann")).await?;
/// let mut jobs = Vec::new();
/// while jobs.is_empty() {
///     jobs = match waiter.next(Duration::from_secs(1)).await?.expect("a notification") {
///         Wakeup::Claimed { claim, .. } => claim.jobs,
///         _ => waiter.claim(&request, 10).await?.jobs,
///     };
/// }
/// assert_eq!(jobs[0].payload, "to ann");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Waiter: Send + Sync + fmt::Debug {
    /// `async fn claim(&self, request: &ClaimRequest, reserve: usize) -> Result<Claim>`
    ///
    /// Claims as [`Queue::claim`](super::Queue::claim). If it finds fewer jobs than requested, it registers this waiter at the queue
    /// for [`REGISTRATION`]. If it finds all of them, it does not register the waiter: claim again before you wait. While the waiter
    /// is registered, a push may lease jobs to it, up to `reserve` and up to the number of jobs that the claim did not find, and
    /// deliver them without another round trip ([`Wakeup::Claimed`]), or notify it ([`Wakeup::Notified`]). A notification ends the
    /// registration; so does a hand-over, unless it states otherwise. Another claim from the queue replaces the registration. A
    /// claim after a notification may skip the partitions at which the waiter is still registered and in which nothing is due.
    ///
    /// The jobs that the claim finds, those that the waiter reserves in all partitions of the queue, and those that were handed over
    /// and that [`Waiter::next`] had not returned before the claim began, are together at most the larger of `max` and
    /// [`Waiter::reserved`] at that time. A claim begins when its future is polled for the first time. If a
    /// hand-over has used the registration before the claim replaces it, the claim may return no job although some are ready; a
    /// wake-up follows, or was returned during the claim.
    ///
    /// # Errors
    /// As [`Queue::claim`](super::Queue::claim).
    async fn claim(&self, request: &ClaimRequest, reserve: usize) -> Result<Claim>;

    /// `async fn next(&self, up_to: Duration) -> Result<Option<Wakeup>>`
    ///
    /// Waits at most `up_to` for the next notification. `None` if there was none. Sends nothing while it waits. It may be dropped
    /// without losing a notification.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) if the store was closed.
    async fn next(&self, up_to: Duration) -> Result<Option<Wakeup>>;

    /// How many jobs of the queue pushes may hand over to this waiter, or have handed over and [`Waiter::next`] has not returned. A
    /// worker that registers at several queues must not reserve more jobs in all than it can run: a claim with a smaller `reserve`
    /// ends a reservation. Sends nothing.
    fn reserved(&self, queue: &QueueName) -> usize;
}

/// How long a waiter stays registered at a queue: 10 s.
pub const REGISTRATION: Duration = Duration::from_secs(10);

/// What a [`Waiter`] is notified of.
///
/// ```
/// use store_core::{QueueName, Wakeup};
///
/// /// The queue from which to claim, if it is only one.
/// fn queue_of(wakeup: &Wakeup) -> Option<&QueueName> {
///     match wakeup {
///         Wakeup::Claimed { queue, .. } | Wakeup::Notified { queue } => Some(queue),
///         _ => None,
///     }
/// }
///
/// assert_eq!(queue_of(&Wakeup::Missed), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wakeup {
    /// Jobs of the queue were leased to the waiter.
    Claimed {
        /// The queue.
        queue: QueueName,
        /// The jobs.
        claim: Claim,
        /// Whether the waiter is still registered at the queue, for the rest of the jobs that it has reserved.
        is_registered: bool,
        /// The leases began at this time or later, by the clock of this process.
        since: Instant,
    },
    /// The queue may have a job to claim.
    Notified {
        /// The queue.
        queue: QueueName,
    },
    /// Notifications may have been lost: claim once from every queue.
    Missed,
}
