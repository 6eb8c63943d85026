//! Resetting limits.

use store_core::{Error, Key, Op, RateCheck};

use super::{GCRA, WINDOW, charge};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::RateLimitReset;
    both_kinds_of_limit_are_forgotten,
    limits_that_are_not_named_stay,
    unknown_limits_are_no_mistake,
    more_keys_than_a_check_are_refused,
}

async fn both_kinds_of_limit_are_forgotten(fixture: Fixture) -> Verdict {
    charge(&fixture, "a", GCRA, 3).await?;
    charge(&fixture, "a", WINDOW, 3).await?;
    charge(&fixture, "b", WINDOW, 3).await?;
    fixture.cache.reset(&[fixture.key("a"), fixture.key("b")]).await?;
    check_eq!(charge(&fixture, "a", GCRA, 1).await?.remaining, 2);
    check_eq!(charge(&fixture, "a", WINDOW, 1).await?.remaining, 2);
    check_eq!(charge(&fixture, "b", WINDOW, 1).await?.remaining, 2);
    Ok(())
}

async fn limits_that_are_not_named_stay(fixture: Fixture) -> Verdict {
    charge(&fixture, "a", GCRA, 3).await?;
    fixture.cache.reset(&[fixture.key("b")]).await?;
    check!(!charge(&fixture, "a", GCRA, 1).await?.allowed);
    Ok(())
}

async fn unknown_limits_are_no_mistake(fixture: Fixture) -> Verdict {
    fixture.cache.reset(&[fixture.key("a"), fixture.key("a")]).await?;
    fixture.cache.reset(&[]).await?;
    Ok(())
}

async fn more_keys_than_a_check_are_refused(fixture: Fixture) -> Verdict {
    let keys: Vec<Key> = (0..=RateCheck::MAX_CHECKS).map(|number| fixture.key(&number.to_string())).collect();
    check_matches!(fixture.cache.reset(&keys).await, Err(Error::InvalidArgument { op: Op::RateLimitReset, .. }));
    fixture.cache.reset(&keys[1..]).await?;
    Ok(())
}
