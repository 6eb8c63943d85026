//! Leases: one holder at a time, with a token that rises.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Durability, Fence, HolderName, LeaseName, Receipt, RequestId, Result, Timestamp};

/// Leases with fencing tokens. They belong to the service or, in a shared handle, to all services of the namespace
/// ([`Scope`](crate::Scope)).
///
/// A lease does not stop a holder that was paused from acting late; its token does, where what it writes to compares
/// tokens (see [`Fence`]). Time is the server's.
#[async_trait]
pub trait Leases: Send + Sync + fmt::Debug {
    /// Takes the lease if nobody holds it. Sent again with the same `request` while that lease lasts, it answers with the
    /// same lease.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) when the time is outside [`LEASE_RANGE`], or when the lease that this
    /// `request` took was released and nobody has taken it since: a late copy must not take it again. Make a new request.
    async fn acquire(&self, request: &AcquireRequest, durability: Durability) -> Result<Receipt<Acquired>>;

    /// Makes the lease last for `lasting` from now, which may be shorter than it was. `None` when it is lost: it ran out, or
    /// was released.
    ///
    /// Renewals are numbered in the order in which a process makes them ([`next_sequence`](crate::next_sequence)). One that
    /// arrives after a newer one changes nothing, and returns the end that the newer one set. If several processes renew one
    /// lease, their clocks determine the order; let only one process renew it.
    async fn renew(&self, lease: &Lease, lasting: Duration) -> Result<Option<Timestamp>>;

    /// Gives the lease back. Whether it was still held, or was given back by this very lease before.
    async fn release(&self, lease: &Lease) -> Result<bool>;

    /// Who holds it now; `None` when nobody does.
    async fn inspect(&self, name: &LeaseName) -> Result<Option<Lease>>;
}

/// How long a lease may last: 10 ms to 30 days.
pub const LEASE_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(30 * 24 * 3600);

/// A request for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireRequest {
    /// Which lease.
    pub name: LeaseName,
    /// Who asks.
    pub holder: HolderName,
    /// How long it lasts unless renewed, within [`LEASE_RANGE`].
    pub lasting: Duration,
    /// The identity of this request.
    pub request: RequestId,
}

impl AcquireRequest {
    /// A new request.
    pub fn new(name: LeaseName, holder: HolderName, lasting: Duration) -> Self {
        Self { name, holder, lasting, request: RequestId::generate() }
    }

    /// The same request under an identity that was made before.
    #[must_use]
    pub fn with_request(mut self, request: RequestId) -> Self {
        self.request = request;
        self
    }
}

/// A lease and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Which lease.
    pub name: LeaseName,
    /// Who holds it.
    pub holder: HolderName,
    /// Its number: present it wherever you write.
    pub fence: Fence,
    /// Until when, by the server's clock.
    pub until: Timestamp,
}

impl Lease {
    /// A lease.
    pub fn new(name: LeaseName, holder: HolderName, fence: Fence, until: Timestamp) -> Self {
        Self { name, holder, fence, until }
    }
}

/// What [`Leases::acquire`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// It is yours.
    Yes(Lease),
    /// Somebody holds it.
    Taken(Lease),
}
