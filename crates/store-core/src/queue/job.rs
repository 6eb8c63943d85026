//! What is pushed.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{MAX_BATCH_BYTES, MAX_DELAY, MAX_PAYLOAD_BYTES, TraceContext, validate_batch};
use crate::{Error, JobId, Op, Result, UniqueKey};

/// A job to be pushed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewJob {
    /// Its id. Default: a new UUID version 7.
    pub id: JobId,
    /// What the handler gets, at most [`MAX_PAYLOAD_BYTES`].
    pub payload: Bytes,
    /// How long it waits before it is ready. Default: not at all.
    pub delay: Duration,
    /// Default [`Priority::Normal`].
    pub priority: Priority,
    /// A key that only one job of the queue may hold at a time.
    pub unique: Option<Unique>,
    /// What happens when it fails.
    pub retry: RetryPolicy,
    /// A job that has not been claimed this long after its push is dead with the reason `deadline` instead.
    pub start_within: Option<Duration>,
    /// The version of the payload's form, for handlers that read several. Default 0.
    pub schema: u16,
    /// The trace that the job belongs to. Default none.
    pub trace: Option<TraceContext>,
    /// The identity of this push, by which the store tells a repeated push from another one with the same id. Default
    /// random.
    pub request: u32,
}

impl NewJob {
    /// A job with a new id, to be run as soon as possible.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            id: JobId::generate(),
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

    /// With an id of the caller's: a second push with it changes nothing as long as the first job is retained.
    #[must_use]
    pub fn with_id(mut self, id: JobId) -> Self {
        self.id = id;
        self
    }

    /// Ready after `delay`.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// With a priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// With a unique key.
    #[must_use]
    pub fn with_unique(mut self, unique: Unique) -> Self {
        self.unique = Some(unique);
        self
    }

    /// With a retry policy.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Dead if not claimed within this time.
    #[must_use]
    pub fn with_start_within(mut self, time: Duration) -> Self {
        self.start_within = Some(time);
        self
    }

    /// With the version of the payload's form.
    #[must_use]
    pub fn with_schema(mut self, schema: u16) -> Self {
        self.schema = schema;
        self
    }

    /// As a part of a trace, if there is one.
    #[must_use]
    pub fn with_trace(mut self, trace: impl Into<Option<TraceContext>>) -> Self {
        self.trace = trace.into();
        self
    }

    /// Checks a batch against the limits of a push.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], saying which job and which limit.
    pub fn validate_all(jobs: &[NewJob]) -> Result<()> {
        let refuse = |detail: String| Err(Error::invalid_argument(Op::QueuePush, detail));
        validate_batch(Op::QueuePush, jobs.len())?;
        let mut bytes = 0;
        for (index, job) in jobs.iter().enumerate() {
            bytes += job.payload.len();
            if job.payload.len() > MAX_PAYLOAD_BYTES {
                let len = job.payload.len();
                return refuse(format!("the payload of job {index} has {len} bytes; at most {MAX_PAYLOAD_BYTES}"));
            }
            if job.delay > MAX_DELAY || job.start_within.is_some_and(|time| time.is_zero() || time > MAX_DELAY) {
                return refuse(format!("a delay or deadline of job {index} lies outside 1 ms to 366 days"));
            }
            if job.retry.max_attempts == 0 {
                return refuse(format!("job {index} has no attempt; give at least 1"));
            }
            if matches!(&job.unique, Some(Unique { until: UniqueUntil::Elapsed(time), .. }) if time.is_zero() || *time > MAX_DELAY)
            {
                return refuse(format!("the unique key of job {index} is held outside 1 ms to 366 days"));
            }
        }
        if bytes > MAX_BATCH_BYTES {
            return refuse(format!("the payloads have {bytes} bytes together; at most {MAX_BATCH_BYTES} in one push"));
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

/// Which jobs are claimed first: strictly, a higher one before every lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before everything.
    Critical,
    /// Before normal ones.
    High,
    /// The default.
    #[default]
    Normal,
    /// When nothing else is ready.
    Low,
}

impl Priority {
    /// All, the first to be claimed first.
    pub const ALL: [Priority; 4] = [Priority::Critical, Priority::High, Priority::Normal, Priority::Low];

    /// Its place in [`Priority::ALL`].
    pub fn index(self) -> u8 {
        self as u8
    }

    /// The priority at a place in [`Priority::ALL`].
    pub fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }
}

/// A key that only one job of a queue holds at a time. A push with a key that is held is not accepted:
/// [`Pushed::Held`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: UniqueKey,
    /// When the job gives it back.
    pub until: UniqueUntil,
}

