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
    /// [`Error::InvalidArgument`] for no check, for too many, for one key named twice, and for a rate outside its range.
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
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RateDecision {
    /// Whether all limits allowed it. If not, none was charged.
    pub allowed: bool,
    /// Each limit, in the order asked.
    pub limits: Vec<LimitState>,
    /// Why nothing was counted, if the store was unavailable and
    /// [`RateLimitExt::decide`](crate::RateLimitExt::decide) decided without it. After [`Error::Indeterminate`] the request
    /// may have been charged.
    pub uncounted: Option<Error>,
}

/// What [`RateDecision::retry_after`] returns if a request is refused because the store is unavailable.
pub const RETRY_UNCOUNTED_AFTER: Duration = Duration::from_secs(1);

impl RateDecision {
    /// The decision of a store.
    pub fn new(allowed: bool, limits: Vec<LimitState>) -> Self {
        Self { allowed, limits, uncounted: None }
    }

    /// A decision without the store. The remaining units are not known: an allowed request is treated as the first of each
    /// limit, a refused one as if nothing remained.
    pub(crate) fn without_store(checks: &[RateCheck], allowed: bool, error: Error) -> Self {
        let limits = checks.iter().map(|check| LimitState {
            allowed,
            limit: check.rate.limit(),
            remaining: if allowed { check.rate.limit().saturating_sub(check.cost) } else { 0 },
            retry_after: (!allowed).then_some(RETRY_UNCOUNTED_AFTER),
            reset_after: if allowed { Duration::ZERO } else { RETRY_UNCOUNTED_AFTER },
        });
        Self { allowed, limits: limits.collect(), uncounted: Some(error) }
    }

    /// The limit that a response should name: of those that refused, the one with the longest
    /// [`retry_after`](LimitState::retry_after) (one that will never allow the cost first); if all allowed, the one with
    /// the fewest units left. `None` only without limits.
    pub fn tightest(&self) -> Option<&LimitState> {
        let refused = self.limits.iter().filter(|limit| !limit.allowed);
        let longest = refused.max_by_key(|limit| limit.retry_after.unwrap_or(Duration::MAX));
        longest.or_else(|| self.limits.iter().min_by_key(|limit| limit.remaining))
    }

    /// How long to wait until all limits could allow it; `None` when it is allowed, or can never be.
    pub fn retry_after(&self) -> Option<Duration> {
        let refused = self.limits.iter().filter(|limit| !self.allowed && !limit.allowed);
        refused
            .map(|limit| limit.retry_after)
            .try_fold(None, |longest, after| Some(longest.max(Some(after?))))
            .flatten()
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
/// [`Error::InvalidArgument`], saying which check and why.
pub fn validate_checks(checks: &[RateCheck]) -> Result<()> {
    let refuse = |detail: String| Err(Error::invalid_argument(Op::RateLimitCheck, detail));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::{OnUnavailable, RateLimitExt};

    /// A store that is unavailable.
    #[derive(Debug)]
    struct Unavailable;

    #[async_trait]
    impl RateLimit for Unavailable {
        async fn check(&self, _: &[RateCheck]) -> Result<RateDecision> {
            Err(Error::unavailable(Op::RateLimitCheck, "down"))
        }

        async fn reset(&self, _: &[Key]) -> Result<()> {
            Err(Error::unavailable(Op::RateLimitReset, "down"))
        }
    }

    fn state(allowed: bool, remaining: u32, retry_after: Option<u64>) -> LimitState {
        let retry_after = retry_after.map(Duration::from_secs);
        LimitState { allowed, limit: 10, remaining, retry_after, reset_after: Duration::ZERO }
    }

    #[tokio::test]
    async fn a_decision_without_the_store_has_what_headers_need_and_is_marked() {
        let check = RateCheck::new(Key::new("k").unwrap(), Rate::per_second(10)).with_cost(3);
        let open = Unavailable.decide(std::slice::from_ref(&check), OnUnavailable::Allow).await.unwrap();
        let limit = open.tightest().unwrap();
        assert!(open.allowed && matches!(open.uncounted, Some(Error::Unavailable { .. })));
        assert_eq!((limit.limit, limit.remaining, open.retry_after()), (10, 7, None));
        let closed = Unavailable.decide(&[check], OnUnavailable::Refuse).await.unwrap();
        let limit = closed.tightest().unwrap();
        assert!(!closed.allowed && closed.uncounted.is_some());
        assert_eq!((limit.limit, limit.remaining, closed.retry_after()), (10, 0, Some(RETRY_UNCOUNTED_AFTER)));
    }

    #[test]
    fn the_tightest_limit_is_the_last_to_allow_a_request() {
        let tightest = |limits: Vec<LimitState>| {
            let allowed = limits.iter().all(|limit| limit.allowed);
            let decision = RateDecision::new(allowed, limits);
            (decision.tightest().copied(), decision.retry_after())
        };
        let (soon, late, never) = (state(false, 5, Some(1)), state(false, 6, Some(9)), state(false, 7, None));
        let (some, few) = (state(true, 4, None), state(true, 2, None));
        assert_eq!(tightest(vec![some, few]), (Some(few), None));
        assert_eq!(tightest(vec![some, soon, late]), (Some(late), Some(Duration::from_secs(9))));
        assert_eq!(tightest(vec![never, late, some]), (Some(never), None));
        assert_eq!(tightest(Vec::new()), (None, None));
    }
}
