//! Values that are loaded where the cache store does not have them.
//!
//! [`Loading`] stands on any [`KeyValue`] and keeps the promises that make a cache safe to lean on:
//!
//! - **One loader per key** in the process, however many ask at once; with [`FleetLock`] one in the fleet, as a rule.
//! - **Early refresh.** Shortly before a value ceases to be fresh, one caller by chance starts a load in the background
//!   and nobody waits for it. The chance grows with the time that loading takes (Vattani, Chierichetti, Lowenstein:
//!   "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015).
//! - **A stale value when the loader fails**, if [`LoadingOptions::with_stale_for`] keeps one; [`Loaded`] states that it is
//!   stale, since when, and why.
//! - **A store that is down is a miss**, and after a few failures it is left alone for a while. What cannot be stored is
//!   not the caller's problem.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis_link::Breaker;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::metric::{CACHE_LOAD_SECONDS, CacheReads, Histogram};
use store_core::{Clock, HandleName, Key, KeyValue, KeyValueExt, Result, Timestamp, Ttl};

mod flights;
mod frame;
mod load;

use flights::Flights;
use load::Wait;

/// How values are loaded and kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadingOptions {
    /// How long a loaded value is fresh, by the clock of this machine. Machines whose clocks differ disagree by as much.
    pub fresh_for: Ttl,
    /// How long it is kept behind that, for when the loader fails. Default: not at all.
    pub stale_for: Duration,
    /// How eagerly values are refreshed before their time: 1.0 is the optimum of the model, more is earlier, 0.0 never.
    /// Default 1.0.
    pub eagerness: f64,
    /// How long a loader may take. Default 30 s.
    pub load_within: Duration,
    /// Whether the loaders of the fleet keep out of each other's way. Default: they do not.
    pub fleet_lock: Option<FleetLock>,
    /// After how many failures of the store in a row it is left alone; at least 1. Default 5.
    pub failures_to_pause: u32,
    /// For how long it is then left alone, until one call tries it again. Default 5 s.
    pub pause: Duration,
    /// The clock that decides whether a value is fresh: this machine's, except in tests.
    clock: Clock,
}

impl LoadingOptions {
    /// Values that are fresh for `fresh_for`, everything else as documented.
    pub fn new(fresh_for: Ttl) -> Self {
        Self {
            fresh_for,
            stale_for: Duration::ZERO,
            eagerness: 1.0,
            load_within: Duration::from_secs(30),
            fleet_lock: None,
            failures_to_pause: 5,
            pause: Duration::from_secs(5),
            clock: Clock::Server,
        }
    }

    /// With values that are kept for `stale_for` when they are no longer fresh.
    #[must_use]
    pub fn with_stale_for(mut self, stale_for: Duration) -> Self {
        self.stale_for = stale_for;
        self
    }

    /// With another eagerness of early refreshes.
    #[must_use]
    pub fn with_eagerness(mut self, eagerness: f64) -> Self {
        self.eagerness = eagerness;
        self
    }

    /// With another bound on the time of a loader.
    #[must_use]
    pub fn with_load_within(mut self, load_within: Duration) -> Self {
        self.load_within = load_within;
        self
    }

    /// With one loader per key in the fleet, as a rule.
    #[must_use]
    pub fn with_fleet_lock(mut self, fleet_lock: FleetLock) -> Self {
        self.fleet_lock = Some(fleet_lock);
        self
    }

    /// With a store that is left alone for `pause` after `failures` in a row.
    #[must_use]
    pub fn with_pause(mut self, failures: u32, pause: Duration) -> Self {
        self.failures_to_pause = failures;
        self.pause = pause;
        self
    }

    /// Sets the clock that decides whether a value is fresh.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    fn ttl(&self) -> Ttl {
        let lasting = self.fresh_for.as_duration().saturating_add(self.stale_for);
        Ttl::new(lasting.min(Ttl::MAX)).unwrap_or(self.fresh_for)
    }
}

/// Lets one process of the fleet load a key at a time: it holds a short-lived lock in the cache store while it loads.
///
/// The lock saves work and excludes nothing: a process that has waited for `wait` loads as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetLock {
    /// For how long a loader is left to itself; longer than a load usually takes. A loader that crashed is noticed then.
    pub held_for: Ttl,
    /// How long others wait for its value before they load themselves. They look again every 25 to 200 ms.
    pub wait: Duration,
}

/// Why there is no value. The same for all callers that waited for one loader.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The loader said so.
    #[error("the value could not be loaded")]
    Failed(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The loader took longer than [`LoadingOptions::load_within`]; it was stopped.
    #[error("the value was not loaded in time")]
    TimedOut,
    /// The loader panicked, or the runtime that ran it ended.
    #[error("the loader did not come to an end")]
    Stopped,
}

/// A value and where it came from: what [`Loading::get_or_load`] returns.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a [`Loaded`] value came from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Origin {
    /// The store had it, and it is fresh.
    Stored,
    /// The loader returned it, for this caller or for another one of the process that asked at the same time.
    Loaded,
    /// The store had it, it is no longer fresh, and the loader failed.
    Stale {
        /// Until when it was fresh.
        fresh_until: Timestamp,
        /// Why there is no fresh value.
        error: LoadError,
    },
}

