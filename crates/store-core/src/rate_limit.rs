//! Rate limits that all processes of a service share.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::json;
use crate::{Error, Key, Op, Result};

/// Rate limits. [`RateLimitExt::decide`](crate::RateLimitExt::decide) decides also if the store is unavailable.
///
/// Each call costs one round trip and is O(limits).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::slice::from_ref;
/// use twinstore::name::Key;
/// use twinstore::rate_limit::{Rate, RateCheck};
///
/// let limits = stores.cache().rate_limit();
/// let check = RateCheck::new(Key::new("user-7")?, Rate::per_second(1));
/// assert!(limits.check(from_ref(&check)).await?.allowed);
/// assert!(!limits.check(from_ref(&check)).await?.allowed);
/// limits.reset(from_ref(&check.key)).await?;
/// assert!(limits.check(from_ref(&check)).await?.allowed);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait RateLimit: Send + Sync + fmt::Debug {
    /// `async fn check(&self, checks: &[RateCheck]) -> Result<RateDecision>`
    ///
    /// Checks up to [`RateCheck::MAX_CHECKS`] limits as a unit. If all limits allow their cost, all are charged; otherwise none is.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for no check, for more than [`RateCheck::MAX_CHECKS`], for a key that is given twice, and for a rate outside
    /// its range. [`Error::Indeterminate`] if the reply is lost: a check is never repeated.
    async fn check(&self, checks: &[RateCheck]) -> Result<RateDecision>;

    /// `async fn reset(&self, keys: &[Key]) -> Result<()>`
    ///
    /// Resets up to [`RateCheck::MAX_CHECKS`] limits, so that all their units remain. Resets both kinds of limit of a key.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for more than [`RateCheck::MAX_CHECKS`] keys.
    async fn reset(&self, keys: &[Key]) -> Result<()>;
}

/// How many units a limit allows in which time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::rate_limit::Rate;
/// # use twinstore::{name::Key, rate_limit::RateCheck};
///
/// // one unit every 6 s, and up to 3 at once
/// let rate = Rate::Gcra { count: 10, period: Duration::from_secs(60), burst: 3 };
/// # let limits = stores.cache().rate_limit();
/// # let checks = [RateCheck::new(Key::new("user-7")?, rate)];
/// for _ in 0..3 {
///     assert!(limits.check(&checks).await?.allowed);
/// }
/// assert_eq!(limits.check(&checks).await?.retry_after(), Some(Duration::from_secs(6)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// The generic cell rate algorithm: `count` units per `period`, evenly, and up to `burst` units at once.
    Gcra {
        /// The number of units per period. At least 1.
        count: u32,
        /// The period, from 1 ms to 366 days. The rate is at most one unit per microsecond.
        period: Duration,
        /// The number of units at once after a pause. At least 1, and at most as many as accrue in 36,600 days.
        burst: u32,
    },
    /// `count` units per window. Windows begin at multiples of their length since 1970-01-01 UTC.
    FixedWindow {
        /// The number of units per window. At least 1.
        count: u32,
        /// The window, from 1 ms to 366 days.
        window: Duration,
    },
}

impl Rate {
    /// `count` units per second, with a burst of the same size.
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

    /// The number of units that the limit allows at once.
    pub fn limit(&self) -> u32 {
        match *self {
            Rate::Gcra { burst, .. } => burst,
            Rate::FixedWindow { count, .. } => count,
        }
    }
}

/// The longest time in which a burst may accrue, because engines count microseconds in 53 bits.
const LONGEST_MICROS: u64 = 36_600 * 24 * 3600 * 1_000_000;

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// One limit to check.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::name::Key;
/// use twinstore::rate_limit::{Rate, RateCheck};
///
/// let user = RateCheck::new(Key::new("user-7")?, Rate::per_second(10)).with_cost(4);
/// let tenant = RateCheck::new(Key::new("tenant-1")?, Rate::per_second(100)).with_cost(4);
/// let decision = stores.cache().rate_limit().check(&[user, tenant]).await?; // both limits or none
/// assert_eq!(decision.limits.iter().map(|limit| limit.remaining).collect::<Vec<_>>(), [6, 96]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateCheck {
    /// The key of the limit: a user, an address, a tenant.
    pub key: Key,
    /// The rate.
    pub rate: Rate,
    /// How many units this request costs. 0 charges nothing and reports the state of the limit. Default 1.
    pub cost: u32,
}

impl RateCheck {
    /// How many limits one call may check.
    pub const MAX_CHECKS: usize = 16;

    /// A check that costs one unit.
    pub fn new(key: Key, rate: Rate) -> Self {
        Self { key, rate, cost: 1 }
    }

    /// Sets the cost.
    #[must_use]
    pub fn with_cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }
}

