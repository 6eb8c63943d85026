//! Settings of the two stores.

use store_core::{Clock, Retention};

/// Settings of an [`EmbeddedState`](crate::EmbeddedState).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StateOptions {
    /// Whose time decides. Default: this machine's, for the store is its own server.
    pub clock: Clock,
    /// How much of what is over each queue keeps.
    pub retention: Retention,
}

impl StateOptions {
    /// With a clock of the test's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// With other bounds for dead and completed jobs.
    #[must_use]
    pub fn with_retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }
}

/// Settings of an [`EmbeddedCache`](crate::EmbeddedCache). The bounds hold for all services that share it; when one is
/// passed, what would expire soonest is forgotten first.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheOptions {
    /// Whose time decides. Default: this machine's, for the store is its own server.
    pub clock: Clock,
    /// How many entries it holds. Default 1,000,000.
    pub max_entries: u64,
    /// How many bytes its keys and values may have together. Default 256 MiB.
    pub max_bytes: u64,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { clock: Clock::Server, max_entries: 1_000_000, max_bytes: 256 << 20 }
    }
}

impl CacheOptions {
    /// With a clock of the test's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// With room for so many entries.
    #[must_use]
    pub fn with_max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries;
        self
    }

    /// With room for so many bytes.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }
}
