//! Rate limits: one file per kind of limit, one for several limits in one call, one for resets.

mod check_gcra;
mod check_several;
mod check_window;
mod reset;

use store_core::{LimitState, Rate, RateCheck, RateDecision};

use crate::case::Case;
use crate::fixture::{Fixture, secs};
use crate::verdict::BrokenPromise;

/// The cases of every operation on rate limits.
pub(crate) const CASES: &[&[Case]] = &[check_gcra::CASES, check_window::CASES, check_several::CASES, reset::CASES];

/// One every 100 ms, with a burst of three.
const GCRA: Rate = Rate::Gcra { count: 10, period: secs(1), burst: 3 };

/// Three in each minute.
const WINDOW: Rate = Rate::FixedWindow { count: 3, window: secs(60) };

/// Checks one limit with a cost.
async fn charge(fixture: &Fixture, what: &str, rate: Rate, cost: u32) -> Result<LimitState, BrokenPromise> {
    let RateDecision { allowed, limits, .. } =
        fixture.cache.check(&[RateCheck::new(fixture.key(what), rate).with_cost(cost)]).await?;
    match limits[..] {
        [limit] if limit.allowed == allowed => Ok(limit),
        _ => Err(BrokenPromise::new(format!("one limit was asked, the answer is {allowed}, {limits:?}"))),
    }
}
