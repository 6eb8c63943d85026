//! The generic cell rate algorithm.

use std::time::Duration;

use store_core::{LimitState, Op, Rate};

use super::{GCRA, charge};
use crate::case::cases;
use crate::fixture::{Fixture, look_again, ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::RateLimitCheck;
    a_burst_is_allowed_and_no_more,
    a_refusal_says_when,
    units_come_back_evenly,
    units_come_back_by_the_clock_of_the_store,
    a_refused_request_is_not_charged,
    a_cost_is_charged_whole,
    a_cost_above_the_burst_is_never_allowed,
    a_cost_of_nothing_only_looks,
    an_unused_limit_does_not_save_up,
    what_is_left_is_rounded_down,
    an_interval_is_rounded_up,
    the_smallest_and_the_largest_rate,
    a_burst_is_allowed_once_to_many_at_the_same_time,
}

async fn a_burst_is_allowed_and_no_more(fixture: Fixture) -> Verdict {
    for remaining in [2, 1, 0] {
        let used = 3 - u64::from(remaining);
        let expected =
            LimitState { allowed: true, limit: 3, remaining, retry_after: None, reset_after: ms(100 * used) };
        check_eq!(charge(&fixture, "key", GCRA, 1).await?, expected);
    }
    check!(!charge(&fixture, "key", GCRA, 1).await?.allowed);
    Ok(())
}

async fn a_refusal_says_when(fixture: Fixture) -> Verdict {
    charge(&fixture, "key", GCRA, 3).await?;
    let refused = charge(&fixture, "key", GCRA, 2).await?;
    let expected =
        LimitState { allowed: false, limit: 3, remaining: 0, retry_after: Some(ms(200)), reset_after: ms(300) };
    check_eq!(refused, expected);
    fixture.advance(ms(199));
    check_eq!(charge(&fixture, "key", GCRA, 2).await?.retry_after, Some(ms(1)));
    fixture.advance(ms(1));
    check!(charge(&fixture, "key", GCRA, 2).await?.allowed);
    Ok(())
}

async fn units_come_back_evenly(fixture: Fixture) -> Verdict {
    charge(&fixture, "key", GCRA, 3).await?;
    for _ in 0..5 {
        fixture.advance(ms(99));
        check!(!charge(&fixture, "key", GCRA, 1).await?.allowed);
        fixture.advance(ms(1));
        check!(charge(&fixture, "key", GCRA, 1).await?.allowed);
    }
    Ok(())
}

async fn a_refused_request_is_not_charged(fixture: Fixture) -> Verdict {
    charge(&fixture, "key", GCRA, 2).await?;
    for _ in 0..3 {
        check!(!charge(&fixture, "key", GCRA, 2).await?.allowed);
    }
    check!(charge(&fixture, "key", GCRA, 1).await?.allowed);
    Ok(())
}

async fn a_cost_is_charged_whole(fixture: Fixture) -> Verdict {
    let expected = LimitState { allowed: true, limit: 3, remaining: 1, retry_after: None, reset_after: ms(200) };
    check_eq!(charge(&fixture, "key", GCRA, 2).await?, expected);
    Ok(())
}

async fn a_cost_above_the_burst_is_never_allowed(fixture: Fixture) -> Verdict {
    for cost in [4, u32::MAX] {
        let refused = charge(&fixture, "key", GCRA, cost).await?;
        let expected = LimitState { allowed: false, limit: 3, remaining: 3, retry_after: None, reset_after: ms(0) };
        check_eq!(refused, expected);
    }
    check_eq!(charge(&fixture, "key", GCRA, 3).await?.remaining, 0);
    Ok(())
}

async fn a_cost_of_nothing_only_looks(fixture: Fixture) -> Verdict {
    for _ in 0..3 {
        let unused = charge(&fixture, "key", GCRA, 0).await?;
        check_eq!((unused.allowed, unused.remaining, unused.reset_after), (true, 3, ms(0)));
    }
    charge(&fixture, "key", GCRA, 3).await?;
    let used = charge(&fixture, "key", GCRA, 0).await?;
    check_eq!((used.allowed, used.remaining, used.reset_after), (true, 0, ms(300)));
    Ok(())
}

async fn an_unused_limit_does_not_save_up(fixture: Fixture) -> Verdict {
    charge(&fixture, "key", GCRA, 3).await?;
    fixture.advance(secs(3600));
    check_eq!(charge(&fixture, "key", GCRA, 3).await?.remaining, 0);
    check!(!charge(&fixture, "key", GCRA, 1).await?.allowed);
    Ok(())
}

async fn what_is_left_is_rounded_down(fixture: Fixture) -> Verdict {
    charge(&fixture, "key", GCRA, 3).await?;
    for (after, remaining) in [(99, 0), (1, 1), (99, 1), (1, 2)] {
        fixture.advance(ms(after));
        check_eq!(charge(&fixture, "key", GCRA, 0).await?.remaining, remaining);
    }
    Ok(())
}

async fn an_interval_is_rounded_up(fixture: Fixture) -> Verdict {
    let thirds = Rate::Gcra { count: 3, period: ms(1), burst: 3 };
    check_eq!(charge(&fixture, "key", thirds, 1).await?.reset_after, Duration::from_micros(334));
    check_eq!(charge(&fixture, "key", thirds, 2).await?.reset_after, Duration::from_micros(1002));
    let refused = charge(&fixture, "key", thirds, 1).await?;
    check_eq!((refused.allowed, refused.retry_after), (false, Some(Duration::from_micros(334))));
    Ok(())
}

async fn the_smallest_and_the_largest_rate(fixture: Fixture) -> Verdict {
    let yearly = Rate::Gcra { count: 1, period: secs(366 * 86400), burst: 1 };
    check_eq!(charge(&fixture, "slow", yearly, 1).await?.reset_after, secs(366 * 86400));
    check_eq!(charge(&fixture, "slow", yearly, 1).await?.retry_after, Some(secs(366 * 86400)));
    let fastest = Rate::Gcra { count: 1_000_000, period: secs(1), burst: 1_000_000 };
    check_eq!(charge(&fixture, "fast", fastest, 1_000_000).await?.reset_after, secs(1));
    check_eq!(charge(&fixture, "fast", fastest, 1).await?.retry_after, Some(Duration::from_micros(1)));
    Ok(())
}

async fn a_burst_is_allowed_once_to_many_at_the_same_time(fixture: Fixture) -> Verdict {
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let fixture = fixture.share();
        requests.spawn(async move { charge(&fixture, "key", GCRA, 1).await });
    }
    let mut allowed = 0;
    while let Some(decision) = requests.join_next().await {
        allowed += usize::from(decision??.allowed);
    }
    check_eq!(allowed, 3);
    Ok(())
}

async fn units_come_back_by_the_clock_of_the_store(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let once = Rate::Gcra { count: 1, period: ms(50), burst: 1 };
    for _ in 0..2 {
        let mut tries = 0;
        while !charge(&fixture, "key", once, 1).await?.allowed {
            tries += 1;
            check!(tries < 10_000, "the unit does not come back");
            look_again().await;
        }
    }
    let hourly = Rate::Gcra { count: 1, period: secs(3600), burst: 1 };
    check!(charge(&fixture, "slow", hourly, 1).await?.allowed);
    let refused = charge(&fixture, "slow", hourly, 1).await?;
    check!(!refused.allowed && refused.retry_after <= Some(secs(3600)), "{refused:?}");
    Ok(())
}
