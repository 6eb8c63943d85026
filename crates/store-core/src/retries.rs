//! Retries: how often an operation was tried, why it failed, and when it may be tried again.

mod attempt;
mod outcome;

use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Cursor, Durability, Fence, Key, Page, Receipt, Result, Timestamp};

pub use attempt::{RetryAttempt, RetryDecision, RetryRequest};
pub use outcome::{RetryBegun, RetryFailed};

/// The retries of operations that are not jobs of a queue: calls of other services, imports, deliveries. All processes share the
/// attempts of an operation, and a restart does not reset them.
///
/// Operations belong to the service, those of a shared handle to all services ([`Scope`](crate::Scope)). Each has a [`Key`]. The
/// store starts nothing: the caller begins the next attempt, for example in a loop or in a periodic task.
///
/// One attempt runs at a time: others wait until it has ended or its time is over ([`RetryRequest::lasting`]). An attempt that did
/// not end in time counts, and the next one supersedes it: it can no longer write. All times follow the server's clock.
///
/// **Time to live.** Each write prolongs the record of an operation to [`RetryRequest::ttl`] after now, or after the next attempt.
/// Then the store forgets it, also if the operation is exhausted. Reads do not prolong it.
///
/// Each call costs one round trip and is O(1), except [`list`](Retries::list).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::durability::Durability;
/// use twinstore::name::Key;
/// use twinstore::queue::{Backoff, RetryPolicy};
/// use twinstore::retry::{RetryBegun, RetryDecision, RetryFailed, RetryRequest};
///
/// let (retries, accepted) = (stores.state().retries(), Durability::Accepted);
/// let policy = RetryPolicy::new(2, Backoff::Fixed(Duration::from_secs(10)));
/// let begin = || RetryRequest::new(Key::new("invoice/7").unwrap(), policy);
///
/// let RetryBegun::Started(first) = retries.begin(&begin(), accepted).await?.value else { panic!() };
/// let failed = retries.fail(&first, "the printer is offline", RetryDecision::Retry, accepted).await?.value;
/// assert!(matches!(failed, RetryFailed::Again { .. }));
/// assert!(matches!(retries.begin(&begin(), accepted).await?.value, RetryBegun::Wait { .. }));
///
/// clock.advance(Duration::from_secs(10));
/// let RetryBegun::Started(second) = retries.begin(&begin(), accepted).await?.value else { panic!() };
/// assert_eq!(second.number, 2);
/// let failed = retries.fail(&second, "the printer is on fire", RetryDecision::Retry, accepted).await?.value;
/// assert_eq!(failed, RetryFailed::Exhausted);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Retries: Send + Sync + fmt::Debug {
    /// `async fn begin(&self, request: &RetryRequest, durability: Durability) -> Result<Receipt<RetryBegun>>`
    ///
    /// Begins an attempt, if none runs, the next one is due, and the policy allows it. If the outcome is
    /// [`RetryBegun::Started`], the caller carries the operation out and then calls [`succeed`](Retries::succeed) or
    /// [`fail`](Retries::fail). After a success, attempts count from 1 again.
    ///
    /// The same [`request`](RetryRequest::request) is recognised until another one begins an attempt. It gets the same attempt, also
    /// if its time is over, and [`RetryBegun::Succeeded`] after its success. After a failure it is a new request.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if [`RetryRequest::lasting`] is 0, if it or a wait of the policy is
    /// longer than [`Ttl::MAX`](crate::Ttl::MAX), or if the policy allows no attempt.
    async fn begin(&self, request: &RetryRequest, durability: Durability) -> Result<Receipt<RetryBegun>>;

    /// `async fn fail(&self, attempt: &RetryAttempt, error: &str, decision: RetryDecision, durability: Durability) -> Result<Receipt<RetryFailed>>`
    ///
    /// Records that an attempt has failed, why, and what follows. The text is truncated to
    /// [`JobInfo::MAX_REASON_BYTES`](crate::JobInfo::MAX_REASON_BYTES). A repetition gets the answer to the first call, whose error
    /// and decision stay. Also works if the server's memory is full.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if a snooze or a wait of the policy is longer than
    /// [`Ttl::MAX`](crate::Ttl::MAX).
    async fn fail(
        &self,
        attempt: &RetryAttempt,
        error: &str,
        decision: RetryDecision,
        durability: Durability,
    ) -> Result<Receipt<RetryFailed>>;

    /// `async fn succeed(&self, attempt: &RetryAttempt, durability: Durability) -> Result<Receipt<bool>>`
    ///
    /// Records that an attempt has succeeded. `true` if it is recorded, now or by an earlier call. `false`, and nothing is changed,
    /// if a later attempt has begun, if this one has failed, or if the operation was cleared or has expired. Also works if the
    /// server's memory is full.
    async fn succeed(&self, attempt: &RetryAttempt, durability: Durability) -> Result<Receipt<bool>>;

    /// `async fn get(&self, operation: &Key) -> Result<Option<RetryInfo>>`
    ///
    /// Returns what is recorded of an operation. `None` if it was never begun, was cleared, or has expired.
    async fn get(&self, operation: &Key) -> Result<Option<RetryInfo>>;

    /// `async fn clear(&self, operation: &Key) -> Result<bool>`
    ///
    /// Deletes the record of an operation, for example so that an exhausted one can be tried again. An attempt that runs can no
    /// longer write, and the next one has a higher fence: the store keeps the fence for a day. Returns whether there was a record. If
    /// the reply to the first copy was lost, it returns `true` also if there was none.
    async fn clear(&self, operation: &Key) -> Result<bool>;

    /// `async fn list(&self, after: Option<Cursor>) -> Result<Page<RetryInfo>>`
    ///
    /// Lists the operations of the scope, exhausted ones too. A complete listing on a server walks over all its keys. Each call is
    /// one bounded step, which looks at about 1,000 entries, in any order, as those of [`Inventory`](crate::Inventory): a page
    /// may be empty although others follow.
    ///
    /// # Errors
    /// Those of [`Inventory`](crate::Inventory).
    async fn list(&self, after: Option<Cursor>) -> Result<Page<RetryInfo>>;
}

