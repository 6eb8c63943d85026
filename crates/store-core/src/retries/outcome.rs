//! Outcomes of calls.

use std::time::Duration;

use super::RetryAttempt;
use crate::Timestamp;

/// The outcome of [`Retries::begin`](crate::Retries::begin).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, name::Key, queue::RetryPolicy};
/// use twinstore::retry::{RetryBegun, RetryDecision, RetryRequest};
///
/// # let (retries, accepted) = (stores.state().retries(), Durability::Accepted);
/// let request = RetryRequest::new(Key::new("invoice/7")?, RetryPolicy::never());
/// # let attempt = retries.begin(&request, accepted).await?.value.attempt().unwrap();
/// # let _ = retries.fail(&attempt, "no such customer", RetryDecision::Retry, accepted).await?;
/// match retries.begin(&request, accepted).await?.value {
///     RetryBegun::Started(_attempt) => unreachable!("carry the operation out"),
///     RetryBegun::Wait { until: _, remaining: _ } => unreachable!("try again later"),
///     RetryBegun::Succeeded => unreachable!("it is done"),
///     RetryBegun::Exhausted { attempts, last_error } => {
///         assert_eq!((attempts, last_error.as_deref()), (1, Some("no such customer")));
///     }
///     _ => unreachable!(),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryBegun {
    /// Carry the operation out.
    Started(RetryAttempt),
    /// An attempt runs, or the next one is not due.
    Wait {
        /// From when on an attempt may begin, by the server's clock.
        until: Timestamp,
        /// The time left.
        remaining: Duration,
    },
    /// This request has begun an attempt that has succeeded: do not carry the operation out again.
    Succeeded,
    /// The last attempt has failed for good.
    Exhausted {
        /// How many attempts there were.
        attempts: u32,
        /// Why the last one failed.
        last_error: Option<String>,
    },
}

impl RetryBegun {
    /// The attempt that has begun.
    pub fn attempt(self) -> Option<RetryAttempt> {
        match self {
            Self::Started(attempt) => Some(attempt),
            Self::Wait { .. } | Self::Succeeded | Self::Exhausted { .. } => None,
        }
    }
}

/// The outcome of [`Retries::fail`](crate::Retries::fail).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, name::Key, queue::RetryPolicy};
/// use std::time::Duration;
/// use twinstore::retry::{RetryDecision, RetryFailed, RetryRequest};
///
/// # let (retries, accepted, invoice) = (stores.state().retries(), Durability::Accepted, Key::new("invoice/7")?);
/// let request = RetryRequest::new(invoice.clone(), RetryPolicy::default());
/// let attempt = retries.begin(&request, accepted).await?.value.attempt().unwrap();
/// let later = RetryDecision::Snooze(Duration::from_secs(5));
/// let RetryFailed::Again { at } = retries.fail(&attempt, "busy", later, accepted).await?.value else { panic!() };
/// assert_eq!(retries.get(&invoice).await?.unwrap().next, Some(at));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryFailed {
    /// Another attempt may begin at this time, by the server's clock.
    Again {
        /// The time.
        at: Timestamp,
    },
    /// No other attempt begins.
    Exhausted,
    /// Nothing was recorded: a later attempt has begun, this one has succeeded, or the operation was cleared or has expired.
    Superseded,
}
