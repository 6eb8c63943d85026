//! Settlements: how the attempt at a job ended.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::{JobInfo, JobLease, NewJob, validate_batch};
use crate::{Error, Op, Result};

/// The end of one attempt, for [`Queue::settle`](super::Queue::settle).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settlement {
    /// The lease of the job.
    pub lease: JobLease,
    /// How the attempt ended.
    pub outcome: Outcome,
}

impl Settlement {
    /// A settlement of the job with this lease.
    pub fn new(lease: JobLease, outcome: Outcome) -> Self {
        Self { lease, outcome }
    }

    /// Checks a batch against the limits.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], with the settlement and the limit that it exceeds.
    pub fn validate_all(settlements: &[Settlement]) -> Result<()> {
        validate_batch(Op::QueueSettle, settlements.len())?;
        for (index, settlement) in settlements.iter().enumerate() {
            let (wait, bytes) = match &settlement.outcome {
                Outcome::Complete(Some(kept)) => (kept.lasting, kept.result.len()),
                Outcome::Retry { after, .. } | Outcome::Snooze { after } => (*after, 0),
                Outcome::Complete(None) | Outcome::Dead { .. } | Outcome::Release | Outcome::Cancelled => {
                    (Duration::ZERO, 0)
                }
            };
            if wait > NewJob::MAX_DELAY {
                return Err(Error::invalid_argument(
                    Op::QueueSettle,
                    format!("settlement {index} waits more than 366 days"),
                ));
            }
            if bytes > JobInfo::MAX_RESULT_BYTES {
                let detail = format!(
                    "the result of settlement {index} has {bytes} bytes; at most {most}",
                    most = JobInfo::MAX_RESULT_BYTES
                );
                return Err(Error::invalid_argument(Op::QueueSettle, detail));
            }
        }
        Ok(())
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The job is done. `None` removes it; otherwise the queue keeps it with its result for a time.
    Complete(Option<Kept>),
    /// The attempt failed. The job is scheduled again, or dead if this was its last attempt.
    Retry {
        /// How long it waits, at most [`NewJob::MAX_DELAY`].
        after: Duration,
        /// Why it failed. Truncated to [`JobInfo::MAX_REASON_BYTES`](crate::JobInfo::MAX_REASON_BYTES).
        error: String,
    },
    /// The job cannot run now. It is scheduled again. The delivery does not count as an attempt.
    Snooze {
        /// How long it waits, at most [`NewJob::MAX_DELAY`].
        after: Duration,
    },
    /// The job has failed for good. The queue keeps it as dead until it is replayed or deleted, or until
    /// [`Retention`](crate::Retention) removes it.
    Dead {
        /// Why it failed. Truncated to [`JobInfo::MAX_REASON_BYTES`](crate::JobInfo::MAX_REASON_BYTES).
        reason: String,
    },
    /// The worker did not start the job. It is ready again, before the other jobs of its priority. The delivery does not
    /// count as an attempt.
    Release,
    /// The worker stopped the job because it was requested to. The job is removed.
    Cancelled,
}

/// A result, and how long it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The result, at most [`JobInfo::MAX_RESULT_BYTES`].
    pub result: Bytes,
    /// How long the queue keeps the job and its result, at most [`NewJob::MAX_DELAY`]. The store's [`Retention`](crate::Retention)
    /// may remove them earlier. As long as the job is kept, a push with its id is a duplicate.
    pub lasting: Duration,
}

impl Kept {
    /// A result that is kept for `lasting`.
    pub fn new(result: impl Into<Bytes>, lasting: Duration) -> Self {
        Self { result: result.into(), lasting }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} bytes, {:?})", self.result.len(), self.lasting)
    }
}

/// The outcome of [`Queue::settle`](super::Queue::settle) for one job. In JSON: `{"outcome":"done"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Settled {
    /// The settlement took effect.
    Done,
    /// The lease was lost. Nothing was changed: the job is removed, or another worker has claimed or may claim it.
    Lost,
    /// The job is gone, and it is not known whether this settlement or another call removed it. Only a store on servers returns this, if
    /// it had to send the request again and the server has no record of an earlier copy.
    Unknown,
}

impl Settled {
    /// Whether the lease was lost, so that the settlement had no effect. `false` if that is unknown.
    pub fn is_lost(self) -> bool {
        matches!(self, Settled::Lost)
    }
}
