//! Deleting values and counters.

use store_core::{Error, MAX_KEYS, Op};

use super::{LONG, get, set};
use crate::case::cases;
use crate::stage::Stage;
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::KeyValueDeleteMany;
    values_are_deleted,
    a_key_with_a_value_and_a_counter_counts_once,
    keys_that_are_not_named_stay,
    no_key_is_no_mistake,
    more_keys_are_refused,
}

async fn values_are_deleted(stage: Stage) -> Verdict {
    for key in ["a", "b"] {
        set(&stage, key, "1").await?;
    }
    let keys = ["a", "absent", "b"].map(|key| stage.key(key));
    check_eq!(stage.cache.delete_many(&keys).await?, 2);
    check_eq!(stage.cache.get_many(&keys).await?, [None, None, None]);
    check_eq!(stage.cache.delete_many(&keys).await?, 0);
    Ok(())
}

async fn a_key_with_a_value_and_a_counter_counts_once(stage: Stage) -> Verdict {
    set(&stage, "both", "1").await?;
    stage.cache.add(&stage.key("both"), 5, LONG).await?;
    stage.cache.add(&stage.key("counter"), 5, LONG).await?;
    let keys = ["both", "counter", "absent"].map(|key| stage.key(key));
    check_eq!(stage.cache.delete_many(&keys).await?, 2);
    for key in &keys {
        check_eq!(stage.cache.add(key, 1, LONG).await?, 1);
    }
    check_eq!(get(&stage, "both").await?, None);
    Ok(())
}

async fn keys_that_are_not_named_stay(stage: Stage) -> Verdict {
    for key in ["a", "a:1"] {
        set(&stage, key, "1").await?;
    }
    stage.cache.delete_many(&[stage.key("a")]).await?;
    check_eq!(get(&stage, "a:1").await?.as_deref(), Some(b"1".as_slice()));
    Ok(())
}

async fn no_key_is_no_mistake(stage: Stage) -> Verdict {
    check_eq!(stage.cache.delete_many(&[]).await?, 0);
    Ok(())
}

async fn more_keys_are_refused(stage: Stage) -> Verdict {
    set(&stage, "key", "1").await?;
    let keys = vec![stage.key("key"); MAX_KEYS + 1];
    check_matches!(stage.cache.delete_many(&keys).await, Err(Error::Rejected { op: Op::KeyValueDeleteMany, .. }));
    check_eq!(get(&stage, "key").await?.as_deref(), Some(b"1".as_slice()));
    Ok(())
}
