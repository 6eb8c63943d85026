//! [`QueueControl`]: changes a queue and its jobs from outside of the workers.

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use crate::{JobId, QueueName, Result};

/// Changes a queue and its jobs from outside of the workers. A call that the library repeats after a lost reply returns what its first
/// copy has done, and changes nothing else. A caller can repeat each call, too: the second one finds the state that the first one left,
/// and does not know what that has removed.
///
/// Each call costs one round trip. Those that take several jobs return one outcome per job, in the order given, and are
/// O(jobs).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::sync::Arc;
/// use std::time::Duration;
/// use twinstore::queue::{NewJob, QueueControl, QueueExt, QueueName};
///
/// let control: Arc<dyn QueueControl> = stores.state().control();
/// let mails = QueueName::new("mails")?;
/// let job = NewJob::new("to ann").with_delay(Duration::from_secs(3600));
/// let pushed = stores.state().queue().push_one(&mails, job).await?;
/// let id = pushed.id().expect("a new job").clone();
/// assert_eq!(control.promote(&mails, &[id]).await?, [true]); // ready now
/// control.pause(&mails).await?;
/// assert!(stores.state().inspect().counts(&mails).await?.paused);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait QueueControl: Send + Sync + fmt::Debug {
    /// `async fn cancel(&self, queue: &QueueName, job: &JobId) -> Result<Cancelled>`
    ///
    /// Removes a job that is ready or scheduled. If the job runs, requests that its worker stop it; the worker receives the
    /// request when it next extends the lease.
    ///
    /// A job that was requested to stop may still complete or die, but it does not become ready again: a retry, a snooze, a
    /// release and the end of its lease remove it.
    async fn cancel(&self, queue: &QueueName, job: &JobId) -> Result<Cancelled>;

    /// `async fn replay(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Replayed>>`
    ///
    /// Makes dead jobs ready again, with all their attempts and without a deadline.
    ///
    /// If a job holds its unique key until it is claimed or finished, the replay takes the key again. If another job holds
    /// the key, the job stays dead: [`Replayed::Held`]. A key with a fixed time ([`UniqueUntil::Elapsed`]) is not taken
    /// again, because its time began with the push.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `jobs` is empty or has more than [`NewJob::MAX_BATCH`] ids.
    ///
    /// [`Error::InvalidArgument`]: crate::Error::InvalidArgument
    /// [`NewJob::MAX_BATCH`]: crate::NewJob::MAX_BATCH
    /// [`UniqueUntil::Elapsed`]: super::UniqueUntil::Elapsed
    async fn replay(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Replayed>>;

    /// `async fn delete(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Deleted>>`
    ///
    /// Deletes jobs in any state but running.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if `jobs` is empty or has more than [`NewJob::MAX_BATCH`](crate::NewJob::MAX_BATCH) ids.
    async fn delete(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Deleted>>;

    /// `async fn promote(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>>`
    ///
    /// Makes scheduled jobs ready. `true` for each job that was scheduled.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if `jobs` is empty or has more than [`NewJob::MAX_BATCH`](crate::NewJob::MAX_BATCH) ids.
    async fn promote(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>>;

    /// `async fn pause(&self, queue: &QueueName) -> Result<()>`
    ///
    /// Stops claims. Running jobs continue, and the queue accepts pushes.
    async fn pause(&self, queue: &QueueName) -> Result<()>;

    /// `async fn resume(&self, queue: &QueueName) -> Result<()>`
    ///
    /// Allows claims again.
    async fn resume(&self, queue: &QueueName) -> Result<()>;
}

/// The outcome of [`QueueControl::cancel`]. In JSON: `{"outcome":"removed"}`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::queue::{Cancelled, NewJob, QueueExt, QueueName};
///
/// let mails = QueueName::new("mails")?;
/// let job = NewJob::new("to ann");
/// let pushed = stores.state().queue().push_one(&mails, job).await?;
/// let id = pushed.id().expect("a new job").clone();
/// assert_eq!(stores.state().control().cancel(&mails, &id).await?, Cancelled::Removed);
/// assert_eq!(stores.state().control().cancel(&mails, &id).await?, Cancelled::Unknown);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cancelled {
    /// The job did not run. It is removed.
    Removed,
    /// The job runs. Its worker is requested to stop it.
    Requested,
    /// The job is completed or dead. Nothing was changed.
    Finished,
    /// The queue has no such job.
    Unknown,
}

impl Cancelled {
    /// The name: `removed`, `requested`, `finished` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Cancelled::Removed => "removed",
            Cancelled::Requested => "requested",
            Cancelled::Finished => "finished",
            Cancelled::Unknown => "unknown",
        }
    }

    /// Whether the job can no longer run: it was removed now, it is finished, or the queue does not have it.
    pub fn is_over(self) -> bool {
        !matches!(self, Cancelled::Requested)
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome of [`QueueControl::replay`] for one job. In JSON: `{"outcome":"held","by":"job-7"}`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::queue::{NewJob, QueueExt, QueueName, Replayed};
/// # use twinstore::worker::{Job, JobError};
///
/// # let mails = QueueName::new("mails")?;
/// # let job = NewJob::new("to nobody");
/// # let pushed = stores.state().queue().push_one(&mails, job).await?;
/// # let id = pushed.id().expect("a new job").clone();
/// # let dies = async |_: Job| Err::<(), _>(JobError::dead("no such user"));
/// # let worker = stores.state().worker().with_queue("mails", dies).build()?;
/// # twinstore::testing::run_until_empty(worker, stores.state()).await?;
/// let control = stores.state().control();
/// // `id` is the id of a dead job.
/// assert_eq!(control.replay(&mails, &[id.clone()]).await?, [Replayed::Replayed]);
/// assert_eq!(control.replay(&mails, &[id]).await?, [Replayed::NotDead]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Replayed {
    /// It was dead and is ready.
    Replayed,
    /// Another job holds its unique key. It stays dead.
    Held {
        /// The job that holds the key.
        by: JobId,
    },
    /// It is not dead, or the queue has no such job. Nothing was changed.
    NotDead,
}

impl Replayed {
    /// Whether the job is ready again.
    pub fn is_replayed(&self) -> bool {
        matches!(self, Replayed::Replayed)
    }
}

/// The outcome of [`QueueControl::delete`] for one job. In JSON: `{"outcome":"deleted"}`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::queue::{Deleted, NewJob, QueueExt, QueueName};
///
/// let mails = QueueName::new("mails")?;
/// let job = NewJob::new("to ann");
/// let pushed = stores.state().queue().push_one(&mails, job).await?;
/// let ids = [pushed.id().expect("a new job").clone()];
/// assert_eq!(stores.state().control().delete(&mails, &ids).await?, [Deleted::Deleted]);
/// assert_eq!(stores.state().control().delete(&mails, &ids).await?, [Deleted::Unknown]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Deleted {
    /// The job is deleted.
    Deleted,
    /// The job runs. Nothing was changed; cancel it first.
    Running,
    /// The queue has no such job.
    Unknown,
}

impl Deleted {
    /// The name: `deleted`, `running` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Deleted::Deleted => "deleted",
            Deleted::Running => "running",
            Deleted::Unknown => "unknown",
        }
    }

    /// Whether the job was deleted.
    pub fn is_deleted(self) -> bool {
        matches!(self, Deleted::Deleted)
    }
}

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
