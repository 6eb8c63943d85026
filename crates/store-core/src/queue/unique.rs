//! Unique keys of jobs.

use std::time::Duration;

use crate::UniqueKey;

/// A key that only one job of a queue holds at a time. If another job holds the key, the queue does not accept the push:
/// [`Pushed::Held`](super::Pushed::Held).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::queue::{NewJob, Pushed, QueueExt, QueueName, Unique, UniqueKey, UniqueUntil};
///
/// let (queue, mails) = (stores.state().queue(), QueueName::new("mails")?);
/// let unique = Unique::new(UniqueKey::new("digest/ann")?, UniqueUntil::Finished);
/// let first = NewJob::new("digest").with_unique(unique.clone());
/// let pushed = queue.push_one(&mails, first).await?;
/// let by = pushed.id().expect("a new job").clone();
/// let second = queue.push_one(&mails, NewJob::new("digest").with_unique(unique)).await?;
/// assert_eq!(second, Pushed::Held { by });
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key.
    pub key: UniqueKey,
    /// When the job releases it.
    pub until: UniqueUntil,
}

impl Unique {
    /// A key that the job holds until `until`.
    pub fn new(key: UniqueKey, until: UniqueUntil) -> Self {
        Self { key, until }
    }
}

/// When a job releases its unique key. A job that is removed releases its key, except with [`UniqueUntil::Elapsed`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::queue::{NewJob, QueueExt, QueueName, Unique, UniqueKey, UniqueUntil};
///
/// let (queue, mails) = (stores.state().queue(), QueueName::new("mails")?);
/// let once_an_hour = UniqueUntil::Elapsed(Duration::from_secs(3600));
/// let unique = Unique::new(UniqueKey::new("reminder/ann")?, once_an_hour);
/// let job = || NewJob::new("reminder").with_unique(unique.clone());
/// assert!(queue.push_one(&mails, job()).await?.is_new());
/// assert!(!queue.push_one(&mails, job()).await?.is_new());
/// clock.advance(Duration::from_secs(3601));
/// assert!(queue.push_one(&mails, job()).await?.is_new());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UniqueUntil {
    /// When it is first claimed. One job may run while the next one waits.
    Claimed,
    /// When it is completed, dead, cancelled or deleted.
    Finished,
    /// This long after its push, in every case. From 1 ms to [`NewJob::MAX_DELAY`](super::NewJob::MAX_DELAY).
    Elapsed(Duration),
}