impl Unique {
    /// A key that is held until `until`.
    pub fn new(key: UniqueKey, until: UniqueUntil) -> Self {
        Self { key, until }
    }
}

/// When a job gives its unique key back. Each of them ends with the job at the latest, except [`UniqueUntil::Elapsed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniqueUntil {
    /// When it is first claimed: one may run while the next one waits.
    Claimed,
    /// When it is completed, dead, cancelled or deleted.
    Finished,
    /// This long after its push, whatever became of it.
    Elapsed(Duration),
}

/// What happens to a job that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often it may be delivered before it is dead; a delivery whose worker died counts, a snooze or a release does
    /// not. At least 1; default 10.
    pub max_attempts: u16,
    /// How long to wait in between.
    pub backoff: Backoff,
}

impl RetryPolicy {
    /// Up to `max_attempts` deliveries.
    pub fn new(max_attempts: u16, backoff: Backoff) -> Self {
        Self { max_attempts, backoff }
    }

    /// One delivery only.
    pub fn never() -> Self {
        Self::new(1, Backoff::Fixed(Duration::ZERO))
    }
}

impl Default for RetryPolicy {
    /// Ten attempts, exponentially from 1 s to 10 min.
    fn default() -> Self {
        Self::new(10, Backoff::Exponential { first: Duration::from_secs(1), max: Duration::from_secs(600) })
    }
}

/// How long a failed job waits. The worker adds jitter to all of them but [`Backoff::Fixed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// Always the same.
    Fixed(Duration),
    /// `step`, twice `step`, three times …, at most `max`.
    Linear {
        /// The first wait, and what each further one adds.
        step: Duration,
        /// The longest.
        max: Duration,
    },
    /// `first`, twice that, four times …, at most `max`.
    Exponential {
        /// The first wait.
        first: Duration,
        /// The longest.
        max: Duration,
    },
}

impl Backoff {
    /// The wait after the attempt with this number (1 is the first), without jitter.
    pub fn after_attempt(&self, attempt: u32) -> Duration {
        let failures = attempt.max(1);
        match *self {
            Backoff::Fixed(time) => time,
            Backoff::Linear { step, max } => step.saturating_mul(failures).min(max),
            Backoff::Exponential { first, max } => {
                first.saturating_mul(2_u32.saturating_pow((failures - 1).min(31))).min(max)
            }
        }
    }
}

/// What became of one pushed job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue (or this very push put it there before).
    Created,
    /// The queue has a job with this id already, from another push.
    Duplicate,
    /// Another job holds its unique key.
    Held(JobId),
}

#[cfg(test)]
mod tests {
    use super::{Backoff, NewJob};
    use std::time::Duration;

    #[test]
    fn backoff_grows_to_its_bound() {
        let exponential = Backoff::Exponential { first: Duration::from_secs(1), max: Duration::from_secs(60) };
        let waits: Vec<u64> = (1..=8).map(|attempt| exponential.after_attempt(attempt).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(exponential.after_attempt(u32::MAX), Duration::from_secs(60));
    }

    #[test]
    fn a_refused_batch_names_the_job() {
        let jobs = [NewJob::new("a"), NewJob::new(vec![0; super::MAX_PAYLOAD_BYTES + 1])];
        assert!(NewJob::validate_all(&jobs).unwrap_err().to_string().contains("job 1"));
        assert!(NewJob::validate_all(&[]).is_err());
    }
}
