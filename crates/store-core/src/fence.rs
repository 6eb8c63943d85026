//! Fencing tokens.

/// The fencing token of a lease: the larger of the last token of this name plus one and the server's clock in microseconds.
///
/// It is larger than the tokens of all earlier leases of the same name, across expiry, restart and failover, if the store has
/// its record of the last token or its clock is ahead of that token. **It can decrease if both fail together**: the server has
/// lost the record (no append-only file, `FLUSHALL`, a failover to a replica without the last lease), and its clock is behind
/// the last token (somebody set it back, or the clock of the new primary is behind). The store keeps the record for a day
/// after a lease ends; then only the clock determines the token. To rule this out, synchronise the clocks of the servers
/// (NTP), persist the data, and acquire leases that guard external resources with
/// [`Durability::Replicated`](crate::Durability::Replicated).
///
/// Every write under a lease presents the fence. A store refuses a write with a fence smaller than one it has recorded. Give
/// the fence to external systems as well: a resource that records the largest token is safe from a paused holder
/// (<https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html>).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::lease::{AcquireRequest, Fence, LeaseName};
/// # use twinstore::{durability::Durability, name::HolderName};
/// # let leases = stores.state().leases();
/// # let acquire = async |holder: &str| -> Result<Fence, Box<dyn std::error::Error>> {
/// #     let lasting = Duration::from_secs(30);
/// #     let request = AcquireRequest::new(LeaseName::new("import")?, HolderName::new(holder)?, lasting);
/// #     let acquired = leases.acquire(&request, Durability::Accepted).await?.value;
/// #     Ok(acquired.lease().ok_or("taken")?.fence)
/// # };
/// // A resource that records the largest token and refuses a smaller one.
/// let mut largest = None;
/// let mut write = |fence: Fence| {
///     let accepted = Some(fence) >= largest;
///     largest = largest.max(Some(fence));
///     accepted
/// };
/// let paused = acquire("pod-1").await?;
/// clock.advance(Duration::from_secs(31)); // the lease of pod-1 expires while pod-1 is paused
/// assert!(write(acquire("pod-2").await?));
/// assert!(!write(paused));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fence(u64);

impl Fence {
    /// A token from its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The token after `last`, if the server's clock is at `micros` microseconds.
    #[must_use]
    pub fn following(last: Option<Fence>, micros: u64) -> Self {
        Self(last.map_or(micros, |last| micros.max(last.0.saturating_add(1))))
    }
}

impl std::fmt::Display for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
