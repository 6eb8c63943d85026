//! Retry policies: how often a job that fails is tried, and when.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often the queue delivers a job that fails, and how long it waits between attempts.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::queue::{Backoff, NewJob, QueueExt, QueueName, RetryPolicy};
///
/// let mails = QueueName::new("mails")?;
/// let retry = RetryPolicy::new(3, Backoff::Fixed(Duration::from_secs(30)));
/// let job = NewJob::new("to ann").with_retry(retry);
/// let pushed = stores.state().queue().push_one(&mails, job).await?;
/// let id = pushed.id().expect("a new job").clone();
/// assert_eq!(stores.state().inspect().get(&mails, &id).await?.unwrap().max_attempts, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// After how many attempts the job is dead. A delivery whose worker died counts as an attempt; a snooze and a release do
    /// not. At least 1. Default 10.
    pub max_attempts: u16,
    /// How long a job waits after a failed attempt. Default exponential, from 1 s to 10 min.
    pub backoff: Backoff,
}

impl RetryPolicy {
    /// A policy of up to `max_attempts` attempts.
    pub fn new(max_attempts: u16, backoff: Backoff) -> Self {
        Self { max_attempts, backoff }
    }

    /// A policy of one attempt.
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

/// How long a failed job or operation waits. Jitter spreads the next attempts of jobs that failed together: a linear wait is a random
/// time from 50 % to 100 % of it, an exponential one from 0 % to 100 % ("full jitter", AWS Architecture Blog, *Exponential Backoff and
/// Jitter*, 2015).
///
/// ```
/// use std::time::Duration;
/// use twinstore::queue::Backoff;
///
/// let backoff = Backoff::Exponential { first: Duration::from_secs(1), max: Duration::from_secs(60) };
/// assert_eq!(backoff.after_attempt(1), Duration::from_secs(1));
/// assert_eq!(backoff.after_attempt(3), Duration::from_secs(4));
/// assert_eq!(backoff.after_attempt(10), Duration::from_secs(60));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// Always the same wait.
    Fixed(Duration),
    /// The wait grows by `step` with each attempt: `step`, `2 * step`, `3 * step`, at most `max`.
    Linear {
        /// The first wait, and the growth per attempt.
        step: Duration,
        /// The longest wait.
        max: Duration,
    },
    /// The wait doubles with each attempt: `first`, `2 * first`, `4 * first`, at most `max`.
    Exponential {
        /// The first wait.
        first: Duration,
        /// The longest wait.
        max: Duration,
    },
}

impl Backoff {
    /// The wait after an attempt, with jitter.
    #[doc(hidden)]
    pub fn wait_after(&self, attempt: u32) -> Duration {
        let wait = self.after_attempt(attempt);
        match self {
            Backoff::Fixed(_) => wait,
            Backoff::Linear { .. } => wait.mul_f64(0.5 + fastrand::f64() / 2.0),
            Backoff::Exponential { .. } => wait.mul_f64(fastrand::f64()),
        }
    }

    /// The longest wait.
    #[doc(hidden)]
    pub fn longest(&self) -> Duration {
        match *self {
            Backoff::Fixed(time) => time,
            Backoff::Linear { max, .. } | Backoff::Exponential { max, .. } => max,
        }
    }

    /// The wait after an attempt, without jitter. The first attempt has the number 1.
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

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    #[test]
    fn waits_are_jittered_unless_they_are_fixed() {
        let second = Duration::from_secs(1);
        let waits = |backoff: Backoff| -> Vec<Duration> { (0..200).map(|_| backoff.wait_after(3)).collect() };
        assert!(waits(Backoff::Fixed(second)).iter().all(|wait| *wait == second));
        let linear = waits(Backoff::Linear { step: 2 * second, max: 60 * second });
        assert!(linear.iter().all(|wait| (3 * second..=6 * second).contains(wait)));
        let exponential = waits(Backoff::Exponential { first: second, max: 60 * second });
        assert!(exponential.iter().all(|wait| *wait <= 4 * second));
        // each half is hit: a random time that is missed 200 times has a probability of 2^-200
        for is_short in [true, false] {
            assert!(exponential.iter().any(|wait| (*wait < 2 * second) == is_short));
        }
    }

    #[test]
    fn backoff_grows_to_its_bound() {
        let exponential = Backoff::Exponential { first: Duration::from_secs(1), max: Duration::from_secs(60) };
        let waits: Vec<u64> = (1..=8).map(|attempt| exponential.after_attempt(attempt).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(exponential.after_attempt(u32::MAX), Duration::from_secs(60));
    }
}
