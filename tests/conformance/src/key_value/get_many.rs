//! Reading values.

use bytes::Bytes;
use store_core::{Entry, Error, Key, Op};

use super::{LONG, get, set};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::KeyValueGetMany;
    an_absent_key_has_no_value,
    values_come_in_the_order_asked,
    one_key_may_be_asked_twice,
    no_key_is_no_value,
    the_largest_number_of_keys_is_answered,
    more_keys_are_refused,
    keys_of_two_services_do_not_meet,
}

async fn an_absent_key_has_no_value(fixture: Fixture) -> Verdict {
    check_eq!(get(&fixture, "key").await?, None);
    Ok(())
}

async fn values_come_in_the_order_asked(fixture: Fixture) -> Verdict {
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "")] {
        set(&fixture, key, value).await?;
    }
    let keys = ["c", "absent", "a", "b"].map(|key| fixture.key(key));
    let expected = [Some(""), None, Some("1"), Some("2")].map(|value| value.map(Bytes::from));
    check_eq!(fixture.cache.get_many(&keys).await?, expected);
    Ok(())
}

async fn one_key_may_be_asked_twice(fixture: Fixture) -> Verdict {
    set(&fixture, "a", "1").await?;
    let keys = ["a", "a"].map(|key| fixture.key(key));
    check_eq!(fixture.cache.get_many(&keys).await?, [Some(Bytes::from("1")), Some(Bytes::from("1"))]);
    Ok(())
}

async fn no_key_is_no_value(fixture: Fixture) -> Verdict {
    check_eq!(fixture.cache.get_many(&[]).await?, [None; 0]);
    Ok(())
}

async fn the_largest_number_of_keys_is_answered(fixture: Fixture) -> Verdict {
    let keys: Vec<Key> = (0..Entry::MAX_KEYS).map(|number| fixture.key(&number.to_string())).collect();
    let entries: Vec<Entry> =
        keys.iter().map(|key| Entry::new(key.clone(), key.as_str().as_bytes().to_vec(), LONG)).collect();
    fixture.cache.set_many(&entries).await?;
    let expected: Vec<Option<Bytes>> = entries.into_iter().map(|entry| Some(entry.value)).collect();
    check_eq!(fixture.cache.get_many(&keys).await?, expected);
    check_eq!(fixture.cache.delete_many(&keys).await?, Entry::MAX_KEYS as u64);
    Ok(())
}

async fn more_keys_are_refused(fixture: Fixture) -> Verdict {
    let keys = vec![fixture.key("key"); Entry::MAX_KEYS + 1];
    check_matches!(fixture.cache.get_many(&keys).await, Err(Error::InvalidArgument { op: Op::KeyValueGetMany, .. }));
    Ok(())
}

async fn keys_of_two_services_do_not_meet(fixture: Fixture) -> Verdict {
    set(&fixture, "key", "mine").await?;
    check_eq!(fixture.other.get_many(&[fixture.key("key")]).await?, [None]);
    Ok(())
}
