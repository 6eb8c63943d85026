//! Fencing tokens.

/// The number of one lease: the larger of the last number of this name plus one and the server's clock in microseconds.
///
/// So it is larger than the number of every earlier lease of the same name, through expiry, restart and failover, as long as
/// the store keeps its record of the last number, or its clock is ahead of that number. **It can go back if both fail at
/// once**: the server has lost the record (no append-only file, `FLUSHALL`, a failover to a replica that had not received
/// the last lease), and its clock is behind the last number that was granted (it was set back, or the clock of the new
/// primary is behind that of the old one). The record is kept for a day after a lease ends; after that the clock alone
/// decides. To rule it out, keep the servers' clocks in step (NTP), persist the data, and acquire leases that guard
/// something outside with [`Durability::Replicated`](crate::Durability::Replicated).
///
/// Every write under a lease presents the fence, and a store that has seen a larger one refuses the write. Hand the fence to
/// systems outside as well: a resource that remembers the largest token it has seen is
/// safe from a holder that was paused (<https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fence(u64);

impl Fence {
    /// A token from its number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The token that follows `last`, when the server's clock shows `micros` microseconds.
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
