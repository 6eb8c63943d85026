//! The store itself, which all capabilities share.

use std::fmt;
use std::sync::Arc;

use redis_link::{Link, idempotency};
use store_core::{Clock, ServiceName};

use crate::handoff::Handoffs;
use crate::key_value::KeyValues;
use crate::rate_limit::RateLimits;

/// Settings of a [`CacheStore`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CacheOptions {
    /// Whose clock decides about idempotent requests, rate limits and hand-offs. Default: the server's. Values and
    /// counters always use the server's clock, because the server removes them.
    pub clock: Clock,
    /// Whether the newest layouts are written. See [`CacheOptions::with_newest_layouts`].
    pub newest_layouts: bool,
}

impl CacheOptions {
    /// With a clock of the test's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Writes idempotent requests and hand-offs in the newest layout that this version knows. Default: `false`, the oldest
    /// that it reads, so that the version before it can still read what both write.
    #[must_use]
    pub fn with_newest_layouts(mut self, newest: bool) -> Self {
        self.newest_layouts = newest;
        self
    }
}

/// The cache store of one service. Clones share its connections.
///
/// Concurrent calls of one operation are coalesced (see [`redis_link::Batcher`]): each has its own outcome, and waits
/// for at most one call before it.
///
/// A dropped call may have been executed. Sending it again is safe, except for counting operations:
/// [`KeyValue::add`](store_core::KeyValue::add) and [`RateLimit::check`](store_core::RateLimit::check).
#[derive(Clone)]
pub struct CacheStore {
    pub(crate) service: ServiceName,
    pub(crate) calls: Arc<Calls>,
}

/// The coalesced calls, by capability.
pub(crate) struct Calls {
    pub(crate) key_value: KeyValues,
    pub(crate) idempotency: idempotency::Entries,
    pub(crate) rate_limit: RateLimits,
    pub(crate) handoff: Handoffs,
}

impl CacheStore {
    /// The store of `service`: `own` links to its own database number, `shared` to the one that all services share.
    /// Sends nothing.
    pub fn new(own: Link, shared: Link, service: ServiceName, options: CacheOptions) -> Self {
        let set = |link: Link| {
            let layouts = link.layouts();
            let layouts = if options.newest_layouts { layouts.write_newest() } else { layouts };
            link.with_clock(options.clock.clone()).with_layouts(layouts)
        };
        let (own, shared) = (set(own), set(shared));
        let calls = Calls {
            key_value: KeyValues::new(&own),
            idempotency: idempotency::Entries::new(&own),
            rate_limit: RateLimits::new(&own),
            handoff: Handoffs::new(&shared),
        };
        Self { service, calls: Arc::new(calls) }
    }
}

impl fmt::Debug for CacheStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheStore").field("service", &self.service).finish_non_exhaustive()
    }
}
