//! Deleting values that are as expected.

use bytes::Bytes;
use store_core::{Entry, Op, RequestId};

use super::{LONG, get, set};
use crate::case::cases;
use crate::stage::Stage;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::KeyValueDeleteIf;
    an_expected_value_is_deleted,
    another_value_stays,
    an_absent_value_is_not_deleted,
    a_value_set_if_absent_is_compared_as_it_was_given,
    a_counter_stays,
}

async fn an_expected_value_is_deleted(stage: Stage) -> Verdict {
    for value in ["1", ""] {
        set(&stage, "key", value).await?;
        check!(stage.cache.delete_if(&stage.key("key"), &Bytes::from(value)).await?);
        check_eq!(get(&stage, "key").await?, None);
    }
    Ok(())
}

async fn another_value_stays(stage: Stage) -> Verdict {
    set(&stage, "key", "value").await?;
    for other in ["", "valu", "value2", "VALUE"] {
        check!(!stage.cache.delete_if(&stage.key("key"), &Bytes::from(other)).await?);
    }
    check_eq!(get(&stage, "key").await?.as_deref(), Some(b"value".as_slice()));
    Ok(())
}

async fn an_absent_value_is_not_deleted(stage: Stage) -> Verdict {
    check!(!stage.cache.delete_if(&stage.key("key"), &Bytes::new()).await?);
    Ok(())
}

async fn a_value_set_if_absent_is_compared_as_it_was_given(stage: Stage) -> Verdict {
    let entry = Entry::new(stage.key("key"), "value", LONG);
    stage.cache.set_if_absent(&entry, RequestId::generate()).await?;
    check!(!stage.cache.delete_if(&entry.key, &Bytes::from("other")).await?);
    check!(stage.cache.delete_if(&entry.key, &entry.value).await?);
    check_eq!(get(&stage, "key").await?, None);
    Ok(())
}

async fn a_counter_stays(stage: Stage) -> Verdict {
    stage.cache.add(&stage.key("key"), 5, LONG).await?;
    check!(!stage.cache.delete_if(&stage.key("key"), &Bytes::from("5")).await?);
    check_eq!(stage.cache.add(&stage.key("key"), 1, LONG).await?, 6);
    Ok(())
}
