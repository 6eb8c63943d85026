//! Who is alive.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{HolderName, Page, PageRequest, PoolName, Result, Timestamp};

/// Heartbeats of the members of a pool: workers, replicas, agents. Pools belong to the service or, in a shared handle, to all
/// services of the namespace ([`Scope`](crate::Scope)).
#[async_trait]
pub trait Heartbeats: Send + Sync + fmt::Debug {
    /// Says that a member is alive for the next `lasting`, and what it does. The first beat begins its time in the pool; so
    /// does the first one after it was lost or has left.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) when `lasting` is outside [`LEASE_RANGE`](crate::LEASE_RANGE), or the
    /// details are larger than [`MAX_DETAILS_BYTES`].
    async fn beat(&self, beat: &Beat) -> Result<()>;

    /// Says that a member goes in an orderly way: it is neither alive nor lost. Whether it was alive.
    async fn leave(&self, pool: &PoolName, member: &HolderName) -> Result<bool>;

    /// The members alive now, by name.
    async fn alive(&self, pool: &PoolName, page: PageRequest) -> Result<Page<Member>>;

    /// The members whose beats ran out at `since` or later and that neither left nor came back, the latest first. Kept for
    /// [`LOST_KEPT_FOR`], at most [`LOST_KEPT_COUNT`] a pool.
    async fn lost(&self, pool: &PoolName, since: Timestamp, page: PageRequest) -> Result<Page<Member>>;
}

/// The largest details of a beat, in bytes.
pub const MAX_DETAILS_BYTES: usize = 4096;

/// How long a lost member is remembered.
pub const LOST_KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// How many lost members of a pool are remembered; the earliest are forgotten first.
pub const LOST_KEPT_COUNT: usize = 1000;

/// A sign of life.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Beat {
    /// The pool.
    pub pool: PoolName,
    /// Who.
    pub member: HolderName,
    /// How long it counts as alive from now.
    pub lasting: Duration,
    /// What it does, in a form of the caller's choice; at most [`MAX_DETAILS_BYTES`]. Default empty.
    pub details: Bytes,
}

impl Beat {
    /// A beat without details.
    pub fn new(pool: PoolName, member: HolderName, lasting: Duration) -> Self {
        Self { pool, member, lasting, details: Bytes::new() }
    }

    /// The same with details.
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
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub name: HolderName,
    /// What it said last.
    pub details: Bytes,
    /// Its first beat.
    pub since: Timestamp,
    /// Its last beat.
    pub last: Timestamp,
    /// Until when its last beat counts, or counted.
    pub until: Timestamp,
}

impl Member {
    /// A member without details.
    pub fn new(name: HolderName, since: Timestamp, last: Timestamp, until: Timestamp) -> Self {
        Self { name, details: Bytes::new(), since, last, until }
    }

    /// The same with details.
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
