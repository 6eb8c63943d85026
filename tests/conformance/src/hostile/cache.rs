//! Hostile texts as values, keys and responses of the cache store.

use std::sync::Arc;

use bytes::Bytes;
use store_core::{
    Begun, Entry, Fingerprint, Finished, HandoffItem, Idempotency, IdempotentRequest, Key, Put, Rate, RateCheck,
    RequestId, SetIfAbsent, Ttl,
};

use super::Texts;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq};

const TTL: Ttl = Ttl::from_secs(60);

/// Every operation of the cache store, several times.
pub(super) async fn play(fixture: Arc<Fixture>, texts: Texts) -> Verdict {
    for _ in 0..5 {
        values(&fixture, &texts).await?;
        counts(&fixture, &texts).await?;
        handoff(&fixture, &texts).await?;
        idempotency(fixture.cache.as_ref(), &fixture.key(&texts.own(0)), texts.bytes(0), TTL).await?;
    }
    Ok(())
}

async fn values(fixture: &Fixture, texts: &Texts) -> Verdict {
    // three and four values: the lengths of the frames that they imitate
    for many in [1, 3, 4, 5] {
        let keys: Vec<Key> = (0..many).map(|index| fixture.key(&texts.own(index))).collect();
        let entries: Vec<Entry> =
            keys.iter().enumerate().map(|(index, key)| Entry::new(key.clone(), texts.bytes(index), TTL)).collect();
        fixture.cache.set_many(&entries).await?;
        let expected: Vec<Option<Bytes>> = entries.iter().map(|entry| Some(entry.value.clone())).collect();
        check_eq!(fixture.cache.get_many(&keys).await?, expected);
        let present = fixture.cache.set_if_absent(&entries[0], RequestId::generate()).await?;
        check_eq!(present, SetIfAbsent::Present(texts.bytes(0)));
        check!(!fixture.cache.delete_if(&keys[0], &texts.bytes(1)).await?);
        check!(fixture.cache.delete_if(&keys[0], &texts.bytes(0)).await?);
        check_eq!(fixture.cache.set_if_absent(&entries[0], RequestId::generate()).await?, SetIfAbsent::Stored);
        check_eq!(fixture.cache.delete_many(&keys).await?, many as u64);
    }
    Ok(())
}

async fn counts(fixture: &Fixture, texts: &Texts) -> Verdict {
    let key = fixture.key(&texts.own(0));
    let (task, rate) = (texts.task as i64, Rate::FixedWindow { count: 100 + texts.task as u32, window: secs(60) });
    check_eq!(fixture.cache.add(&key, task, TTL).await?, task);
    fixture.cache.delete_many(std::slice::from_ref(&key)).await?;
    let decision = fixture.cache.check(&[RateCheck::new(key.clone(), rate)]).await?;
    check_eq!(decision.limits[0].remaining, 99 + texts.task as u32);
    fixture.cache.reset(&[key]).await?;
    Ok(())
}

async fn handoff(fixture: &Fixture, texts: &Texts) -> Verdict {
    let item = HandoffItem::new(fixture.other_service.clone(), fixture.key(&texts.own(0)), texts.bytes(2), TTL);
    check_eq!(fixture.cache.put(&item).await?, Put::Stored);
    check_eq!(fixture.other.take(&item.key, RequestId::generate()).await?, Some(texts.bytes(2)));
    Ok(())
}

/// A request with a hostile response, in either role.
pub(super) async fn idempotency<I: Idempotency + ?Sized>(store: &I, key: &Key, response: Bytes, keep: Ttl) -> Verdict {
    let request = IdempotentRequest::new(key.clone(), Fingerprint::new([b'm'; 32]));
    match store.begin(&request, keep).await? {
        Begun::Started => {
            let abandoned = store.abandon(&request).await?;
            check!(abandoned && store.begin(&request, keep).await? == Begun::Started, "the key was not free");
            check_eq!(store.finish(&request, &response, keep).await?, Finished::Stored);
        }
        begun => check_eq!(begun, Begun::Finished(response.clone())),
    }
    check_eq!(store.begin(&request, keep).await?, Begun::Finished(response));
    Ok(())
}
