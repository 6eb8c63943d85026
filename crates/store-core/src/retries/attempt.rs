//! Requests for attempts, attempts, and what follows a failed one.

use std::time::Duration;

use crate::{Error, ErrorKind, Fence, Key, Op, RequestId, Result, RetryPolicy, Ttl};

/// A request to begin an attempt at an operation.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::durability::Durability;
/// use twinstore::name::Key;
/// use twinstore::queue::RetryPolicy;
/// use twinstore::retry::{RetryBegun, RetryRequest};
///
/// let (retries, accepted) = (stores.state().retries(), Durability::Accepted);
/// let request = || RetryRequest::new(Key::new("invoice/7").unwrap(), RetryPolicy::default());
/// let request = || request().with_lasting(Duration::from_secs(30));
/// assert!(retries.begin(&request(), accepted).await?.value.attempt().is_some());
/// match retries.begin(&request(), accepted).await?.value {
///     RetryBegun::Wait { remaining, .. } => assert_eq!(remaining, Duration::from_secs(30)), // the first one runs
///     other => unreachable!("{other:?}"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryRequest {
    /// The operation.
    pub operation: Key,
    /// How many attempts it may have, and how long it waits between them.
    pub policy: RetryPolicy,
    /// How long the attempt may take after it has begun, by the server's clock. Count from the time at which you sent the request. Then
    /// another attempt may begin, and this one has failed. Default 1 min.
    pub lasting: Duration,
    /// How long the store remembers the operation after this attempt, at least. Default 7 days.
    pub ttl: Ttl,
    /// The identity of this request. Default random.
    pub request: RequestId,
}

impl RetryRequest {
    /// A request with a new identity.
    pub fn new(operation: Key, policy: RetryPolicy) -> Self {
        let (lasting, ttl) = (Duration::from_secs(60), Ttl::from_secs(7 * 24 * 3600));
        Self { operation, policy, lasting, ttl, request: RequestId::generate() }
    }

    /// Sets how long the attempt may take.
    #[must_use]
    pub fn with_lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// Sets how long the store remembers the operation after this attempt, at least.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the identity, to repeat a request that was sent before.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }

    /// The attempt that this request has begun.
    #[doc(hidden)]
    pub fn attempt(&self, number: u32, fence: Fence) -> RetryAttempt {
        let Self { operation, policy, ttl, .. } = self;
        RetryAttempt { operation: operation.clone(), number, fence, policy: *policy, ttl: *ttl }
    }

    /// Refuses a request that no engine accepts.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<()> {
        if self.policy.max_attempts == 0 {
            return Err(Error::invalid_argument(Op::RetryBegin, "the policy allows no attempt"));
        }
        if self.lasting.is_zero() {
            return Err(Error::invalid_argument(Op::RetryBegin, "the attempt would be over when it begins"));
        }
        validate_wait(Op::RetryBegin, "an attempt lasts", self.lasting)?;
        validate_wait(Op::RetryBegin, "a wait of the policy lasts", self.policy.backoff.longest())
    }
}

fn validate_wait(op: Op, what: &str, wait: Duration) -> Result<()> {
    if wait <= Ttl::MAX {
        return Ok(());
    }
    Err(Error::invalid_argument(op, format!("{what} at most 366 days")))
}

/// An attempt that has begun.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, name::Key, queue::RetryPolicy};
/// use std::time::Duration;
/// use twinstore::retry::{RetryAttempt, RetryRequest};
///
/// # let (retries, accepted) = (stores.state().retries(), Durability::Accepted);
/// let request = || RetryRequest::new(Key::new("invoice/7").unwrap(), RetryPolicy::default());
/// let slow: RetryAttempt = retries.begin(&request(), accepted).await?.value.attempt().unwrap();
/// clock.advance(Duration::from_secs(60));
/// let next: RetryAttempt = retries.begin(&request(), accepted).await?.value.attempt().unwrap();
/// assert!(next.number == 2 && next.fence > slow.fence);
/// assert!(!retries.succeed(&slow, accepted).await?.value); // superseded
/// assert!(retries.succeed(&next, accepted).await?.value);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryAttempt {
    /// The operation.
    pub operation: Key,
    /// Its number, from 1.
    pub number: u32,
    /// It rises with each attempt, also across successes and deletions.
    pub fence: Fence,
    /// The policy of its request.
    pub policy: RetryPolicy,
    /// How long the store remembers the operation after the end of the attempt, at least.
    pub ttl: Ttl,
}

/// What follows a failed attempt.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, name::Key, queue::RetryPolicy};
/// use std::io::{Error, ErrorKind};
/// use std::time::Duration;
/// use twinstore::retry::{RetryDecision, RetryFailed, RetryRequest};
///
/// /// The decision depends on the kind of the error.
/// fn decide(error: &Error) -> RetryDecision {
///     match error.kind() {
///         ErrorKind::ResourceBusy => RetryDecision::Snooze(Duration::from_secs(5)),
///         ErrorKind::InvalidData => RetryDecision::Fail,
///         _ => RetryDecision::Retry,
///     }
/// }
///
/// # let (retries, accepted) = (stores.state().retries(), Durability::Accepted);
/// let request = RetryRequest::new(Key::new("invoice/7")?, RetryPolicy::default());
/// let attempt = retries.begin(&request, accepted).await?.value.attempt().unwrap();
/// let error = Error::new(ErrorKind::InvalidData, "no such customer");
/// let failed = retries.fail(&attempt, &error.to_string(), decide(&error), accepted).await?.value;
/// assert_eq!(failed, RetryFailed::Exhausted);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryDecision {
    /// Try again after the wait of the policy, unless it allows no further attempt.
    Retry,
    /// Do not try again.
    Fail,
    /// Try again after this time. The attempt does not count.
    Snooze(Duration),
}

impl RetryDecision {
    /// The decision for an error of the stores: try again if a later attempt can succeed without a change of the service or the
    /// servers.
    pub fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unavailable
            | ErrorKind::Indeterminate
            | ErrorKind::Limit
            | ErrorKind::NotDurable
            | ErrorKind::Unexpected => Self::Retry,
            ErrorKind::InvalidArgument
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::Tls
            | ErrorKind::Corrupt
            | ErrorKind::Unsupported => Self::Fail,
        }
    }

    /// The wait before the next attempt, with the jitter of the policy; `None` if there is none.
    #[doc(hidden)]
    pub fn wait(self, attempt: &RetryAttempt) -> Result<Option<Duration>> {
        let wait = match self {
            Self::Retry => attempt.policy.backoff.wait_after(attempt.number),
            Self::Fail => return Ok(None),
            Self::Snooze(wait) => wait,
        };
        validate_wait(Op::RetryFail, "an operation waits", wait)?;
        Ok(Some(wait))
    }
}
