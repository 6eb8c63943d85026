//! Settings of the cache.

use store_core::Clock;

/// Settings of an [`EmbeddedCache`](crate::EmbeddedCache). The bounds hold for all services that share it. If one is
/// exceeded, the entries that expire soonest are evicted, including limits and idempotency keys: choose the bounds
/// generously.
///
/// ```
/// use embedded_store::{CacheOptions, EmbeddedCache};
/// use store_core::{Key, KeyValueExt, ServiceName, Ttl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = CacheOptions::default().with_max_entries(2);
/// let cache = EmbeddedCache::in_memory(ServiceName::new("orders")?, options);
/// for (key, seconds) in [("soon", 10), ("later", 20), ("last", 30)] {
///     cache.set(Key::new(key)?, "value".into(), Ttl::from_secs(seconds)).await?;
/// }
/// assert_eq!(cache.get(&Key::new("soon")?).await?, None);
/// assert!(cache.get(&Key::new("later")?).await?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CacheOptions {
    /// Whose clock decides. Default: this machine's.
    pub clock: Clock,
    /// How many entries the cache may have. Default 1,000,000.
    pub max_entries: u64,
    /// How many bytes its keys and values may have in all. Default 256 MiB.
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

    /// Sets the bound on entries.
    #[must_use]
    pub fn with_max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries;
        self
    }

    /// Sets the bound on bytes.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }
}
