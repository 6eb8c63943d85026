//! Several limits in one check, and checks that are refused.

use store_core::{Error, Op, Rate, RateCheck};

use super::{GCRA, WINDOW, charge};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::RateLimitCheck;
    several_limits_are_charged_together,
    when_one_limit_refuses_none_is_charged,
    each_limit_says_what_it_would_have_done,
    limits_are_answered_in_order,
    limits_of_two_keys_do_not_meet,
    limits_of_two_services_do_not_meet,
    checks_outside_their_bounds_are_refused,
}

async fn several_limits_are_charged_together(fixture: Fixture) -> Verdict {
    let checks = [RateCheck::new(fixture.key("a"), GCRA).with_cost(2), RateCheck::new(fixture.key("b"), WINDOW)];
    let decision = fixture.cache.check(&checks).await?;
    check!(decision.allowed);
    check_eq!(decision.limits.iter().map(|limit| limit.remaining).collect::<Vec<_>>(), [1, 2]);
    check_eq!(charge(&fixture, "a", GCRA, 0).await?.remaining, 1);
    check_eq!(charge(&fixture, "b", WINDOW, 0).await?.remaining, 2);
    Ok(())
}

async fn when_one_limit_refuses_none_is_charged(fixture: Fixture) -> Verdict {
    charge(&fixture, "b", WINDOW, 3).await?;
    let checks = [RateCheck::new(fixture.key("a"), GCRA), RateCheck::new(fixture.key("b"), WINDOW)];
    for checks in [checks.clone(), [checks[1].clone(), checks[0].clone()]] {
        let decision = fixture.cache.check(&checks).await?;
        check_eq!((decision.allowed, decision.retry_after()), (false, Some(secs(60))));
    }
    check_eq!(charge(&fixture, "a", GCRA, 0).await?.remaining, 3);
    Ok(())
}

async fn each_limit_says_what_it_would_have_done(fixture: Fixture) -> Verdict {
    charge(&fixture, "b", WINDOW, 3).await?;
    let checks = [RateCheck::new(fixture.key("a"), GCRA), RateCheck::new(fixture.key("b"), WINDOW)];
    let limits = fixture.cache.check(&checks).await?.limits;
    check_eq!((limits[0].allowed, limits[0].remaining, limits[0].retry_after), (true, 3, None));
    check_eq!((limits[1].allowed, limits[1].remaining, limits[1].retry_after), (false, 0, Some(secs(60))));
    Ok(())
}

async fn limits_are_answered_in_order(fixture: Fixture) -> Verdict {
    let checks: Vec<RateCheck> = (1..=RateCheck::MAX_CHECKS)
        .map(|number| {
            let burst = number as u32;
            let rate = match number % 2 {
                0 => Rate::FixedWindow { count: burst, window: secs(1) },
                _ => Rate::Gcra { count: 1, period: ms(1), burst },
            };
            RateCheck::new(fixture.key(&number.to_string()), rate)
        })
        .collect();
    let decision = fixture.cache.check(&checks).await?;
    let remaining: Vec<u32> = decision.limits.iter().map(|limit| limit.remaining + 1).collect();
    check_eq!(remaining, (1..=RateCheck::MAX_CHECKS as u32).collect::<Vec<_>>());
    Ok(())
}

async fn limits_of_two_keys_do_not_meet(fixture: Fixture) -> Verdict {
    charge(&fixture, "a", GCRA, 3).await?;
    check_eq!(charge(&fixture, "a:1", GCRA, 1).await?.remaining, 2);
    Ok(())
}

async fn limits_of_two_services_do_not_meet(fixture: Fixture) -> Verdict {
    charge(&fixture, "key", GCRA, 3).await?;
    check!(fixture.other.check(&[RateCheck::new(fixture.key("key"), GCRA)]).await?.allowed);
    Ok(())
}

async fn checks_outside_their_bounds_are_refused(fixture: Fixture) -> Verdict {
    let check = |rate| RateCheck::new(fixture.key("key"), rate);
    let good = check(GCRA);
    let many: Vec<RateCheck> =
        (0..=RateCheck::MAX_CHECKS).map(|number| RateCheck::new(fixture.key(&number.to_string()), GCRA)).collect();
    let bad_rates = [
        Rate::Gcra { count: 0, period: secs(1), burst: 1 },
        Rate::Gcra { count: 1, period: secs(1), burst: 0 },
        Rate::Gcra { count: 1, period: ms(0), burst: 1 },
        Rate::Gcra { count: 1001, period: ms(1), burst: 1 },
        Rate::FixedWindow { count: 0, window: secs(1) },
        Rate::FixedWindow { count: 1, window: secs(400 * 86400) },
    ];
    let mut bad: Vec<Vec<RateCheck>> = bad_rates.iter().map(|rate| vec![check(*rate)]).collect();
    bad.extend([Vec::new(), many, vec![good.clone(), check(WINDOW)]]);
    for checks in bad {
        check_matches!(fixture.cache.check(&checks).await, Err(Error::InvalidArgument { op: Op::RateLimitCheck, .. }));
    }
    check_eq!(charge(&fixture, "key", GCRA, 0).await?.remaining, 3);
    Ok(())
}
