//! Taking values that were put for this service.

use std::time::Duration;

use bytes::Bytes;
use store_core::{HandoffItem, Op, Put, RequestId};

use super::{LONG, item, secs};
use crate::case::cases;
use crate::fixture::{Fixture, look_again, ttl_ms};
use crate::verdict::{Verdict, check_eq};

cases! { Op::HandoffTake;
    there_is_nothing_to_take,
    a_value_is_taken_once,
    the_same_claim_may_be_repeated,
    the_same_claim_returns_its_value_after_another_put,
    a_claim_is_recognised_until_its_item_ends,
    a_claim_is_recognised_for_a_minute_after_another_put,
    a_value_is_for_its_service_only,
    a_service_can_hand_to_itself,
    a_value_is_over_after_its_time,
    a_take_does_not_prolong_the_time,
    one_of_many_takes_it,
    any_bytes_are_a_value,
}

async fn there_is_nothing_to_take(fixture: Fixture) -> Verdict {
    check_eq!(fixture.other.take(&fixture.key("key"), RequestId::generate()).await?, None);
    Ok(())
}

async fn a_value_is_taken_once(fixture: Fixture) -> Verdict {
    let item = item(&fixture, "value");
    fixture.cache.put(&item).await?;
    check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, Some(item.value));
    check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, None);
    Ok(())
}

async fn the_same_claim_may_be_repeated(fixture: Fixture) -> Verdict {
    let (item, claim) = (item(&fixture, "value"), RequestId::generate());
    fixture.cache.put(&item).await?;
    for _ in 0..3 {
        check_eq!(fixture.other.take(&item.key, claim).await?, Some(item.value.clone()));
    }
    check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, None);
    check_eq!(fixture.other.take(&item.key, claim).await?, Some(item.value));
    Ok(())
}

async fn the_same_claim_returns_its_value_after_another_put(fixture: Fixture) -> Verdict {
    let claims = ["first", "", "third"].map(|value| (item(&fixture, value), RequestId::generate()));
    for (number, (item, claim)) in claims.iter().enumerate() {
        fixture.cache.put(item).await?;
        for _ in 0..2 {
            for (earlier, claim) in &claims[..number] {
                check_eq!(fixture.other.take(&item.key, *claim).await?.as_ref(), Some(&earlier.value));
            }
            check_eq!(fixture.other.take(&item.key, *claim).await?.as_ref(), Some(&item.value));
        }
        check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, None);
    }
    Ok(())
}

async fn a_claim_is_recognised_until_its_item_ends(fixture: Fixture) -> Verdict {
    let (mut first, mut second) = (item(&fixture, "first"), item(&fixture, "second"));
    (first.ttl, second.ttl) = (secs(10), secs(20));
    let claim = RequestId::generate();
    fixture.cache.put(&first).await?;
    check_eq!(fixture.other.take(&first.key, claim).await?.as_ref(), Some(&first.value));
    fixture.cache.put(&second).await?;
    fixture.advance(first.ttl.as_duration() - Duration::from_millis(1));
    check_eq!(fixture.other.take(&first.key, claim).await?, Some(first.value));
    fixture.advance(Duration::from_millis(1));
    check_eq!(fixture.other.take(&first.key, claim).await?, Some(second.value));
    Ok(())
}

async fn a_claim_is_recognised_for_a_minute_after_another_put(fixture: Fixture) -> Verdict {
    let (mut first, mut second) = (item(&fixture, "first"), item(&fixture, "second"));
    (first.ttl, second.ttl) = (secs(3600), secs(3600));
    let claim = RequestId::generate();
    fixture.cache.put(&first).await?;
    check_eq!(fixture.other.take(&first.key, claim).await?.as_ref(), Some(&first.value));
    fixture.advance(Duration::from_secs(1_800));
    check_eq!(fixture.other.take(&first.key, claim).await?.as_ref(), Some(&first.value));
    fixture.cache.put(&second).await?;
    fixture.advance(HandoffItem::REPLACED_FOR - Duration::from_millis(1));
    check_eq!(fixture.other.take(&first.key, claim).await?.as_ref(), Some(&first.value));
    // A store with large time-outs keeps it for some minutes.
    fixture.advance(Duration::from_secs(1_200));
    check_eq!(fixture.other.take(&first.key, claim).await?, Some(second.value));
    check_eq!(fixture.cache.put(&first).await?, Put::Stored);
    check_eq!(fixture.other.take(&first.key, RequestId::generate()).await?, None);
    Ok(())
}

async fn a_value_is_for_its_service_only(fixture: Fixture) -> Verdict {
    let item = item(&fixture, "value");
    fixture.cache.put(&item).await?;
    check_eq!(fixture.cache.take(&item.key, RequestId::generate()).await?, None);
    check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, Some(item.value));
    Ok(())
}

async fn a_service_can_hand_to_itself(fixture: Fixture) -> Verdict {
    let mut item = item(&fixture, "value");
    item.to = fixture.service.clone();
    fixture.cache.put(&item).await?;
    check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, None);
    check_eq!(fixture.cache.take(&item.key, RequestId::generate()).await?, Some(item.value));
    Ok(())
}

async fn a_value_is_over_after_its_time(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let (short, claim) = (fixture.key("short"), RequestId::generate());
    fixture.cache.put(&HandoffItem::new(fixture.other_service.clone(), short.clone(), "value", ttl_ms(50))).await?;
    while fixture.other.take(&short, claim).await?.is_some() {
        look_again().await;
    }
    check_eq!(fixture.other.take(&short, RequestId::generate()).await?, None);
    Ok(())
}

async fn a_take_does_not_prolong_the_time(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let (key, claim) = (fixture.key("key"), RequestId::generate());
    fixture.cache.put(&HandoffItem::new(fixture.other_service.clone(), key.clone(), "value", ttl_ms(100))).await?;
    while fixture.other.take(&key, claim).await?.is_some() {
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn one_of_many_takes_it(fixture: Fixture) -> Verdict {
    let item = item(&fixture, "value");
    fixture.cache.put(&item).await?;
    let mut claims = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (other, key) = (std::sync::Arc::clone(&fixture.other), item.key.clone());
        claims.spawn(async move { other.take(&key, RequestId::generate()).await });
    }
    let mut taken = 0;
    while let Some(answer) = claims.join_next().await {
        taken += usize::from(answer??.is_some());
    }
    check_eq!(taken, 1);
    Ok(())
}

async fn any_bytes_are_a_value(fixture: Fixture) -> Verdict {
    let values: [Vec<u8>; 4] = [Vec::new(), (0..=255).collect(), vec![0; 33], vec![1; 1 << 20]];
    for (number, value) in values.into_iter().map(Bytes::from).enumerate() {
        let key = fixture.key(&number.to_string());
        let item = HandoffItem::new(fixture.other_service.clone(), key.clone(), value.clone(), LONG);
        fixture.cache.put(&item).await?;
        check_eq!(fixture.other.take(&key, RequestId::generate()).await?, Some(value));
    }
    Ok(())
}
