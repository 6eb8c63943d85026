//! Rate limits that a fleet shares.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, Key, Op, Result};

/// Rate limits. Never repeated: a lost reply is [`Error::Indeterminate`], and the caller decides (see
/// [`RateLimitExt`](crate::RateLimitExt)) whether to let the request pass.
#[async_trait]
pub trait RateLimit: Send + Sync + fmt::Debug {
    /// Checks up to [`MAX_CHECKS`] limits at once, all or nothing: only when each allows its cost is any charged.
    ///
    /// # Errors
    /// [`Error::Rejected`] for no check, for too many, for one key named twice, and for a rate outside its range.
    async fn check(&self, checks: &[RateCheck]) -> Result<RateDecision>;

    /// Forgets what was used of these limits (up to [`MAX_CHECKS`] keys, of both kinds).
    async fn reset(&self, keys: &[Key]) -> Result<()>;
}

/// How many limits one call may check.
pub const MAX_CHECKS: usize = 16;

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// The generic cell rate algorithm: `count` per `period`, evenly, and up to `burst` at once.
    Gcra {
        /// How many in a period; at least 1.
        count: u32,
        /// The period, from 1 ms to 366 days; at most one unit per microsecond.
        period: Duration,
        /// How many at once after a pause; at least 1, and at most what comes together in 36,600 days.
        burst: u32,
    },
    /// `count` in each window; windows begin at multiples of their length since 1970.
    FixedWindow {
        /// How many in a window; at least 1.
        count: u32,
        /// The window, from 1 ms to 366 days.
        window: Duration,
    },
}

impl Rate {
    /// `count` per second, with a burst of the same size.
    pub fn per_second(count: u32) -> Self {
        Rate::Gcra { count, period: Duration::from_secs(1), burst: count }
    }

    /// The microseconds between two units of a [`Rate::Gcra`], rounded up; the window of a [`Rate::FixedWindow`].
    pub fn interval_micros(&self) -> u64 {
        match *self {
            Rate::Gcra { count, period, .. } => micros(period).div_ceil(u64::from(count.max(1))),
            Rate::FixedWindow { window, .. } => micros(window),
        }
    }

    /// How many may be used at once.
    pub fn limit(&self) -> u32 {
        match *self {
            Rate::Gcra { burst, .. } => burst,
            Rate::FixedWindow { count, .. } => count,
        }
    }
}

/// The longest time that a burst may take to come together; engines count microseconds in 53 bits.
const LONGEST_MICROS: u64 = 36_600 * 24 * 3600 * 1_000_000;

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// One limit to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateCheck {
    /// Whose limit it is.
    pub key: Key,
    /// How much is allowed.
    pub rate: Rate,
    /// How many units this request costs; 0 only looks. Default 1.
    pub cost: u32,
}

impl RateCheck {
    /// A check that costs one unit.
    pub fn new(key: Key, rate: Rate) -> Self {
        Self { key, rate, cost: 1 }
    }

    /// The same with another cost.
    #[must_use]
    pub fn with_cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }
}

/// What [`RateLimit::check`] decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateDecision {
    /// Whether all limits allowed it. If not, none was charged.
    pub allowed: bool,
    /// Each limit, in the order asked.
    pub limits: Vec<LimitState>,
}

impl RateDecision {
    /// How long to wait until all limits could allow it; `None` when it is allowed, or can never be.
    pub fn retry_after(&self) -> Option<Duration> {
        if self.allowed { None } else { self.limits.iter().filter_map(|limit| limit.retry_after).max() }
    }
}

/// The state of one limit after a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState {
    /// Whether this limit by itself allowed the cost.
    pub allowed: bool,
    /// How many units it allows at once.
    pub limit: u32,
    /// How many of them are left.
    pub remaining: u32,
    /// When this cost could be allowed; `None` when it was, or when it is above the limit and never will be.
    pub retry_after: Option<Duration>,
    /// When the limit is unused again, if nothing more is charged.
    pub reset_after: Duration,
}

/// Refuses checks that no engine may carry out.
///
/// # Errors
/// [`Error::Rejected`], saying which check and why.
pub fn validate_checks(checks: &[RateCheck]) -> Result<()> {
    let refuse = |detail: String| Err(Error::rejected(Op::RateLimitCheck, detail));
    if checks.is_empty() || checks.len() > MAX_CHECKS {
        return refuse(format!("{} limits in one check; give 1 to {MAX_CHECKS}", checks.len()));
    }
    let range = Duration::from_millis(1)..=crate::Ttl::MAX;
    for (index, check) in checks.iter().enumerate() {
        let (count, span, burst) = match check.rate {
            Rate::Gcra { count, period, burst } => (count, period, burst),
            Rate::FixedWindow { count, window } => (count, window, 1),
        };
        if count == 0 || burst == 0 {
            return refuse(format!("limit {index} allows nothing; give count and burst at least 1"));
        }
        if !range.contains(&span) {
            return refuse(format!("the period of limit {index} lies outside 1 ms to 366 days"));
        }
        if matches!(check.rate, Rate::Gcra { .. }) && u128::from(count) > span.as_micros() {
            return refuse(format!("limit {index} allows more than one unit per microsecond"));
        }
        if matches!(check.rate, Rate::Gcra { .. })
            && check.rate.interval_micros().saturating_mul(burst.into()) > LONGEST_MICROS
        {
            return refuse(format!("the burst of limit {index} takes more than 36,600 days to come together"));
        }
        if checks[..index].iter().any(|other| other.key == check.key) {
            return refuse(format!("limit {index} names a key twice; combine the costs"));
        }
    }
    Ok(())
}
