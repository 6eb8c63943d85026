//! Putting values for other services.

use store_core::{Entry, Error, HandoffItem, Op, Put, RequestId};

use super::{LONG, item, secs};
use crate::case::cases;
use crate::fixture::{Fixture, look_again, ttl_ms};
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::HandoffPut;
    a_value_waits,
    a_value_that_nobody_took_is_kept,
    the_same_put_again_changes_nothing,
    the_same_put_again_changes_nothing_after_the_take,
    the_same_put_again_changes_nothing_after_another_put,
    a_put_is_recognised_until_its_item_ends,
    a_taken_value_makes_room,
    a_value_that_is_over_makes_room,
    a_value_above_its_bound_is_refused,
}

async fn a_value_waits(fixture: Fixture) -> Verdict {
    check_eq!(fixture.cache.put(&item(&fixture, "value")).await?, Put::Stored);
    let taken = fixture.other.take(&fixture.key("key"), RequestId::generate()).await?;
    check_eq!(taken.as_deref(), Some(b"value".as_slice()));
    Ok(())
}

async fn a_value_that_nobody_took_is_kept(fixture: Fixture) -> Verdict {
    fixture.cache.put(&item(&fixture, "first")).await?;
    check_eq!(fixture.cache.put(&item(&fixture, "second")).await?, Put::Occupied);
    let taken = fixture.other.take(&fixture.key("key"), RequestId::generate()).await?;
    check_eq!(taken.as_deref(), Some(b"first".as_slice()));
    Ok(())
}

async fn the_same_put_again_changes_nothing(fixture: Fixture) -> Verdict {
    let item = item(&fixture, "value");
    for _ in 0..3 {
        check_eq!(fixture.cache.put(&item).await?, Put::Stored);
    }
    check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, Some(item.value));
    check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, None);
    Ok(())
}

async fn the_same_put_again_changes_nothing_after_the_take(fixture: Fixture) -> Verdict {
    let item = item(&fixture, "value");
    fixture.cache.put(&item).await?;
    fixture.other.take(&item.key, RequestId::generate()).await?;
    check_eq!(fixture.cache.put(&item).await?, Put::Stored);
    check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, None);
    Ok(())
}

async fn the_same_put_again_changes_nothing_after_another_put(fixture: Fixture) -> Verdict {
    let items = ["first", "second", "third"].map(|value| item(&fixture, value));
    for item in &items {
        check_eq!(fixture.cache.put(item).await?, Put::Stored);
        for earlier in &items {
            let expected = if earlier.value <= item.value { Put::Stored } else { Put::Occupied };
            check_eq!(fixture.cache.put(earlier).await?, expected);
        }
        check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?.as_ref(), Some(&item.value));
        for earlier in items.iter().filter(|earlier| earlier.value <= item.value) {
            check_eq!(fixture.cache.put(earlier).await?, Put::Stored);
            check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, None);
        }
    }
    Ok(())
}

async fn a_put_is_recognised_until_its_item_ends(fixture: Fixture) -> Verdict {
    let (mut long, mut short) = (item(&fixture, "long"), item(&fixture, "short"));
    (long.ttl, short.ttl) = (secs(20), secs(10));
    for item in [&long, &short] {
        check_eq!(fixture.cache.put(item).await?, Put::Stored);
        fixture.other.take(&item.key, RequestId::generate()).await?;
    }
    fixture.advance(short.ttl.as_duration());
    check_eq!(fixture.cache.put(&long).await?, Put::Stored);
    check_eq!(fixture.other.take(&long.key, RequestId::generate()).await?, None);
    fixture.advance(short.ttl.as_duration());
    check_eq!(fixture.cache.put(&long).await?, Put::Stored);
    check_eq!(fixture.other.take(&long.key, RequestId::generate()).await?, Some(long.value));
    Ok(())
}

async fn a_taken_value_makes_room(fixture: Fixture) -> Verdict {
    fixture.cache.put(&item(&fixture, "first")).await?;
    fixture.other.take(&fixture.key("key"), RequestId::generate()).await?;
    check_eq!(fixture.cache.put(&item(&fixture, "second")).await?, Put::Stored);
    let taken = fixture.other.take(&fixture.key("key"), RequestId::generate()).await?;
    check_eq!(taken.as_deref(), Some(b"second".as_slice()));
    Ok(())
}

async fn a_value_that_is_over_makes_room(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let short = HandoffItem::new(fixture.other_service.clone(), fixture.key("key"), "short", ttl_ms(30));
    fixture.cache.put(&short).await?;
    while fixture.cache.put(&item(&fixture, "long")).await? == Put::Occupied {
        look_again().await;
    }
    let taken = fixture.other.take(&fixture.key("key"), RequestId::generate()).await?;
    check_eq!(taken.as_deref(), Some(b"long".as_slice()));
    Ok(())
}

async fn a_value_above_its_bound_is_refused(fixture: Fixture) -> Verdict {
    let too_large =
        HandoffItem::new(fixture.other_service.clone(), fixture.key("key"), vec![0; Entry::MAX_VALUE_BYTES + 1], LONG);
    check_matches!(fixture.cache.put(&too_large).await, Err(Error::InvalidArgument { op: Op::HandoffPut, .. }));
    check_eq!(fixture.other.take(&fixture.key("key"), RequestId::generate()).await?, None);
    Ok(())
}
