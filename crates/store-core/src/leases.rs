//! Leases: one holder at a time, with a fencing token that increases.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::{Durability, Fence, HolderName, LeaseName, Receipt, RequestId, Result, Timestamp};

/// Leases with fencing tokens. A lease belongs to the service. A lease of a shared handle belongs to all services of the
/// namespace ([`Scope`](crate::Scope)).
///
/// A lease does not stop a paused holder from acting late. The fencing token does, if the resource compares tokens: see
/// [`Fence`]. All times are the server's.
///
/// Each call costs one round trip, and each is O(1).
#[async_trait]
pub trait Leases: Send + Sync + fmt::Debug {
    /// `async fn acquire(&self, request: &AcquireRequest, durability: Durability) -> Result<Receipt<Acquired>>`
    ///
    /// Acquires the lease if nobody holds it. If the same [`request`](AcquireRequest::request) is sent again while its lease
    /// lasts, it returns the same lease.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the time is outside [`Lease::RANGE`], or if the lease of this
    /// `request` was released and nobody has acquired it since. In the second case, make a new request: a late copy of the
    /// old one must not acquire the lease again.
    async fn acquire(&self, request: &AcquireRequest, durability: Durability) -> Result<Receipt<Acquired>>;

    /// `async fn renew(&self, lease: &Lease, lasting: Duration) -> Result<Option<Timestamp>>`
    ///
    /// Sets the end of the lease to `lasting` from now, and returns that end. The new end may be earlier than the old one.
    /// `None` if the lease is lost: it expired or was released.
    ///
    /// Renewals carry a sequence number that increases within a process. A renewal that arrives after a newer one changes
    /// nothing, and returns the end that the newer one set. If several processes renew one lease, their clocks determine the
    /// order; let only one process renew it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if `lasting` is outside [`Lease::RANGE`].
    async fn renew(&self, lease: &Lease, lasting: Duration) -> Result<Option<Timestamp>>;

    /// `async fn release(&self, lease: &Lease) -> Result<bool>`
    ///
    /// Releases the lease. `true` if the lease was held until now, or if this lease was released before. `false` if it was
    /// lost.
    async fn release(&self, lease: &Lease) -> Result<bool>;

    /// `async fn inspect(&self, name: &LeaseName) -> Result<Option<LeaseInfo>>`
    ///
    /// Returns who holds the lease now. `None` if nobody does. The answer cannot renew or release the lease.
    async fn inspect(&self, name: &LeaseName) -> Result<Option<LeaseInfo>>;
}

/// A request for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireRequest {
    /// The lease.
    pub name: LeaseName,
    /// Who requests it.
    pub holder: HolderName,
    /// How long the lease lasts unless it is renewed. Within [`Lease::RANGE`].
    pub lasting: Duration,
    /// The identity of this request. Default random.
    pub request: RequestId,
}

impl AcquireRequest {
    /// A request with a new identity.
    pub fn new(name: LeaseName, holder: HolderName, lasting: Duration) -> Self {
        Self { name, holder, lasting, request: RequestId::generate() }
    }

    /// Sets the identity, to repeat a request that was sent before.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }
}

/// A lease of the caller's own. It renews and releases the lease.
///
/// A lease that another process holds is a [`LeaseInfo`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The lease.
    pub name: LeaseName,
    /// Who holds it.
    pub holder: HolderName,
    /// The fencing token. Present it with each write under the lease.
    pub fence: Fence,
    /// When the lease expires unless it is renewed.
    pub until: Timestamp,
}

impl Lease {
    /// The range of a lease's time: 10 ms to 30 days.
    pub const RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(10)..=Duration::from_secs(30 * 24 * 3600);

    /// A lease that an engine has granted, or that its holder has stored.
    pub fn new(name: LeaseName, holder: HolderName, fence: Fence, until: Timestamp) -> Self {
        Self { name, holder, fence, until }
    }

    /// The lease as others see it.
    #[must_use]
    pub fn info(&self) -> LeaseInfo {
        LeaseInfo::new(self.name.clone(), self.holder.clone(), self.fence, self.until)
    }
}

/// A lease as others see it. It cannot renew or release the lease.
///
/// ```compile_fail,E0308
/// # use store_core::{LeaseName, Leases, Result};
/// async fn steal(leases: &dyn Leases, name: &LeaseName) -> Result<()> {
///     if let Some(held) = leases.inspect(name).await? {
///         leases.release(&held).await?; // expected `&Lease`, found `&LeaseInfo`
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeaseInfo {
    /// The lease.
    pub name: LeaseName,
    /// Who holds it.
    pub holder: HolderName,
    /// The fencing token.
    pub fence: Fence,
    /// When the lease expires unless it is renewed.
    #[serde(rename = "until_ms")]
    pub until: Timestamp,
}

impl LeaseInfo {
    /// What an engine found.
    pub fn new(name: LeaseName, holder: HolderName, fence: Fence, until: Timestamp) -> Self {
        Self { name, holder, fence, until }
    }
}

/// The outcome of [`Leases::acquire`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquired {
    /// The caller holds the lease.
    Yes(Lease),
    /// Another request holds the lease.
    Taken(LeaseInfo),
}

impl Acquired {
    /// Whether another request holds the lease.
    pub fn is_taken(&self) -> bool {
        matches!(self, Acquired::Taken(_))
    }

    /// The caller's lease. `None` if another request holds it.
    pub fn lease(self) -> Option<Lease> {
        match self {
            Acquired::Yes(lease) => Some(lease),
            Acquired::Taken(_) => None,
        }
    }
}
