//! Deleting values that equal the expected one.

use bytes::Bytes;
use store_core::{Entry, Op, RequestId};

use super::{LONG, get, set};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::KeyValueDeleteIf;
    an_expected_value_is_deleted,
    another_value_stays,
    an_absent_value_is_not_deleted,
    a_value_set_if_absent_is_compared_as_it_was_given,
    a_counter_stays,
}

async fn an_expected_value_is_deleted(fixture: Fixture) -> Verdict {
    for value in ["1", ""] {
        set(&fixture, "key", value).await?;
        check!(fixture.cache.delete_if(&fixture.key("key"), &Bytes::from(value)).await?);
        check_eq!(get(&fixture, "key").await?, None);
    }
    Ok(())
}

async fn another_value_stays(fixture: Fixture) -> Verdict {
    set(&fixture, "key", "value").await?;
    for other in ["", "valu", "value2", "VALUE"] {
        check!(!fixture.cache.delete_if(&fixture.key("key"), &Bytes::from(other)).await?);
    }
    check_eq!(get(&fixture, "key").await?.as_deref(), Some(b"value".as_slice()));
    Ok(())
}

async fn an_absent_value_is_not_deleted(fixture: Fixture) -> Verdict {
    check!(!fixture.cache.delete_if(&fixture.key("key"), &Bytes::new()).await?);
    Ok(())
}

async fn a_value_set_if_absent_is_compared_as_it_was_given(fixture: Fixture) -> Verdict {
    let entry = Entry::new(fixture.key("key"), "value", LONG);
    fixture.cache.set_if_absent(&entry, RequestId::generate()).await?;
    check!(!fixture.cache.delete_if(&entry.key, &Bytes::from("other")).await?);
    check!(fixture.cache.delete_if(&entry.key, &entry.value).await?);
    check_eq!(get(&fixture, "key").await?, None);
    Ok(())
}

async fn a_counter_stays(fixture: Fixture) -> Verdict {
    fixture.cache.add(&fixture.key("key"), 5, LONG).await?;
    check!(!fixture.cache.delete_if(&fixture.key("key"), &Bytes::from("5")).await?);
    check_eq!(fixture.cache.add(&fixture.key("key"), 1, LONG).await?, 6);
    Ok(())
}