impl<T> Loaded<T> {
    fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// Whether the value is older than [`LoadingOptions::fresh_for`] allows, because the loader failed.
    pub fn is_stale(&self) -> bool {
        matches!(self.origin, Origin::Stale { .. })
    }
}

/// Values of one type, loaded on demand and kept in the cache store as JSON. Clones share everything.
///
/// The handle's name is part of the key of each value. Two handles share values if and only if they have the same name; a
/// handle shares none with [`TypedKeyValue`](store_core::TypedKeyValue) or with values that are set by [`KeyValue`] itself.
///
/// ```
/// use std::time::Duration;
/// use twinstore::cache::LoadingOptions;
/// use twinstore::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let environment = Environment::from_variables([
/// #     ("SERVICE_NAME", "shop"),
/// #     ("REDIS_CONN_BASE_URL", "embedded:"),
/// #     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
/// # ]);
/// # let stores = Stores::open(&environment).await?;
/// let options = LoadingOptions::new(Ttl::from_secs(60)).with_stale_for(Duration::from_secs(3600));
/// let prices = stores.cache().loading::<u64>(HandleName::new("prices")?, options); // once per process
///
/// let key = Key::new("42")?;
/// let price = prices.get_or_load(&key, || async { Ok::<_, std::io::Error>(1999) }).await?;
/// assert_eq!(price.value, 1999);
/// assert!(!price.is_stale());
/// # Ok(())
/// # }
/// ```
pub struct Loading<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    store: Arc<dyn KeyValue>,
    name: HandleName,
    options: LoadingOptions,
    breaker: Breaker,
    flights: Arc<Flights<Loaded<T>>>,
    reads: CacheReads,
    load_seconds: Histogram,
}

/// A value as it was found in the store.
struct Found<T> {
    value: T,
    fresh_until: Timestamp,
    took: Duration,
}

impl<T> Clone for Loading<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> fmt::Debug for Loading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading")
            .field("name", &self.shared.name)
            .field("store", &self.shared.store)
            .finish_non_exhaustive()
    }
}

impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Loading<T> {
    /// The handle of the values called `name`. Make one per kind of value and share its clones: only clones share the loads
    /// under way and the circuit breaker.
    pub fn new(store: Arc<dyn KeyValue>, name: HandleName, options: LoadingOptions) -> Self {
        let breaker = Breaker::new(options.failures_to_pause, options.pause);
        let (reads, load_seconds) = (CacheReads::new(&name), CACHE_LOAD_SECONDS.histogram(&[name.as_str()]));
        let flights = Arc::default();
        Self { shared: Arc::new(Shared { store, name, options, breaker, flights, reads, load_seconds }) }
    }

    /// The value of `key`: from the store while it is fresh, otherwise from `loader`, otherwise the stale one.
    /// [`Loaded::origin`] states which; [`Loaded::value`] is the value.
    ///
    /// A value that is there costs one read. A load runs as a task of its own: it continues when its caller is dropped, and
    /// its value is stored. All callers that ask for the key meanwhile get its outcome, also when it fails or panics; the
    /// next call tries again.
    ///
    /// # Errors
    /// [`LoadError`], when there is no stale value either. Never because of the store.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn get_or_load<F, L, E>(&self, key: &Key, loader: F) -> Result<Loaded<T>, LoadError>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let found = self.shared.look_up(key).await;
        let now = self.shared.now();
        let is_fresh = found.as_ref().is_some_and(|found| found.is_fresh(now));
        let loader = async move || loader().await.map_err(|error| LoadError::Failed(Arc::from(error.into())));
        match found {
            Some(found) if is_fresh => {
                self.shared.reads.hit();
                let value = found.value.clone();
                if found.is_due_early(now, self.shared.options.eagerness) {
                    self.fly(key, Some(found), Wait::No, loader);
                }
                Ok(Loaded::new(value, Origin::Stored))
            }
            found => {
                let stale = found.as_ref().map(|found| (found.value.clone(), found.fresh_until));
                let landed = self.fly(key, found, Wait::Bounded, loader).landed().await;
                let loaded = landed.or_else(|error| match stale {
                    Some((value, fresh_until)) => Ok(Loaded::new(value, Origin::Stale { fresh_until, error })),
                    None => Err(error),
                });
                match &loaded {
                    Ok(loaded) if loaded.is_stale() => self.shared.reads.stale(),
                    _ => self.shared.reads.miss(),
                }
                loaded
            }
        }
    }

    /// Deletes the value of `key`, so that the next call loads it. This includes the value of a load that has returned; a
    /// load whose loader still runs may store its value later.
    ///
    /// # Errors
    /// As [`KeyValue::delete_many`].
    pub async fn forget(&self, key: &Key) -> Result<bool> {
        self.shared.flights.stored(key).await;
        self.shared.store.delete(&self.shared.key(key)).await
    }
}

impl<T> Found<T> {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.fresh_until
    }

    /// Whether this caller, by chance, refreshes a value that is still fresh.
    fn is_due_early(&self, now: Timestamp, eagerness: f64) -> bool {
        let chance = 1.0 - fastrand::f64();
        let ahead = self.took.as_secs_f64() * eagerness * -chance.ln();
        eagerness > 0.0 && ahead >= self.fresh_until.since(now).as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
