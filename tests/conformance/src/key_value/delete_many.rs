//! Deleting values and counters.

use store_core::{Entry, Error, Op};

use super::{LONG, get, set};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::KeyValueDeleteMany;
    values_are_deleted,
    a_key_with_a_value_and_a_counter_counts_once,
    keys_that_are_not_named_stay,
    no_key_is_no_mistake,
    more_keys_are_refused,
}

async fn values_are_deleted(fixture: Fixture) -> Verdict {
    for key in ["a", "b"] {
        set(&fixture, key, "1").await?;
    }
    let keys = ["a", "absent", "b"].map(|key| fixture.key(key));
    check_eq!(fixture.cache.delete_many(&keys).await?, 2);
    check_eq!(fixture.cache.get_many(&keys).await?, [None, None, None]);
    check_eq!(fixture.cache.delete_many(&keys).await?, 0);
    Ok(())
}

async fn a_key_with_a_value_and_a_counter_counts_once(fixture: Fixture) -> Verdict {
    set(&fixture, "both", "1").await?;
    fixture.cache.add(&fixture.key("both"), 5, LONG).await?;
    fixture.cache.add(&fixture.key("counter"), 5, LONG).await?;
    let keys = ["both", "counter", "absent"].map(|key| fixture.key(key));
    check_eq!(fixture.cache.delete_many(&keys).await?, 2);
    for key in &keys {
        check_eq!(fixture.cache.add(key, 1, LONG).await?, 1);
    }
    check_eq!(get(&fixture, "both").await?, None);
    Ok(())
}

async fn keys_that_are_not_named_stay(fixture: Fixture) -> Verdict {
    for key in ["a", "a:1"] {
        set(&fixture, key, "1").await?;
    }
    fixture.cache.delete_many(&[fixture.key("a")]).await?;
    check_eq!(get(&fixture, "a:1").await?.as_deref(), Some(b"1".as_slice()));
    Ok(())
}

async fn no_key_is_no_mistake(fixture: Fixture) -> Verdict {
    check_eq!(fixture.cache.delete_many(&[]).await?, 0);
    Ok(())
}

async fn more_keys_are_refused(fixture: Fixture) -> Verdict {
    set(&fixture, "key", "1").await?;
    let keys = vec![fixture.key("key"); Entry::MAX_KEYS + 1];
    check_matches!(
        fixture.cache.delete_many(&keys).await,
        Err(Error::InvalidArgument { op: Op::KeyValueDeleteMany, .. })
    );
    check_eq!(get(&fixture, "key").await?.as_deref(), Some(b"1".as_slice()));
    Ok(())
}
