//! The operations of the cache store, with its `Idempotency`.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Begun, CacheRole, Entry, Fingerprint, Finished, HandoffItem, IdempotentRequest, Key, Op, Put, Rate, RateCheck,
    RequestId, ServiceName, SetIfAbsent, Ttl,
};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [
        Op::KeyValueGetMany,
        Op::KeyValueSetMany,
        Op::KeyValueSetIfAbsent,
        Op::KeyValueDeleteMany,
        Op::KeyValueDeleteIf,
        Op::KeyValueAdd,
        Op::IdempotencyBegin,
        Op::IdempotencyProlong,
        Op::IdempotencyFinish,
        Op::IdempotencyAbandon,
        Op::RateLimitCheck,
        Op::RateLimitReset,
        Op::HandoffPut,
        Op::HandoffTake,
    ];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let keys = numbers.map(|number| Ok(Key::new(format!("each-{number}"))?)).collect::<Result<Vec<Key>>>()?;
        match self.0 {
            Op::IdempotencyBegin | Op::IdempotencyProlong | Op::IdempotencyFinish | Op::IdempotencyAbandon => {
                carrying_out(self.0, &stores.cache, keys).await
            }
            Op::RateLimitCheck | Op::RateLimitReset => Ok(limiting(self.0, &stores.cache, keys)),
            Op::HandoffPut | Op::HandoffTake => handing_over(self.0, stores, keys).await,
            op => keeping(op, &stores.cache, keys).await,
        }
    }
}

fn ttl() -> Ttl {
    Ttl::from_secs(60)
}

/// 64 bytes.
fn value() -> Bytes {
    Bytes::from_static(&[b'x'; 64])
}

async fn keeping(op: Op, cache: &Arc<dyn CacheRole>, keys: Vec<Key>) -> Result<Vec<Call>> {
    if matches!(op, Op::KeyValueGetMany | Op::KeyValueDeleteMany | Op::KeyValueDeleteIf) {
        for some in keys.chunks(1000) {
            let entries: Vec<Entry> = some.iter().map(|key| Entry::new(key.clone(), value(), ttl())).collect();
            cache.set_many(&entries).await?;
        }
    }
    Ok(calls_for(cache, keys, move |cache, key| async move {
        let (keys, entry) = (std::slice::from_ref(&key), Entry::new(key.clone(), value(), ttl()));
        let holds = match op {
            Op::KeyValueGetMany => cache.get_many(keys).await?[0].is_some(),
            Op::KeyValueSetMany => cache.set_many(&[entry]).await.map(|()| true)?,
            Op::KeyValueSetIfAbsent => cache.set_if_absent(&entry, RequestId::generate()).await? == SetIfAbsent::Stored,
            Op::KeyValueDeleteMany => cache.delete_many(keys).await? == 1,
            Op::KeyValueDeleteIf => cache.delete_if(&key, &value()).await?,
            _ => cache.add(&key, 1, ttl()).await? == 1,
        };
        expect(holds, op)
    }))
}

async fn carrying_out(op: Op, cache: &Arc<dyn CacheRole>, keys: Vec<Key>) -> Result<Vec<Call>> {
    let requests: Vec<_> = keys.into_iter().map(|key| IdempotentRequest::new(key, Fingerprint::new([7; 32]))).collect();
    if op != Op::IdempotencyBegin {
        for request in &requests {
            cache.begin(request, ttl()).await?;
        }
    }
    Ok(calls_for(cache, requests, move |cache, request| async move {
        let holds = match op {
            Op::IdempotencyBegin => matches!(cache.begin(&request, ttl()).await?, Begun::Started),
            Op::IdempotencyProlong => cache.prolong(&request, ttl()).await?,
            Op::IdempotencyFinish => cache.finish(&request, &value(), ttl()).await? == Finished::Stored,
            _ => cache.abandon(&request).await?,
        };
        expect(holds, op)
    }))
}

fn limiting(op: Op, cache: &Arc<dyn CacheRole>, keys: Vec<Key>) -> Vec<Call> {
    calls_for(cache, keys, move |cache, key| async move {
        let holds = match op {
            Op::RateLimitCheck => cache.check(&[RateCheck::new(key, Rate::per_second(1000))]).await?.allowed,
            _ => cache.reset(&[key]).await.map(|()| true)?,
        };
        expect(holds, op)
    })
}

async fn handing_over(op: Op, stores: &Stores, keys: Vec<Key>) -> Result<Vec<Call>> {
    let to = ServiceName::new("receiver")?;
    let items = keys.into_iter().map(|key| HandoffItem::new(to.clone(), key, value(), ttl()));
    let items: Vec<HandoffItem> = items.collect();
    if op == Op::HandoffPut {
        return Ok(calls_for(&stores.cache, items, move |cache, item| async move {
            expect(cache.put(&item).await? == Put::Stored, op)
        }));
    }
    for item in &items {
        stores.cache.put(item).await?;
    }
    Ok(calls_for(&stores.receiver, items, move |cache, item| async move {
        expect(cache.take(&item.key, RequestId::generate()).await?.is_some(), op)
    }))
}
