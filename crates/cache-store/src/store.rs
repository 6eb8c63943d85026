//! The store itself: what all capabilities share.

use std::fmt;

use redis_link::Link;
use store_core::{Clock, ServiceName};

/// Settings of a [`CacheStore`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CacheOptions {
    /// Whose time decides about idempotent requests, rate limits and hand-offs. Default: the server's. Values and
    /// counters always go by the server's: it removes them.
    pub clock: Clock,
}

impl CacheOptions {
    /// With a clock of the test's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

/// The cache store of one service. Clones share its connections.
///
/// A call that is dropped before it answers may have been executed. Sending it again is safe, except for what counts:
/// [`KeyValue::add`](store_core::KeyValue::add) and [`RateLimit::check`](store_core::RateLimit::check).
#[derive(Clone)]
pub struct CacheStore {
    pub(crate) own: Link,
    pub(crate) shared: Link,
    pub(crate) service: ServiceName,
    pub(crate) clock: Clock,
}

impl CacheStore {
    /// The store of `service`: `own` leads to its own database number, `shared` to the one that all services share. Sends
    /// nothing.
    pub fn new(own: Link, shared: Link, service: ServiceName, options: CacheOptions) -> Self {
        Self { own, shared, service, clock: options.clock }
    }
}

impl fmt::Debug for CacheStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheStore").field("service", &self.service).finish_non_exhaustive()
    }
}
