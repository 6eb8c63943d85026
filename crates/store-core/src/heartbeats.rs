//! Heartbeats: which members of a pool are alive, and which are lost.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::json;
use crate::{HolderName, Page, PageRequest, PoolName, Result, Timestamp};

/// Heartbeats of the members of a pool: workers, replicas, agents. A pool belongs to the service. A pool of a shared handle
/// belongs to all services of the namespace ([`Scope`](crate::Scope)).
///
/// Each call costs one round trip.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::heartbeat::{Beat, PoolName};
/// use twinstore::{name::HolderName, page::PageRequest, time::Timestamp};
///
/// let heartbeats = stores.state().heartbeats();
/// let pool = PoolName::new("importers")?;
/// for pod in ["pod-1", "pod-2"] {
///     heartbeats.beat(&Beat::new(pool.clone(), HolderName::new(pod)?, Duration::from_secs(10))).await?;
/// }
/// assert!(heartbeats.leave(&pool, &HolderName::new("pod-2")?).await?); // an orderly stop
/// clock.advance(Duration::from_secs(11)); // pod-1 sends no more beats
///
/// let lost = heartbeats.lost(&pool, Timestamp::from_millis(0), PageRequest::default()).await?;
/// assert_eq!(lost.items.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["pod-1"]);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Heartbeats: Send + Sync + fmt::Debug {
    /// `async fn beat(&self, beat: &Beat) -> Result<()>`
    ///
    /// Marks a member as alive for the next `lasting`, and stores its details. O(log members). The member's time in the pool
    /// ([`Member::since`]) begins with its first beat, and again with the first beat after it was lost or left.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if `lasting` is outside [`Lease::RANGE`](crate::Lease::RANGE), or if the
    /// details have more than [`Beat::MAX_DETAILS_BYTES`].
    async fn beat(&self, beat: &Beat) -> Result<()>;

    /// `async fn leave(&self, pool: &PoolName, member: &HolderName) -> Result<bool>`
    ///
    /// Removes a member that stops in an orderly way: it is neither alive nor lost. Returns whether it was alive. O(log
    /// members).
    async fn leave(&self, pool: &PoolName, member: &HolderName) -> Result<bool>;

    /// `async fn alive(&self, pool: &PoolName, page: PageRequest) -> Result<Page<Member>>`
    ///
    /// Lists the members that are alive now, by name.
    async fn alive(&self, pool: &PoolName, page: PageRequest) -> Result<Page<Member>>;

    /// `async fn lost(&self, pool: &PoolName, since: Timestamp, page: PageRequest) -> Result<Page<Member>>`
    ///
    /// Lists the members that were lost at `since` or later, the latest first. A member is lost if its last beat has expired
    /// and it has not left. The store remembers lost members for [`Member::LOST_KEPT_FOR`], at most [`Member::LOST_KEPT_COUNT`] per pool.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the cursor belongs to another listing.
    async fn lost(&self, pool: &PoolName, since: Timestamp, page: PageRequest) -> Result<Page<Member>>;
}

/// A heartbeat.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::heartbeat::{Beat, PoolName};
/// use twinstore::{name::HolderName, page::PageRequest};
///
/// let (pool, member) = (PoolName::new("importers")?, HolderName::new("pod-1")?);
/// let beat = Beat::new(pool.clone(), member, Duration::from_secs(10)).with_details("file 3 of 7");
/// stores.state().heartbeats().beat(&beat).await?;
///
/// let alive = stores.state().heartbeats().alive(&pool, PageRequest::default()).await?;
/// assert_eq!(alive.items[0].details, "file 3 of 7");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Beat {
    /// The pool.
    pub pool: PoolName,
    /// The member.
    pub member: HolderName,
    /// How long the member counts as alive from now. Within [`Lease::RANGE`](crate::Lease::RANGE).
    pub lasting: Duration,
    /// What the member does, in a format of the caller's choice, at most [`Beat::MAX_DETAILS_BYTES`]. Default empty.
    pub details: Bytes,
}

impl Beat {
    /// The largest details of a beat, in bytes.
    pub const MAX_DETAILS_BYTES: usize = 4096;

    /// A beat without details.
    pub fn new(pool: PoolName, member: HolderName, lasting: Duration) -> Self {
        Self { pool, member, lasting, details: Bytes::new() }
    }

    /// Sets the details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.details = details.into();
        self
    }
}

impl fmt::Debug for Beat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beat").field("pool", &self.pool).field("member", &self.member).finish_non_exhaustive()
    }
}

/// A member of a pool.
///
/// In JSON, times are milliseconds since 1970-01-01 UTC in fields that end in `_ms`. The details do not appear, because they
/// may be private; `details_bytes` gives their length.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::heartbeat::{Beat, PoolName};
/// # use twinstore::{name::HolderName, page::PageRequest};
/// # let heartbeats = stores.state().heartbeats();
/// # let pool = PoolName::new("importers")?;
/// # let beat = Beat::new(pool.clone(), HolderName::new("pod-1")?, Duration::from_secs(10));
/// heartbeats.beat(&beat).await?;
/// clock.advance(Duration::from_secs(4));
/// heartbeats.beat(&beat).await?;
///
/// let member = heartbeats.alive(&pool, PageRequest::default()).await?.items.remove(0);
/// assert_eq!(member.last.since(member.since), Duration::from_secs(4));
/// assert_eq!(member.until.since(member.last), Duration::from_secs(10));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Member {
    /// The name.
    pub name: HolderName,
    /// The details of the last beat.
    #[serde(rename = "details_bytes", serialize_with = "json::len")]
    pub details: Bytes,
    /// The time of the first beat.
    #[serde(rename = "since_ms")]
    pub since: Timestamp,
    /// The time of the last beat.
    #[serde(rename = "last_ms")]
    pub last: Timestamp,
    /// When the last beat expires, or has expired.
    #[serde(rename = "until_ms")]
    pub until: Timestamp,
}

impl Member {
    /// How long a lost member is remembered.
    pub const LOST_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

    /// How many lost members of a pool are remembered; the earliest are forgotten first.
    pub const LOST_KEPT_COUNT: usize = 1000;

    /// A member without details.
    pub fn new(name: HolderName, since: Timestamp, last: Timestamp, until: Timestamp) -> Self {
        Self { name, details: Bytes::new(), since, last, until }
    }

    /// Sets the details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<Bytes>) -> Self {
        self.details = details.into();
        self
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .field("since", &self.since)
            .field("last", &self.last)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