/// The state of an operation. In JSON: `"waiting"`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, name::Key, queue::RetryPolicy};
/// use twinstore::retry::{RetryBegun, RetryRequest, RetryState};
///
/// # let (retries, invoice) = (stores.state().retries(), Key::new("invoice/7")?);
/// let request = RetryRequest::new(invoice.clone(), RetryPolicy::default());
/// let RetryBegun::Started(attempt) = retries.begin(&request, Durability::Accepted).await?.value else { panic!() };
/// assert_eq!(retries.get(&invoice).await?.unwrap().state, RetryState::Running);
/// assert!(retries.succeed(&attempt, Durability::Accepted).await?.value);
/// assert_eq!(retries.get(&invoice).await?.unwrap().state, RetryState::Succeeded);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RetryState {
    /// An attempt runs until [`RetryInfo::next`]. Its process may have died.
    Running,
    /// The last attempt has failed, and the next one may begin at [`RetryInfo::next`].
    Waiting,
    /// The last attempt has failed for good. No attempt begins until the operation is cleared or expires.
    Exhausted,
    /// The last attempt has succeeded.
    Succeeded,
}

/// What is recorded of an operation.
///
/// In JSON, times are milliseconds since 1970-01-01 UTC in fields that end in `_ms`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::{durability::Durability, name::Key, queue::RetryPolicy};
/// use twinstore::retry::{RetryBegun, RetryDecision, RetryRequest, RetryState};
///
/// # let (retries, invoice) = (stores.state().retries(), Key::new("invoice/7")?);
/// let request = RetryRequest::new(invoice.clone(), RetryPolicy::default());
/// let RetryBegun::Started(attempt) = retries.begin(&request, Durability::Accepted).await?.value else { panic!() };
/// let _ = retries.fail(&attempt, "no such customer", RetryDecision::Fail, Durability::Accepted).await?;
/// let exhausted = retries.list(None).await?.items.remove(0);
/// assert_eq!((exhausted.operation, exhausted.state, exhausted.attempts), (invoice, RetryState::Exhausted, 1));
/// assert_eq!(exhausted.last_error.as_deref(), Some("no such customer"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RetryInfo {
    /// The operation.
    pub operation: Key,
    /// Its state.
    pub state: RetryState,
    /// How many attempts have begun, without those that were snoozed. The first attempt after a success counts as 1 again.
    pub attempts: u32,
    /// The fence of the last attempt.
    pub fence: Fence,
    /// When the first of these attempts began.
    #[serde(rename = "first_began_ms")]
    pub first_began: Timestamp,
    /// When the last attempt began.
    #[serde(rename = "began_ms")]
    pub began: Timestamp,
    /// From when on the next attempt may begin. `None` if the operation is exhausted or has succeeded.
    #[serde(rename = "next_ms")]
    pub next: Option<Timestamp>,
    /// When the store forgets the operation.
    #[serde(rename = "until_ms")]
    pub until: Timestamp,
    /// Why the last attempt that has failed did. `None` after a success.
    pub last_error: Option<String>,
}

impl RetryInfo {
    /// The error of an attempt that did not end in time.
    pub const TIMED_OUT: &'static str = "the attempt did not end in time";

    /// What an engine has found.
    #[doc(hidden)]
    pub fn new(operation: Key, state: RetryState, attempts: u32, fence: Fence) -> Self {
        let zero = Timestamp::from_millis(0);
        let (first_began, began, until) = (zero, zero, zero);
        Self { operation, state, attempts, fence, first_began, began, next: None, until, last_error: None }
    }
}
