//! Rate limits. The script decides and charges; the state of each limit is computed here.

use std::time::Duration;

use async_trait::async_trait;
use redis_link::{Arg, Link, Script, SharedScript, args, keys};
use store_core::metric::LimitDecisions;
use store_core::{
    Error, Key, LimitState, Op, Rate, RateCheck, RateDecision, RateLimit, Result, millis_ceil, validate_checks,
};

use crate::CacheStore;

static CHECK: Script = Script::adds("rate_limit/check", &[include_str!("../lua/rate_limit/check.lua")]);
static RESET: Script = Script::frees("rate_limit/reset", &[include_str!("../lua/rate_limit/reset.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 2] = [&CHECK, &RESET];

/// The calls of all tasks.
pub(crate) struct RateLimits {
    link: Link,
    check: SharedScript,
    decisions: LimitDecisions,
}

impl RateLimits {
    pub(crate) fn new(link: &Link) -> Self {
        let head = args![millis_ceil(link.collection_margin())];
        Self {
            link: link.clone(),
            check: SharedScript::new(link, Op::RateLimitCheck, &CHECK, head),
            decisions: LimitDecisions::new(),
        }
    }
}

/// A check is one script in one round trip for any number of limits; concurrent checks are coalesced. A reset is one
/// script with one `UNLINK`.
#[async_trait]
impl RateLimit for CacheStore {
    async fn check(&self, checks: &[RateCheck]) -> Result<RateDecision> {
        validate_checks(checks)?;
        let names: Vec<_> = checks.iter().map(name).collect();
        let mut args = Vec::with_capacity(1 + 3 * checks.len());
        args.push(Arg::from(checks.len()));
        for check in checks {
            let budget = Budget::of(check);
            args.extend([budget.charge, budget.allowance, budget.window].map(Arg::from));
        }
        let mut reply = self.calls.rate_limit.check.call(names, args, 0).await?;
        let allowed = match reply.next_word()?.as_ref() {
            b"allowed" => true,
            b"refused" => false,
            _ => return Err(reply.unknown_word()),
        };
        let limits = checks.iter().map(|check| Ok(state(check, allowed, reply.next_u64()?, reply.next_u64()?)));
        let decision = RateDecision::new(allowed, limits.collect::<Result<_>>()?);
        self.calls.rate_limit.decisions.count(&decision);
        Ok(decision)
    }

    async fn reset(&self, keys: &[Key]) -> Result<()> {
        let op = Op::RateLimitReset;
        if keys.len() > RateCheck::MAX_CHECKS {
            return Err(Error::invalid_argument(
                op,
                format!("{} limits in one call; give at most {most}", keys.len(), most = RateCheck::MAX_CHECKS),
            ));
        }
        if keys.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = keys.iter().flat_map(|key| [keys::gcra(key), keys::window(key)]).collect();
        self.calls.rate_limit.link.call(op, &RESET, &names, Vec::new()).await.map(drop)
    }
}

fn name(check: &RateCheck) -> String {
    match check.rate {
        Rate::Gcra { .. } => keys::gcra(&check.key),
        Rate::FixedWindow { .. } => keys::window(&check.key),
    }
}

/// A check in the units in which it is counted: µs for GCRA, units for a fixed window.
struct Budget {
    /// The charge of this request; above the allowance if its cost is above the limit.
    charge: u64,
    /// How much may be in use at the same time.
    allowance: u64,
    /// The length of a fixed window in µs; 0 for GCRA.
    window: u64,
}

impl Budget {
    fn of(check: &RateCheck) -> Self {
        let (unit, window) = match check.rate {
            Rate::Gcra { .. } => (check.rate.interval_micros(), 0),
            Rate::FixedWindow { .. } => (1, check.rate.interval_micros()),
        };
        let limit = check.rate.limit();
        let allowance = unit * u64::from(limit);
        let charge = if check.cost > limit { allowance + 1 } else { unit * u64::from(check.cost) };
        Self { charge, allowance, window }
    }
}

/// The state of one limit after a decision, from its use before the decision and the µs to the end of its window.
fn state(check: &RateCheck, all_allowed: bool, used: u64, left: u64) -> LimitState {
    let Budget { charge, allowance, window } = Budget::of(check);
    let allowed = used + charge <= allowance;
    let used_now = if all_allowed { used + charge } else { used };
    let unused = allowance.saturating_sub(used_now);
    let is_gcra = window == 0;
    let (unit, retry, reset) = if is_gcra {
        (check.rate.interval_micros(), (used + charge).saturating_sub(allowance), used_now)
    } else {
        (1, left, if used_now > 0 { left } else { 0 })
    };
    LimitState {
        allowed,
        limit: check.rate.limit(),
        remaining: u32::try_from(unused / unit).unwrap_or(u32::MAX).min(check.rate.limit()),
        retry_after: (!allowed && check.cost <= check.rate.limit()).then(|| Duration::from_micros(retry)),
        reset_after: Duration::from_micros(reset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rate: Rate, cost: u32) -> RateCheck {
        RateCheck::new(Key::new("k").unwrap(), rate).with_cost(cost)
    }

    fn gcra(burst: u32) -> Rate {
        Rate::Gcra { count: 10, period: Duration::from_secs(1), burst }
    }

    #[test]
    fn a_charge_that_can_never_be_allowed_is_above_the_allowance() {
        let longest = Rate::Gcra { count: 1, period: store_core::Ttl::MAX, burst: 1 };
        for rate in [gcra(5), longest, Rate::FixedWindow { count: 5, window: Duration::from_secs(1) }] {
            let budget = Budget::of(&check(rate, u32::MAX));
            assert_eq!(budget.charge, budget.allowance + 1);
            assert_eq!(state(&check(rate, u32::MAX), false, 0, 7).retry_after, None);
        }
    }

    #[test]
    fn gcra_frees_a_unit_per_interval() {
        let full = state(&check(gcra(5), 1), false, 450_001, 0);
        assert!(!full.allowed);
        assert_eq!((full.remaining, full.retry_after), (0, Some(Duration::from_micros(50_001))));
        assert_eq!(full.reset_after, Duration::from_micros(450_001));
        let charged = state(&check(gcra(5), 2), true, 0, 0);
        assert_eq!((charged.remaining, charged.retry_after), (3, None));
        assert_eq!(charged.reset_after, Duration::from_millis(200));
    }

    #[test]
    fn a_limit_is_not_charged_if_another_one_refuses() {
        let allowed_alone = state(&check(gcra(5), 2), false, 0, 0);
        assert!(allowed_alone.allowed);
        assert_eq!((allowed_alone.remaining, allowed_alone.reset_after), (5, Duration::ZERO));
    }
}
