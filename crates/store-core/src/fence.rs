//! Fencing tokens.

/// The number of one lease, larger than that of every lease of the same name before it.
///
/// It never goes back: not on expiry, not on a restart, not on a failover, because it is the larger of the last one
/// plus one and the server's clock in microseconds. Whoever writes under a lease presents it, and a store that has seen a
/// larger one refuses. Hand it to systems outside as well: a resource that remembers the largest token it has seen is
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
