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
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::lease::{AcquireRequest, LeaseName};
/// use twinstore::{durability::Durability, name::HolderName};
///
/// let leases = stores.state().leases();
/// let request = AcquireRequest::new(LeaseName::new("import")?, HolderName::new("pod-1")?, Duration::from_secs(30));
/// let lease = leases.acquire(&request, Durability::Accepted).await?.value.lease().expect("nobody holds it");
/// assert!(leases.renew(&lease, Duration::from_secs(60)).await?.is_some());
/// assert!(leases.release(&lease).await?);
/// assert_eq!(leases.inspect(&lease.name).await?, None);
/// # Ok(())
/// # }
/// ```
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
    /// A renewal requests the durability of the acquisition ([`Lease::durability`]). Otherwise a failover could restore an earlier end,
    /// and another process could acquire the lease while its holder relies on the later end.
    ///
    /// Renewals carry a sequence number that increases within a process. A renewal that arrives after a newer one changes
    /// nothing, and returns the end that the newer one set. If several processes renew one lease, their clocks determine the
    /// order; let only one process renew it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if `lasting` is outside [`Lease::RANGE`].
    /// [`Error::NotDurable`](crate::Error::NotDurable) if the renewal did not reach the durability: rely on the earlier end, and
    /// renew again.
    async fn renew(&self, lease: &Lease, lasting: Duration) -> Result<Option<Timestamp>>;

    /// `async fn release(&self, lease: &Lease) -> Result<bool>`
    ///
    /// Releases the lease. Afterwards this holder does not hold it. Returns `true` if it was held until now, or if it was released
    /// before and has not been acquired since. Returns `false` if it expired, or if it has been acquired since.
    ///
    /// The library repeats a call whose reply was lost. If the first copy released the lease, and another holder acquired it before
    /// the second copy arrived, the result is `false`: this does not prove that the lease was lost before the call.
    async fn release(&self, lease: &Lease) -> Result<bool>;

    /// `async fn inspect(&self, name: &LeaseName) -> Result<Option<LeaseInfo>>`
    ///
    /// Returns who holds the lease now. `None` if nobody does. The answer cannot renew or release the lease.
    async fn inspect(&self, name: &LeaseName) -> Result<Option<LeaseInfo>>;
}

/// A request for a lease.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::lease::{AcquireRequest, LeaseName};
/// use twinstore::{durability::Durability, name::HolderName};
///
/// let leases = stores.state().leases();
/// let request = AcquireRequest::new(LeaseName::new("import")?, HolderName::new("pod-1")?, Duration::from_secs(30));
/// let first = leases.acquire(&request, Durability::Accepted).await?;
/// // The reply was lost, so the caller sends the same request again.
/// let again = leases.acquire(&request, Durability::Accepted).await?;
/// assert_eq!(first.value, again.value);
/// # Ok(())
/// # }
/// ```
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
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::lease::{AcquireRequest, LeaseName};
/// # use twinstore::{durability::Durability, name::HolderName};
/// # let leases = stores.state().leases();
/// # let request = AcquireRequest::new(LeaseName::new("import")?, HolderName::new("pod-1")?, Duration::from_secs(30));
/// let lease = leases.acquire(&request, Durability::Accepted).await?.value.lease().expect("nobody holds it");
/// assert_eq!(lease.until, clock.now().after(Duration::from_secs(30)));
///
/// clock.advance(Duration::from_secs(31));
/// assert_eq!(leases.renew(&lease, Duration::from_secs(30)).await?, None); // lost: stop the work
/// # Ok(())
/// # }
/// ```
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
    /// The durability with which it was acquired, which each renewal requests.
    pub durability: Durability,
}

impl Lease {
    /// The range of a lease's time: 10 ms to 30 days.
    pub const RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(10)..=Duration::from_secs(30 * 24 * 3600);

    /// A lease that an engine has granted, or that its holder has stored; its renewals request [`Durability::Accepted`].
    pub fn new(name: LeaseName, holder: HolderName, fence: Fence, until: Timestamp) -> Self {
        Self { name, holder, fence, until, durability: Durability::Accepted }
    }

    /// Sets the durability that its renewals request.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The lease as others see it.
    #[must_use]
    pub fn info(&self) -> LeaseInfo {
        LeaseInfo::new(self.name.clone(), self.holder.clone(), self.fence, self.until)
    }
}

/// A lease as others see it. It cannot renew or release the lease.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::lease::{AcquireRequest, LeaseName};
/// # use twinstore::{durability::Durability, name::HolderName};
/// # let leases = stores.state().leases();
/// # let request = AcquireRequest::new(LeaseName::new("import")?, HolderName::new("pod-1")?, Duration::from_secs(30));
/// # let _ = leases.acquire(&request, Durability::Accepted).await?;
/// let held = leases.inspect(&LeaseName::new("import")?).await?.expect("pod-1 holds it");
/// assert_eq!(held.holder.as_str(), "pod-1");
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0308
/// # use twinstore::{Result, lease::{LeaseName, Leases}};
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
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::{durability::Durability, name::HolderName};
/// use twinstore::lease::{AcquireRequest, Acquired, LeaseName};
///
/// # let leases = stores.state().leases();
/// # let name = LeaseName::new("import")?;
/// # let request = AcquireRequest::new(name.clone(), HolderName::new("pod-1")?, Duration::from_secs(30));
/// # let _ = leases.acquire(&request, Durability::Accepted).await?;
/// let request = AcquireRequest::new(name, HolderName::new("pod-2")?, Duration::from_secs(30));
/// match leases.acquire(&request, Durability::Accepted).await?.value {
///     Acquired::Yes(lease) => unreachable!("pod-1 holds it: {}", lease.name),
///     Acquired::Taken(held) => assert_eq!(held.holder.as_str(), "pod-1"),
///     _ => unreachable!("no other outcome"),
/// }
/// # Ok(())
/// # }
/// ```
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
