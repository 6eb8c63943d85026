//! Forgetting what was used of limits.

use store_core::{Error, Key, MAX_CHECKS, Op};

use super::{GCRA, WINDOW, charge};
use crate::case::cases;
use crate::stage::Stage;
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::RateLimitReset;
    both_kinds_of_limit_are_forgotten,
    limits_that_are_not_named_stay,
    unknown_limits_are_no_mistake,
    more_keys_than_a_check_are_refused,
}

async fn both_kinds_of_limit_are_forgotten(stage: Stage) -> Verdict {
    charge(&stage, "a", GCRA, 3).await?;
    charge(&stage, "a", WINDOW, 3).await?;
    charge(&stage, "b", WINDOW, 3).await?;
    stage.cache.reset(&[stage.key("a"), stage.key("b")]).await?;
    check_eq!(charge(&stage, "a", GCRA, 1).await?.remaining, 2);
    check_eq!(charge(&stage, "a", WINDOW, 1).await?.remaining, 2);
    check_eq!(charge(&stage, "b", WINDOW, 1).await?.remaining, 2);
    Ok(())
}

async fn limits_that_are_not_named_stay(stage: Stage) -> Verdict {
    charge(&stage, "a", GCRA, 3).await?;
    stage.cache.reset(&[stage.key("b")]).await?;
    check!(!charge(&stage, "a", GCRA, 1).await?.allowed);
    Ok(())
}

async fn unknown_limits_are_no_mistake(stage: Stage) -> Verdict {
    stage.cache.reset(&[stage.key("a"), stage.key("a")]).await?;
    stage.cache.reset(&[]).await?;
    Ok(())
}

async fn more_keys_than_a_check_are_refused(stage: Stage) -> Verdict {
    let keys: Vec<Key> = (0..=MAX_CHECKS).map(|number| stage.key(&number.to_string())).collect();
    check_matches!(stage.cache.reset(&keys).await, Err(Error::Rejected { op: Op::RateLimitReset, .. }));
    stage.cache.reset(&keys[1..]).await?;
    Ok(())
}
