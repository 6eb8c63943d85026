//! The writes of the cache store.

use std::time::Duration;

use bytes::Bytes;
use store_core::{
    Begun, Entry, HandoffItem, Idempotency, KeyValueExt, Put, Rate, RateCheck, RequestId, SetIfAbsent, Ttl,
};

use super::{World, never_repeated, state};

const TTL: Ttl = Ttl::from_secs(600);

fn entry(world: &World, value: &'static str) -> Entry {
    Entry::new(world.key("a"), value, TTL)
}

async fn stored(world: &World) -> Option<Bytes> {
    world.stores.cache.get(&world.key("a")).await.unwrap()
}

pub(super) async fn set_then_set(world: World) {
    world.held(world.stores.cache.set_many(&[entry(&world, "old")])).await;
    world.stores.cache.set_many(&[entry(&world, "new")]).await.unwrap();
    world.arrives().await;
    assert_eq!(stored(&world).await, Some(Bytes::from("new")));
}

pub(super) async fn several_set_then_set(world: World) {
    let beside = Entry::new(world.key("b"), "beside", TTL);
    world.held(world.stores.cache.set_many(&[entry(&world, "old"), beside])).await;
    world.stores.cache.set_many(&[entry(&world, "new")]).await.unwrap();
    world.arrives().await;
    assert_eq!(stored(&world).await, Some(Bytes::from("new")));
}

pub(super) async fn set_then_delete(world: World) {
    world.held(world.stores.cache.set_many(&[entry(&world, "old")])).await;
    world.stores.cache.delete_many(&[world.key("a")]).await.unwrap();
    world.arrives().await;
    assert_eq!(stored(&world).await, None);
}

pub(super) async fn set_if_absent_then_delete(world: World) {
    let old = entry(&world, "old");
    assert_eq!(world.held(world.stores.cache.set_if_absent(&old, RequestId::generate())).await, SetIfAbsent::Stored);
    world.stores.cache.delete_many(&[world.key("a")]).await.unwrap();
    world.arrives().await;
    assert_eq!(stored(&world).await, None);
}

pub(super) async fn delete_then_set(world: World) {
    world.stores.cache.set_many(&[entry(&world, "old")]).await.unwrap();
    world.held(world.stores.cache.delete_many(&[world.key("a")])).await;
    world.stores.cache.set_many(&[entry(&world, "new")]).await.unwrap();
    world.arrives().await;
    assert_eq!(stored(&world).await, Some(Bytes::from("new")));
}

pub(super) async fn delete_if_then_set(world: World) {
    world.stores.cache.set_many(&[entry(&world, "value")]).await.unwrap();
    world.held(world.stores.cache.delete_if(&world.key("a"), &Bytes::from("value"))).await;
    world.stores.cache.set_many(&[entry(&world, "value")]).await.unwrap();
    world.arrives().await;
    assert_eq!(stored(&world).await, Some(Bytes::from("value")));
}

pub(super) async fn begin_then_abandon(world: World) {
    state::begins_then_abandons(&world, world.stores.cache.as_ref()).await;
}

pub(super) async fn finish_then_begin(world: World) {
    state::finishes_then_begins(&world, world.stores.cache.as_ref()).await;
}

pub(super) async fn prolong_then_prolong(world: World) {
    prolongs_then_prolongs(&world, world.stores.cache.as_ref()).await;
}

pub(super) async fn prolong_then_prolong_in_the_state(world: World) {
    prolongs_then_prolongs(&world, world.stores.state.as_ref()).await;
}

/// Sets a value for a minute, then for an hour: the late copy does not shorten the hour.
async fn prolongs_then_prolongs(world: &World, store: &dyn Idempotency) {
    let (mine, other) = (state::request(world), state::request(world));
    assert_eq!(store.begin(&mine, Ttl::from_secs(3600)).await.unwrap(), Begun::Started);
    assert!(world.held(store.prolong(&mine, Ttl::from_secs(60))).await);
    assert!(store.prolong(&mine, Ttl::from_secs(3600)).await.unwrap());
    world.arrives().await;
    let begun = store.begin(&other, TTL).await.unwrap();
    let Begun::InProgress { retry_after, .. } = begun else { panic!("{begun:?}") };
    assert!(retry_after > Duration::from_secs(1800), "{retry_after:?}");
}

pub(super) async fn abandon_then_begin(world: World) {
    state::abandons_then_begins(&world, world.stores.cache.as_ref()).await;
}

pub(super) async fn reset_then_check(world: World) {
    let cache = &world.stores.cache;
    let check = RateCheck::new(world.key("a"), Rate::FixedWindow { count: 1, window: Duration::from_secs(86400) });
    world.held(cache.reset(&[world.key("a")])).await;
    let checks = [check];
    assert!(never_repeated(|| cache.check(&checks)).await.allowed);
    world.arrives().await;
    assert!(!never_repeated(|| cache.check(&checks)).await.allowed);
}

fn item(world: &World, value: &'static str) -> HandoffItem {
    HandoffItem::new(world.stores.other_service.clone(), world.key("item"), value, TTL)
}

async fn taken(world: &World) -> Option<Bytes> {
    world.stores.other.take(&world.key("item"), RequestId::generate()).await.unwrap()
}

pub(super) async fn put_then_take(world: World) {
    assert_eq!(world.held(world.stores.cache.put(&item(&world, "first"))).await, Put::Stored);
    assert_eq!(taken(&world).await, Some(Bytes::from("first")));
    world.arrives().await;
    assert_eq!(taken(&world).await, None);
}

pub(super) async fn put_then_take_and_put(world: World) {
    assert_eq!(world.held(world.stores.cache.put(&item(&world, "first"))).await, Put::Stored);
    assert_eq!(taken(&world).await, Some(Bytes::from("first")));
    assert_eq!(world.stores.cache.put(&item(&world, "second")).await.unwrap(), Put::Stored);
    assert_eq!(taken(&world).await, Some(Bytes::from("second")));
    world.arrives().await;
    assert_eq!(taken(&world).await, None);
}

pub(super) async fn take_then_put(world: World) {
    world.stores.cache.put(&item(&world, "first")).await.unwrap();
    let (key, claim) = (world.key("item"), RequestId::generate());
    assert_eq!(world.held(world.stores.other.take(&key, claim)).await, Some(Bytes::from("first")));
    assert_eq!(world.stores.cache.put(&item(&world, "second")).await.unwrap(), Put::Stored);
    world.arrives().await;
    assert_eq!(taken(&world).await, Some(Bytes::from("second")));
}
