//! Times of the server, durations that values may last, and the clock of tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time by the server's clock: milliseconds since 1970-01-01 UTC. In JSON an integer; a field that holds one ends in
/// `_ms`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::queue::{NewJob, QueueExt, QueueName};
/// use twinstore::time::Timestamp;
///
/// let mails = QueueName::new("mails")?;
/// let job = NewJob::new("to ann").with_delay(Duration::from_secs(60));
/// let pushed = stores.state().queue().push_one(&mails, job).await?;
/// let id = pushed.id().expect("a new job").clone();
/// let info = stores.state().inspect().get(&mails, &id).await?.unwrap();
/// let due: Timestamp = info.at.unwrap();
/// assert_eq!(due.since(info.pushed_at), Duration::from_secs(60));
/// assert_eq!(due, info.pushed_at.after(Duration::from_secs(60)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since 1970-01-01 UTC.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// The time `duration` later, rounded up to a millisecond, so that a promised time is never shorter.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_ceil(duration)))
    }

    /// The time since `earlier`. Zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The time by this machine's clock. Only the embedded store uses it; the other stores use the server's clock.
    pub fn system_now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A duration in whole milliseconds, rounded up.
pub fn millis_ceil(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// The sequence number of a request. It is larger than all earlier ones of this process: the microseconds since 1970-01-01
/// UTC by this machine's clock, or one more than the last number. Between processes, their clocks determine the order.
///
/// The requests of a lease holder carry one, so that a late request does not undo a newer one.
pub fn next_sequence() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
    let next = |last: u64| micros.max(last.saturating_add(1));
    match LAST.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last))) {
        Ok(last) | Err(last) => next(last),
    }
}

/// The clock that a store compares times with.
///
/// ```
/// use twinstore::testing::{Clock, ManualClock};
/// use twinstore::time::Timestamp;
///
/// let clock = Clock::Manual(ManualClock::new(Timestamp::from_millis(1000)));
/// assert_eq!(clock.manual_now(), Some(Timestamp::from_millis(1000)));
/// assert_eq!(Clock::Server.manual_now(), None);
/// ```
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The server's clock (`TIME`, read inside the script). The only choice outside tests.
    #[default]
    Server,
    /// A clock that only a test advances.
    Manual(ManualClock),
}

impl Clock {
    /// The time of a manual clock. `None` for the server's clock.
    pub fn manual_now(&self) -> Option<Timestamp> {
        match self {
            Clock::Server => None,
            Clock::Manual(clock) => Some(clock.now()),
        }
    }
}

/// A clock that changes only by [`ManualClock::advance`]. Clones share the time.
///
/// ```
/// use std::time::Duration;
/// use twinstore::testing::ManualClock;
/// use twinstore::time::Timestamp;
///
/// let clock = ManualClock::new(Timestamp::from_millis(1000));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(clock.now(), Timestamp::from_millis(2000));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock at the time `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(start.as_millis())))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    /// Advances the clock. Rounded up to a millisecond.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(millis_ceil(by), Ordering::SeqCst);
    }
}

/// A time to live, from 1 ms to 366 days. Each write to the cache store has one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::name::{HandleName, Key};
/// use twinstore::time::Ttl;
///
/// let ttl = Ttl::new(Duration::from_millis(1500))?; // or Ttl::from_secs(2)
/// let prices = stores.cache().values::<u64>(HandleName::new("prices")?, ttl);
/// prices.set(&Key::new("42")?, &999).await?;
/// clock.advance(ttl.as_duration());
/// assert_eq!(prices.get(&Key::new("42")?).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ttl(u64);

impl Ttl {
    /// The longest: 366 days.
    pub const MAX: Duration = Duration::from_secs(366 * 24 * 3600);

    /// A TTL, rounded up to a millisecond.
    ///
    /// # Errors
    /// [`TtlError`] if it is zero or longer than [`Ttl::MAX`].
    pub fn new(duration: Duration) -> Result<Self, TtlError> {
        if duration.is_zero() || duration > Self::MAX {
            return Err(TtlError);
        }
        Ok(Self(millis_ceil(duration)))
    }

    /// A TTL of whole seconds, clamped to 1 s to [`Ttl::MAX`].
    pub const fn from_secs(seconds: u32) -> Self {
        let max = Self::MAX.as_secs();
        let seconds = seconds as u64;
        Self(if seconds == 0 {
            1000
        } else if seconds > max {
            max * 1000
        } else {
            seconds * 1000
        })
    }

    /// The TTL in milliseconds.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// The TTL as a duration.
    pub fn as_duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// A TTL outside its range.
///
/// ```
/// use std::time::Duration;
/// use twinstore::time::{Ttl, TtlError};
///
/// assert_eq!(Ttl::new(Duration::ZERO), Err(TtlError));
/// assert_eq!(TtlError.to_string(), "a TTL lies between 1 ms and 366 days");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a TTL lies between 1 ms and 366 days")]
pub struct TtlError;

#[cfg(test)]
mod tests {
    use super::{Timestamp, Ttl};
    use std::time::Duration;

    #[test]
    fn a_promised_time_is_rounded_up() {
        assert_eq!(Timestamp::from_millis(5).after(Duration::from_micros(1)).as_millis(), 6);
        assert_eq!(Ttl::new(Duration::from_nanos(1)).unwrap().as_millis(), 1);
    }

    #[test]
    fn a_ttl_has_a_range() {
        assert!(Ttl::new(Duration::ZERO).is_err());
        assert!(Ttl::new(Ttl::MAX + Duration::from_millis(1)).is_err());
        assert_eq!(Ttl::from_secs(0).as_millis(), 1000);
    }
}
