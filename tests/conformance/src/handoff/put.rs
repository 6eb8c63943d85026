//! Putting values for other services.

use store_core::{Error, HandoffItem, MAX_VALUE_BYTES, Op, Put, RequestId};

use super::{LONG, item};
use crate::case::cases;
use crate::stage::{Stage, look_again, ttl_ms};
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::HandoffPut;
    a_value_waits,
    a_value_that_nobody_took_is_kept,
    the_same_put_again_changes_nothing,
    the_same_put_again_changes_nothing_after_the_take,
    a_taken_value_makes_room,
    a_value_that_is_over_makes_room,
    a_value_above_its_bound_is_refused,
}

async fn a_value_waits(stage: Stage) -> Verdict {
    check_eq!(stage.cache.put(&item(&stage, "value")).await?, Put::Stored);
    let taken = stage.other.take(&stage.key("key"), RequestId::generate()).await?;
    check_eq!(taken.as_deref(), Some(b"value".as_slice()));
    Ok(())
}

async fn a_value_that_nobody_took_is_kept(stage: Stage) -> Verdict {
    stage.cache.put(&item(&stage, "first")).await?;
    check_eq!(stage.cache.put(&item(&stage, "second")).await?, Put::Occupied);
    let taken = stage.other.take(&stage.key("key"), RequestId::generate()).await?;
    check_eq!(taken.as_deref(), Some(b"first".as_slice()));
    Ok(())
}

async fn the_same_put_again_changes_nothing(stage: Stage) -> Verdict {
    let item = item(&stage, "value");
    for _ in 0..3 {
        check_eq!(stage.cache.put(&item).await?, Put::Stored);
    }
    check_eq!(stage.other.take(&item.key, RequestId::generate()).await?, Some(item.value));
    check_eq!(stage.other.take(&item.key, RequestId::generate()).await?, None);
    Ok(())
}

async fn the_same_put_again_changes_nothing_after_the_take(stage: Stage) -> Verdict {
    let item = item(&stage, "value");
    stage.cache.put(&item).await?;
    stage.other.take(&item.key, RequestId::generate()).await?;
    check_eq!(stage.cache.put(&item).await?, Put::Stored);
    check_eq!(stage.other.take(&item.key, RequestId::generate()).await?, None);
    Ok(())
}

async fn a_taken_value_makes_room(stage: Stage) -> Verdict {
    stage.cache.put(&item(&stage, "first")).await?;
    stage.other.take(&stage.key("key"), RequestId::generate()).await?;
    check_eq!(stage.cache.put(&item(&stage, "second")).await?, Put::Stored);
    let taken = stage.other.take(&stage.key("key"), RequestId::generate()).await?;
    check_eq!(taken.as_deref(), Some(b"second".as_slice()));
    Ok(())
}

async fn a_value_that_is_over_makes_room(stage: Stage) -> Verdict {
    let stage = stage.on_server_clock().await?;
    let short = HandoffItem::new(stage.other_service.clone(), stage.key("key"), "short", ttl_ms(30));
    stage.cache.put(&short).await?;
    while stage.cache.put(&item(&stage, "long")).await? == Put::Occupied {
        look_again().await;
    }
    let taken = stage.other.take(&stage.key("key"), RequestId::generate()).await?;
    check_eq!(taken.as_deref(), Some(b"long".as_slice()));
    Ok(())
}

async fn a_value_above_its_bound_is_refused(stage: Stage) -> Verdict {
    let too_large = HandoffItem::new(stage.other_service.clone(), stage.key("key"), vec![0; MAX_VALUE_BYTES + 1], LONG);
    check_matches!(stage.cache.put(&too_large).await, Err(Error::Rejected { op: Op::HandoffPut, .. }));
    check_eq!(stage.other.take(&stage.key("key"), RequestId::generate()).await?, None);
    Ok(())
}
