//! Get-or-load: values that are loaded if the cache store does not have them.
//!
//! [`Loading`] works on any [`KeyValue`]. It promises:
//!
//! - **One loader per key** in the process, for any number of concurrent calls; with [`FleetLock`] usually one in the fleet.
//! - **Early refresh.** Shortly before a value ceases to be fresh, one random caller starts a load in the background, and no
//!   caller waits for it. The longer a load takes, the earlier it starts (Vattani, Chierichetti, Lowenstein:
//!   "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015).
//! - **A stale value when the loader fails**, if [`LoadingOptions::with_stale_for`] keeps one; [`Loaded`] reports that it is
//!   stale, since when, and why.
//! - **No error from the store.** If the store is down, a read is a miss. After a few failures no call uses the store for a
//!   while. If a value cannot be stored, the caller still gets it.

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
///
/// ```
/// use std::time::Duration;
/// use twinstore::cache::LoadingOptions;
/// use twinstore::time::Ttl;
///
/// let options = LoadingOptions::new(Ttl::from_secs(60)).with_stale_for(Duration::from_secs(3600));
/// assert_eq!(options.load_within, Duration::from_secs(30));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadingOptions {
    /// How long a loaded value is fresh, by the clock of this machine. Two machines disagree by the difference of their clocks.
    pub fresh_for: Ttl,
    /// How long a value that is no longer fresh is kept, in case the loader fails. Default: not at all.
    pub stale_for: Duration,
    /// How early values are refreshed: 1.0 is the optimum of the model, a larger number is earlier, 0.0 is never. Default 1.0.
    pub eagerness: f64,
    /// How long a loader may take. Default 30 s.
    pub load_within: Duration,
    /// Whether a lock lets one process of the fleet load a key at a time. Default: no lock.
    pub fleet_lock: Option<FleetLock>,
    /// After how many failures in a row calls stop using the store; at least 1. Default 5.
    pub failures_to_pause: u32,
    /// For how long calls then do not use the store. After it, one call tries the store again. Default 5 s.
    pub pause: Duration,
    /// The clock that decides whether a value is fresh: this machine's, except in tests.
    clock: Clock,
}

impl LoadingOptions {
    /// Values that are fresh for `fresh_for`; all other options have their defaults.
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

    /// With this eagerness of early refreshes.
    #[must_use]
    pub fn with_eagerness(mut self, eagerness: f64) -> Self {
        self.eagerness = eagerness;
        self
    }

    /// With this time limit for a loader.
    #[must_use]
    pub fn with_load_within(mut self, load_within: Duration) -> Self {
        self.load_within = load_within;
        self
    }

    /// With usually one loader per key in the fleet.
    #[must_use]
    pub fn with_fleet_lock(mut self, fleet_lock: FleetLock) -> Self {
        self.fleet_lock = Some(fleet_lock);
        self
    }

    /// With calls that do not use the store for `pause` after `failures` in a row.
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
/// The lock saves work but guarantees nothing: a process that has waited for `wait` loads the value, too.
///
/// ```
/// use std::time::Duration;
/// use twinstore::cache::{FleetLock, LoadingOptions};
/// use twinstore::time::Ttl;
///
/// let lock = FleetLock { held_for: Ttl::from_secs(5), wait: Duration::from_secs(2) };
/// let options = LoadingOptions::new(Ttl::from_secs(60)).with_fleet_lock(lock);
/// assert_eq!(options.fleet_lock, Some(lock));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetLock {
    /// How long the lock lasts. Choose a longer time than a load usually takes: if a loader crashes, others wait this long.
    pub held_for: Ttl,
    /// How long other processes wait for the value before they load it themselves. They read it every 25 to 200 ms.
    pub wait: Duration,
}

/// Why there is no value. All callers that waited for one loader get the same error.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::cache::{LoadError, LoadingOptions};
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # let prices = stores.cache().loading::<u64>(HandleName::new("prices")?, LoadingOptions::new(Ttl::from_secs(60)));
/// # let key = Key::new("42")?;
/// let loaded = prices.get_or_load(&key, async || Err("no such product")).await;
/// assert!(matches!(loaded, Err(LoadError::Failed(reason)) if reason.to_string() == "no such product"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The loader returned this error.
    #[error("the value could not be loaded")]
    Failed(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The loader took longer than [`LoadingOptions::load_within`]; it was stopped.
    #[error("the value was not loaded in time")]
    TimedOut,
    /// The loader panicked, or the runtime that ran it ended.
    #[error("the loader did not end")]
    Stopped,
}

/// A value and where it came from: the result of [`Loading::get_or_load`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use twinstore::cache::LoadingOptions;
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # let prices = stores.cache().loading::<u64>(HandleName::new("prices")?, LoadingOptions::new(Ttl::from_secs(60)));
/// # let key = Key::new("42")?;
/// let price = prices.get_or_load(&key, async || Ok::<_, Error>(1999)).await?;
/// assert_eq!((price.value, price.is_stale()), (1999, false));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a [`Loaded`] value came from.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::cache::{LoadingOptions, Origin};
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # let prices = stores.cache().loading::<u64>(HandleName::new("prices")?, LoadingOptions::new(Ttl::from_secs(60)));
/// # let key = Key::new("42")?;
/// let load = async || Ok::<_, Error>(1999);
/// assert!(matches!(prices.get_or_load(&key, load).await?.origin, Origin::Loaded));
/// assert!(matches!(prices.get_or_load(&key, load).await?.origin, Origin::Stored));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Origin {
    /// The store had a fresh value.
    Stored,
    /// The loader of this caller, or of a concurrent caller in this process, returned it.
    Loaded,
    /// The store had a value that is no longer fresh, and the loader failed.
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

/// Values of one type, loaded on demand and kept in the cache store as JSON. Clones share their loads and circuit breaker.
///
/// The handle's name is part of the key of each value. Two handles share values if and only if they have the same name; a
/// handle shares none with [`TypedKeyValue`](store_core::TypedKeyValue) or [`KeyValue`].
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

/// A value that was read from the store.
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

    /// The value of `key`: the stored value while it is fresh, otherwise the result of `loader`; if `loader` fails, the stale
    /// value. [`Loaded::origin`] reports which; [`Loaded::value`] is the value.
    ///
    /// A stored value costs one read. A load runs in a task of its own: if its caller is dropped, it continues and stores its
    /// value. All calls for the key that arrive during a load get its outcome, even if it fails or panics; the next call tries
    /// again.
    ///
    /// # Errors
    /// [`LoadError`] if the loader fails and there is no stale value. An error of the store is never returned.
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

    /// Deletes the value of `key`, so that the next call loads it. If the loader of a load under way has returned, waits until
    /// its value is stored, and deletes that too. A loader that still runs may store its value later.
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

    /// Decides at random whether this caller refreshes a value that is still fresh.
    fn is_due_early(&self, now: Timestamp, eagerness: f64) -> bool {
        let chance = 1.0 - fastrand::f64();
        let ahead = self.took.as_secs_f64() * eagerness * -chance.ln();
        eagerness > 0.0 && ahead >= self.fresh_until.since(now).as_secs_f64()
    }
}

#[cfg(test)]
mod tests;
