//! New jobs: payload, priority and delay.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{RetryPolicy, TraceContext, Unique, UniqueUntil, validate_batch};
use crate::{Error, JobId, Op, Result};

/// A job to push.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::queue::{JobId, NewJob, Priority, Pushed, QueueExt, QueueName};
///
/// let (queue, mails) = (stores.state().queue(), QueueName::new("mails")?);
/// let id = JobId::new("welcome-42")?;
/// let job = NewJob::new("to ann").with_id(id.clone()).with_delay(Duration::from_secs(60)).with_priority(Priority::Low);
/// assert!(queue.push_one(&mails, job).await?.is_new());
/// let again = NewJob::new("to ann").with_id(id);
/// assert_eq!(queue.push_one(&mails, again).await?, Pushed::Duplicate);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewJob {
    /// The id. Default `None`: the push assigns one, and returns it in [`Pushed::Created`]. Jobs without an id that are pushed
    /// together cost a server less. Set an id to recognise a job that your own code may push again.
    pub id: Option<JobId>,
    /// The payload for the handler, at most [`NewJob::MAX_PAYLOAD_BYTES`].
    pub payload: Bytes,
    /// How long the job waits before it is ready, at most [`NewJob::MAX_DELAY`]. Default zero.
    pub delay: Duration,
    /// The priority. Default [`Priority::Normal`].
    pub priority: Priority,
    /// A key that only one job of the queue may hold at a time. Default none.
    pub unique: Option<Unique>,
    /// What happens if an attempt fails. Default: [`RetryPolicy::default`].
    pub retry: RetryPolicy,
    /// If no worker has claimed the job this long after its push, it is dead with the reason `deadline`. From 1 ms to
    /// [`NewJob::MAX_DELAY`]. Default none.
    pub start_within: Option<Duration>,
    /// The version of the payload's format, for handlers that read several. Default 0.
    pub schema: u16,
    /// The trace that the job belongs to. Default none.
    pub trace: Option<TraceContext>,
    /// The identity of this push. With it the store distinguishes a repeated push from another push with the same id.
    /// Default random.
    pub request: u32,
}

impl NewJob {
    /// The largest number of jobs in one call.
    pub const MAX_BATCH: usize = 1000;

    /// The largest sum of the payloads of one push, in bytes: 16 MiB.
    pub const MAX_BATCH_BYTES: usize = 16 << 20;

    /// The largest payload of a job, in bytes: 1 MiB. Store larger data elsewhere, and push a reference to it.
    pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

    /// The longest delay, deadline, back-off or retention: 366 days.
    pub const MAX_DELAY: Duration = Duration::from_secs(366 * 24 * 3600);

