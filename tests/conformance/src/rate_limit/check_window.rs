//! Fixed windows.

use store_core::{LimitState, Op, Rate};

use super::{GCRA, WINDOW, charge};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::RateLimitCheck;
    a_window_allows_its_count_and_no_more,
    a_window_begins_at_a_multiple_of_its_length,
    a_new_window_begins_unused,
    a_refused_request_of_a_window_is_not_charged,
    a_cost_above_a_window_is_never_allowed,
    looking_at_a_window_charges_nothing,
    the_two_kinds_of_limit_under_one_key_do_not_meet,
}

async fn a_window_allows_its_count_and_no_more(fixture: Fixture) -> Verdict {
    for remaining in [2, 1, 0] {
        let expected = LimitState { allowed: true, limit: 3, remaining, retry_after: None, reset_after: secs(60) };
        check_eq!(charge(&fixture, "key", WINDOW, 1).await?, expected);
    }
    let refused =
        LimitState { allowed: false, limit: 3, remaining: 0, retry_after: Some(secs(60)), reset_after: secs(60) };
    check_eq!(charge(&fixture, "key", WINDOW, 1).await?, refused);
    Ok(())
}

async fn a_window_begins_at_a_multiple_of_its_length(fixture: Fixture) -> Verdict {
    let window = Rate::FixedWindow { count: 1, window: ms(7000) };
    let into = ms(fixture.now().as_millis() % 7000);
    fixture.advance(ms(7001) - into);
    check_eq!(charge(&fixture, "key", window, 1).await?.reset_after, ms(6999));
    fixture.advance(ms(6998));
    check_eq!(charge(&fixture, "key", window, 1).await?.retry_after, Some(ms(1)));
    fixture.advance(ms(1));
    check!(charge(&fixture, "key", window, 1).await?.allowed);
    Ok(())
}

async fn a_new_window_begins_unused(fixture: Fixture) -> Verdict {
    for _ in 0..3 {
        check_eq!(charge(&fixture, "key", WINDOW, 3).await?.remaining, 0);
        fixture.advance(secs(60));
        let unused = charge(&fixture, "key", WINDOW, 0).await?;
        check_eq!((unused.remaining, unused.reset_after), (3, ms(0)));
    }
    Ok(())
}

async fn a_refused_request_of_a_window_is_not_charged(fixture: Fixture) -> Verdict {
    charge(&fixture, "key", WINDOW, 2).await?;
    let refused = charge(&fixture, "key", WINDOW, 2).await?;
    check_eq!((refused.allowed, refused.remaining), (false, 1));
    check!(charge(&fixture, "key", WINDOW, 1).await?.allowed);
    Ok(())
}

async fn a_cost_above_a_window_is_never_allowed(fixture: Fixture) -> Verdict {
    for cost in [4, u32::MAX] {
        let refused = charge(&fixture, "key", WINDOW, cost).await?;
        let expected = LimitState { allowed: false, limit: 3, remaining: 3, retry_after: None, reset_after: ms(0) };
        check_eq!(refused, expected);
    }
    Ok(())
}

async fn looking_at_a_window_charges_nothing(fixture: Fixture) -> Verdict {
    charge(&fixture, "key", WINDOW, 3).await?;
    for _ in 0..3 {
        let used = charge(&fixture, "key", WINDOW, 0).await?;
        check_eq!((used.allowed, used.remaining, used.reset_after), (true, 0, secs(60)));
    }
    Ok(())
}

async fn the_two_kinds_of_limit_under_one_key_do_not_meet(fixture: Fixture) -> Verdict {
    charge(&fixture, "key", WINDOW, 3).await?;
    check_eq!(charge(&fixture, "key", GCRA, 1).await?.remaining, 2);
    check!(!charge(&fixture, "key", WINDOW, 1).await?.allowed);
    Ok(())
}
