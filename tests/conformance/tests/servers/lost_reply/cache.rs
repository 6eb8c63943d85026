//! The writes of the cache store, and idempotency keys in both roles.

use std::time::Duration;

use bytes::Bytes;
use store_core::{
    Begun, Entry, Fingerprint, Finished, HandoffItem, Idempotency, IdempotentRequest, KeyValueExt, Op, Put, Rate,
    RateCheck, RequestId, SetIfAbsent, Ttl,
};

use super::World;

const TTL: Ttl = Ttl::from_secs(600);

fn entry(world: &World, what: &str) -> Entry {
    Entry::new(world.key(what), what.as_bytes().to_vec(), TTL)
}

pub(super) async fn set_many(world: World) {
    let cache = &world.stores.cache;
    let entries = [entry(&world, "a"), entry(&world, "b"), entry(&world, "c")];
    world.lost(cache.set_many(&entries)).await.unwrap();
    world.lost(cache.set_many(&entries[..1])).await.unwrap();
    for entry in entries {
        assert_eq!(cache.get(&entry.key).await.unwrap(), Some(entry.value));
    }
}

pub(super) async fn set_if_absent(world: World) {
    let cache = &world.stores.cache;
    let (mine, request) = (entry(&world, "a"), RequestId::generate());
    assert_eq!(world.lost(cache.set_if_absent(&mine, request)).await.unwrap(), SetIfAbsent::Stored);
    let present = world.lost(cache.set_if_absent(&mine, RequestId::generate())).await.unwrap();
    assert_eq!(present, SetIfAbsent::Present(mine.value));
}

pub(super) async fn delete_many(world: World) {
    let cache = &world.stores.cache;
    cache.set_many(&[entry(&world, "a"), entry(&world, "b"), entry(&world, "c")]).await.unwrap();
    world.lost(cache.delete_many(&[world.key("a"), world.key("b")])).await.unwrap();
    let keys = ["a", "b", "c"].map(|what| world.key(what));
    assert_eq!(cache.get_many(&keys).await.unwrap(), [None, None, Some(Bytes::from("c"))]);
}

pub(super) async fn delete_if(world: World) {
    let cache = &world.stores.cache;
    cache.set_many(&[entry(&world, "a"), entry(&world, "b")]).await.unwrap();
    world.lost(cache.delete_if(&world.key("a"), &Bytes::from("a"))).await.unwrap();
    assert!(!world.lost(cache.delete_if(&world.key("b"), &Bytes::from("other"))).await.unwrap());
    let keys = ["a", "b"].map(|what| world.key(what));
    assert_eq!(cache.get_many(&keys).await.unwrap(), [None, Some(Bytes::from("b"))]);
}

pub(super) async fn add(world: World) {
    let (cache, key) = (&world.stores.cache, world.key("a"));
    world.never_repeated(Op::KeyValueAdd, cache.add(&key, 5, TTL)).await;
    assert_eq!(cache.add(&key, 0, TTL).await.unwrap(), 5);
}

pub(super) async fn check(world: World) {
    let cache = &world.stores.cache;
    let day = Duration::from_secs(86400);
    let checks = [
        RateCheck::new(world.key("a"), Rate::Gcra { count: 1, period: day, burst: 10 }).with_cost(3),
        RateCheck::new(world.key("b"), Rate::FixedWindow { count: 10, window: day }).with_cost(4),
    ];
    world.never_repeated(Op::RateLimitCheck, cache.check(&checks)).await;
    let look = checks.map(|check| check.with_cost(0));
    let remaining: Vec<u32> = cache.check(&look).await.unwrap().limits.iter().map(|limit| limit.remaining).collect();
    assert_eq!(remaining, [7, 6]);
}

pub(super) async fn reset(world: World) {
    let cache = &world.stores.cache;
    let check = RateCheck::new(world.key("a"), Rate::FixedWindow { count: 1, window: Duration::from_secs(86400) });
    assert!(cache.check(std::slice::from_ref(&check)).await.unwrap().allowed);
    world.lost(cache.reset(&[world.key("a")])).await.unwrap();
    assert!(cache.check(std::slice::from_ref(&check)).await.unwrap().allowed);
    assert!(!cache.check(&[check]).await.unwrap().allowed);
}

fn request(world: &World) -> IdempotentRequest {
    IdempotentRequest::new(world.key("request"), Fingerprint::new([1; 32]))
}

fn roles(world: &World) -> [&dyn Idempotency; 2] {
    [world.stores.cache.as_ref(), world.stores.state.as_ref()]
}

pub(super) async fn begin(world: World) {
    for store in roles(&world) {
        let mine = request(&world);
        assert_eq!(world.lost(store.begin(&mine, TTL)).await.unwrap(), Begun::Started);
        assert!(matches!(store.begin(&request(&world), TTL).await.unwrap(), Begun::InProgress { .. }));
        assert_eq!(store.finish(&mine, &Bytes::from("mine"), TTL).await.unwrap(), Finished::Stored);
    }
}

pub(super) async fn prolong(world: World) {
    for store in roles(&world) {
        let (mine, since) = (request(&world), world.clock.now());
        store.begin(&mine, Ttl::from_secs(10)).await.unwrap();
        assert!(world.lost(store.prolong(&mine, TTL)).await.unwrap());
        let told = store.begin(&request(&world), TTL).await.unwrap();
        assert_eq!(told, Begun::InProgress { since, retry_after: TTL.as_duration() });
        assert!(!world.lost(store.prolong(&request(&world), TTL)).await.unwrap());
    }
}

pub(super) async fn finish(world: World) {
    for store in roles(&world) {
        let mine = request(&world);
        store.begin(&mine, TTL).await.unwrap();
        assert_eq!(world.lost(store.finish(&mine, &Bytes::from("mine"), TTL)).await.unwrap(), Finished::Stored);
        let told = store.begin(&request(&world), TTL).await.unwrap();
        assert!(told == Begun::Finished(Bytes::from("mine")), "{told:?}");
    }
}

pub(super) async fn abandon(world: World) {
    for store in roles(&world) {
        let mine = request(&world);
        store.begin(&mine, TTL).await.unwrap();
        world.lost(store.abandon(&mine)).await.unwrap();
        let other = request(&world);
        assert_eq!(store.begin(&other, TTL).await.unwrap(), Begun::Started);
        assert!(!world.lost(store.abandon(&mine)).await.unwrap());
        assert!(matches!(store.begin(&mine, TTL).await.unwrap(), Begun::InProgress { .. }));
    }
}

fn item(world: &World, value: &'static str) -> HandoffItem {
    HandoffItem::new(world.stores.other_service.clone(), world.key("item"), value, TTL)
}

pub(super) async fn put(world: World) {
    let (cache, other) = (&world.stores.cache, &world.stores.other);
    let mine = item(&world, "mine");
    assert_eq!(world.lost(cache.put(&mine)).await.unwrap(), Put::Stored);
    assert_eq!(world.lost(cache.put(&item(&world, "second"))).await.unwrap(), Put::Occupied);
    assert_eq!(other.take(&mine.key, RequestId::generate()).await.unwrap(), Some(mine.value));
    assert_eq!(other.take(&mine.key, RequestId::generate()).await.unwrap(), None);
}

pub(super) async fn take(world: World) {
    let other = &world.stores.other;
    let mine = item(&world, "mine");
    world.stores.cache.put(&mine).await.unwrap();
    let taken = world.lost(other.take(&mine.key, RequestId::generate())).await.unwrap();
    assert_eq!(taken, Some(mine.value));
    assert_eq!(other.take(&mine.key, RequestId::generate()).await.unwrap(), None);
}