    /// A job that is ready as soon as it is pushed, and whose id the push assigns.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            id: None,
            payload: payload.into(),
            delay: Duration::ZERO,
            priority: Priority::Normal,
            unique: None,
            retry: RetryPolicy::default(),
            start_within: None,
            schema: 0,
            trace: None,
            request: fastrand::u32(..),
        }
    }

    /// Sets the id. A second push with the same id changes nothing as long as the queue has the first job. In a queue of several
    /// partitions, this holds for two jobs with the same unique key, or without one ([`Queue::push`](super::Queue::push)).
    #[must_use]
    pub fn with_id(mut self, id: JobId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets how long the job waits before it is ready.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the unique key.
    #[must_use]
    pub fn with_unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// Sets the retry policy.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the time within which a worker must claim the job.
    #[must_use]
    pub fn with_start_within(mut self, time: Duration) -> Self {
        self.start_within = Some(time);
        self
    }

    /// Sets the version of the payload's format.
    #[must_use]
    pub fn with_schema(mut self, schema: u16) -> Self {
        self.schema = schema;
        self
    }

    /// Sets the trace that the job belongs to, if there is one.
    #[must_use]
    pub fn with_trace(mut self, trace: impl Into<Option<TraceContext>>) -> Self {
        self.trace = trace.into();
        self
    }

    /// Checks a batch against the limits of a push.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], with the job and the limit that it exceeds.
    pub fn validate_all(jobs: &[NewJob]) -> Result<()> {
        let refuse = |detail: String| Err(Error::invalid_argument(Op::QueuePush, detail));
        validate_batch(Op::QueuePush, jobs.len())?;
        let mut bytes = 0;
        for (index, job) in jobs.iter().enumerate() {
            bytes += job.payload.len();
            if job.payload.len() > NewJob::MAX_PAYLOAD_BYTES {
                let len = job.payload.len();
                return refuse(format!(
                    "the payload of job {index} has {len} bytes; at most {most}",
                    most = NewJob::MAX_PAYLOAD_BYTES
                ));
            }
            if job.delay > NewJob::MAX_DELAY
                || job.start_within.is_some_and(|time| time.is_zero() || time > NewJob::MAX_DELAY)
            {
                return refuse(format!("a delay or deadline of job {index} lies outside 1 ms to 366 days"));
            }
            if job.retry.max_attempts == 0 {
                return refuse(format!("job {index} has no attempt; give at least 1"));
            }
            if matches!(&job.unique, Some(Unique { until: UniqueUntil::Elapsed(time), .. }) if time.is_zero() || *time > NewJob::MAX_DELAY)
            {
                return refuse(format!("the unique key of job {index} is held outside 1 ms to 366 days"));
            }
        }
        if bytes > NewJob::MAX_BATCH_BYTES {
            return refuse(format!(
                "the payloads have {bytes} bytes together; at most {most} in one push",
                most = NewJob::MAX_BATCH_BYTES
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for NewJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewJob")
            .field("id", &self.id)
            .field("bytes", &self.payload.len())
            .field("priority", &self.priority)
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}

/// The priority of a job. Claims return every job of a higher priority before any job of a lower one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::page::PageRequest;
/// use twinstore::queue::{JobState, NewJob, Priority, QueueExt, QueueName};
///
/// let (queue, mails) = (stores.state().queue(), QueueName::new("mails")?);
/// queue.push_one(&mails, NewJob::new("newsletter").with_priority(Priority::Low)).await?;
/// queue.push_one(&mails, NewJob::new("password").with_priority(Priority::Critical)).await?;
/// let ready = stores.state().inspect().list(&mails, JobState::Ready, PageRequest::default()).await?;
/// assert_eq!(ready.items[0].priority, Priority::Critical); // the order of claims
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// The highest.
    Critical,
    /// Above [`Priority::Normal`].
    High,
    /// The default.
    #[default]
    Normal,
    /// The lowest.
    Low,
}

impl Priority {
    /// All priorities, the highest first.
    pub const ALL: [Priority; 4] = [Priority::Critical, Priority::High, Priority::Normal, Priority::Low];

    /// The index in [`Priority::ALL`].
    pub fn index(self) -> u8 {
        self as u8
    }

    /// The priority at an index of [`Priority::ALL`].
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }
}

/// The outcome of [`Queue::push`](super::Queue::push) for one job. In JSON: `{"outcome":"held","by":"job-7"}`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::queue::{JobId, NewJob, Pushed, QueueExt, QueueName};
///
/// let (queue, mails) = (stores.state().queue(), QueueName::new("mails")?);
/// let id = JobId::new("welcome-42")?;
/// let job = NewJob::new("to ann").with_id(id.clone());
/// assert_eq!(queue.push_one(&mails, job.clone()).await?, Pushed::Created { id: id.clone() });
/// assert!(queue.push_one(&mails, job).await?.is_new()); // the same push, repeated
/// let other = NewJob::new("to bob").with_id(id);
/// assert_eq!(queue.push_one(&mails, other).await?, Pushed::Duplicate);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pushed {
    /// This push has added the job to the queue. A repeated push returns the same.
    Created {
        /// The id of the job: the one that the caller set, or the one that the push assigned.
        id: JobId,
    },
    /// The queue already has a job with this id, from another push.
    Duplicate,
    /// Another job holds its unique key.
    Held {
        /// The job that holds the key.
        by: JobId,
    },
}

impl Pushed {
    /// Whether this push has added the job. Otherwise the queue already had it, or another job with its unique key.
    pub fn is_new(&self) -> bool {
        matches!(self, Pushed::Created { .. })
    }

    /// The id of the new job. `None` if this push has not added it.
    pub fn id(&self) -> Option<&JobId> {
        match self {
            Pushed::Created { id } => Some(id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NewJob;

    #[test]
    fn a_refused_batch_names_the_job() {
        let jobs = [NewJob::new("a"), NewJob::new(vec![0; NewJob::MAX_PAYLOAD_BYTES + 1])];
        assert!(NewJob::validate_all(&jobs).unwrap_err().to_string().contains("job 1"));
        assert!(NewJob::validate_all(&[]).is_err());
    }
}