/// The decision of [`RateLimit::check`].
///
/// In JSON, `uncounted` is the kind of the error ([`Error::kind`]) or `null`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::{name::Key, rate_limit::{Rate, RateCheck}};
/// # let limits = stores.cache().rate_limit();
/// # let checks = [RateCheck::new(Key::new("user-7")?, Rate::per_second(1))];
/// # limits.check(&checks).await?;
/// let decision = limits.check(&checks).await?;
/// let status = if decision.allowed { 200 } else { 429 };
/// let retry_after = decision.retry_after().map(|after| after.as_millis().div_ceil(1000));
/// assert_eq!((status, retry_after), (429, Some(1)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RateDecision {
    /// Whether all limits allowed the request. If not, none was charged.
    pub allowed: bool,
    /// The state of each limit, in the order of the checks.
    pub limits: Vec<LimitState>,
    /// Why the request was not counted. `None` if the store decided. Otherwise the store was unavailable, and
    /// [`RateLimitExt::decide`](crate::RateLimitExt::decide) decided without it. After [`Error::Indeterminate`] the request
    /// may have been charged.
    #[serde(serialize_with = "json::kind_of")]
    pub uncounted: Option<Error>,
}

impl RateDecision {
    /// What [`RateDecision::retry_after`] returns if a request is refused because the store is unavailable.
    pub const RETRY_UNCOUNTED_AFTER: Duration = Duration::from_secs(1);

    /// The decision of a store.
    pub fn new(allowed: bool, limits: Vec<LimitState>) -> Self {
        Self { allowed, limits, uncounted: None }
    }

    /// A decision without the store. The remaining units are unknown: an allowed request counts as the first of each limit; for
    /// a refused one, nothing remains.
    pub(crate) fn without_store(checks: &[RateCheck], allowed: bool, error: Error) -> Self {
        let limits = checks.iter().map(|check| LimitState {
            allowed,
            limit: check.rate.limit(),
            remaining: if allowed { check.rate.limit().saturating_sub(check.cost) } else { 0 },
            retry_after: (!allowed).then_some(RateDecision::RETRY_UNCOUNTED_AFTER),
            reset_after: if allowed { Duration::ZERO } else { RateDecision::RETRY_UNCOUNTED_AFTER },
        });
        Self { allowed, limits: limits.collect(), uncounted: Some(error) }
    }

    /// The limit that a response should report. If limits refused the request: the one with the longest
    /// [`retry_after`](LimitState::retry_after); a limit that can never allow the cost comes first. If all allowed it: the one
    /// with the fewest units left. `None` only without limits.
    pub fn tightest(&self) -> Option<&LimitState> {
        let refused = self.limits.iter().filter(|limit| !limit.allowed);
        let longest = refused.max_by_key(|limit| limit.retry_after.unwrap_or(Duration::MAX));
        longest.or_else(|| self.limits.iter().min_by_key(|limit| limit.remaining))
    }

    /// The time until all limits could allow the request. `None` if it is allowed, or if a limit can never allow it.
    pub fn retry_after(&self) -> Option<Duration> {
        let refused = self.limits.iter().filter(|limit| !self.allowed && !limit.allowed);
        refused
            .map(|limit| limit.retry_after)
            .try_fold(None, |longest, after| Some(longest.max(Some(after?))))
            .flatten()
    }
}

/// The state of one limit after a check. In JSON, durations are milliseconds, rounded up, in fields that end in `_ms`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::{name::Key, rate_limit::{Rate, RateCheck}};
/// # let limits = stores.cache().rate_limit();
/// let check = RateCheck::new(Key::new("user-7")?, Rate::per_second(10));
/// let decision = limits.check(&[check]).await?;
/// let limit = decision.tightest().expect("there is one limit");
/// assert_eq!((limit.limit, limit.remaining), (10, 9));
/// assert_eq!(limit.reset_after.as_millis(), 100);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LimitState {
    /// Whether this limit allows the cost. Other limits of the same check may refuse it.
    pub allowed: bool,
    /// The number of units that it allows at once.
    pub limit: u32,
    /// The number of units left.
    pub remaining: u32,
    /// The time until the limit could allow this cost. `None` if it allows it now, or if the cost exceeds the limit and it
    /// never can.
    #[serde(rename = "retry_after_ms", serialize_with = "json::millis_of")]
    pub retry_after: Option<Duration>,
    /// The time until all units are left again, if nothing more is charged.
    #[serde(rename = "reset_after_ms", serialize_with = "json::millis")]
    pub reset_after: Duration,
}

/// Refuses checks that are outside the limits.
///
/// # Errors
/// [`Error::InvalidArgument`], with the check and the reason.
pub fn validate_checks(checks: &[RateCheck]) -> Result<()> {
    let refuse = |detail: String| Err(Error::invalid_argument(Op::RateLimitCheck, detail));
    if checks.is_empty() || checks.len() > RateCheck::MAX_CHECKS {
        return refuse(format!("{} limits in one check; give 1 to {most}", checks.len(), most = RateCheck::MAX_CHECKS));
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
        assert_eq!(
            (limit.limit, limit.remaining, closed.retry_after()),
            (10, 0, Some(RateDecision::RETRY_UNCOUNTED_AFTER))
        );
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
