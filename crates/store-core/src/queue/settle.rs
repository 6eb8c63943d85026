//! What becomes of a job that was worked on.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{JobLease, MAX_DELAY, MAX_RESULT_BYTES, validate_batch};
use crate::{Error, Op, Result};

/// The end of one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settlement {
    /// The lease under which it was worked on.
    pub lease: JobLease,
    /// How it ended.
    pub outcome: Outcome,
}

impl Settlement {
    /// A settlement.
    pub fn new(lease: JobLease, outcome: Outcome) -> Self {
        Self { lease, outcome }
    }

    /// Checks a batch against the limits.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`], saying which settlement and which limit.
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
            if wait > MAX_DELAY {
                return Err(Error::invalid_argument(
                    Op::QueueSettle,
                    format!("settlement {index} waits more than 366 days"),
                ));
            }
            if bytes > MAX_RESULT_BYTES {
                let detail = format!("the result of settlement {index} has {bytes} bytes; at most {MAX_RESULT_BYTES}");
                return Err(Error::invalid_argument(Op::QueueSettle, detail));
            }
        }
        Ok(())
    }
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done. With `None` the job is forgotten; else it and its result are kept for a time.
    Complete(Option<Kept>),
    /// Failed: ready again after a time, or dead when this was its last attempt.
    Retry {
        /// How long it waits.
        after: Duration,
        /// Why it failed; cut to [`MAX_REASON_BYTES`](super::MAX_REASON_BYTES).
        error: String,
    },
    /// Not now: ready again after a time. The delivery does not count as an attempt.
    Snooze {
        /// How long it waits.
        after: Duration,
    },
    /// Failed for good: kept as dead, until it is replayed, deleted, or falls out of the queue's bounds.
    Dead {
        /// Why; cut to [`MAX_REASON_BYTES`](super::MAX_REASON_BYTES).
        reason: String,
    },
    /// Not started: ready again at once, before the others of its priority. The delivery does not count as an attempt.
    Release,
    /// Stopped because it was asked to: the job is forgotten.
    Cancelled,
}

/// A result, and how long it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The result, at most [`MAX_RESULT_BYTES`].
    pub result: Bytes,
    /// How long it and its job are kept, unless the store's [`Retention`](crate::Retention) ends it before; a push with the id is a
    /// duplicate as long.
    pub lasting: Duration,
}

impl Kept {
    /// A result to be kept.
    pub fn new(result: impl Into<Bytes>, lasting: Duration) -> Self {
        Self { result: result.into(), lasting }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({} bytes, {:?})", self.result.len(), self.lasting)
    }
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It counts.
    Done,
    /// It does not count: the lease was lost, and the job is somebody else's or gone.
    Lost,
}
