//! Acting on a queue from outside.

use std::fmt;

use async_trait::async_trait;

use crate::{JobId, QueueName, Result};

/// Acting on a queue from outside. All of it may be sent again; the second time finds the state that the first one made.
#[async_trait]
pub trait QueueControl: Send + Sync + fmt::Debug {
    /// Cancels a job that is ready or scheduled, at once; asks the worker of a running one to stop, which it learns when it
    /// next extends its lease. A job that was asked to stop may still complete or die, but it does not come back: a retry, a
    /// snooze, a release and the end of its lease forget it.
    async fn cancel(&self, queue: &QueueName, job: &JobId) -> Result<Cancelled>;

    /// Makes dead jobs ready again, with all their attempts and without a deadline. Returns the outcome for each. At most
    /// [`MAX_BATCH`](super::MAX_BATCH).
    ///
    /// A job whose unique key is held until it is claimed or finished takes the key again. If another job holds the key, the
    /// job stays dead: [`Replayed::Held`]. A key that is held for a time is not taken again, because its time began with the
    /// push. Sent again after a lost reply, it returns [`Replayed::NotDead`] for the jobs that the first request replayed.
    async fn replay(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Replayed>>;

    /// Deletes jobs that do not run, in whatever other state. At most [`MAX_BATCH`](super::MAX_BATCH).
    async fn delete(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Deleted>>;

    /// Makes scheduled jobs ready at once. For each, whether it was scheduled. At most [`MAX_BATCH`](super::MAX_BATCH).
    async fn promote(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>>;

    /// Stops claims: running jobs go on, pushes are accepted.
    async fn pause(&self, queue: &QueueName) -> Result<()>;

    /// Allows claims again.
    async fn resume(&self, queue: &QueueName) -> Result<()>;
}

/// What a cancellation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// The job did not run yet, and is gone.
    Removed,
    /// The job runs; its worker is asked to stop.
    Requested,
    /// The job is completed or dead already.
    Finished,
    /// The queue has no such job.
    Unknown,
}

/// The outcome of the replay of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replayed {
    /// It was dead and is ready.
    Replayed,
    /// Another job holds its unique key. It stays dead.
    Held {
        /// Which job holds the key.
        by: JobId,
    },
    /// It is not dead, or the queue has no such job. Nothing was changed.
    NotDead,
}

/// What a deletion found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The job is gone.
    Deleted,
    /// The job runs, and was left alone: cancel it first.
    Running,
    /// The queue has no such job.
    Unknown,
}
