//! The cache store against real servers: behaviour that the conformance suite cannot observe.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod coalesced;
mod eviction;
mod key_value;
mod layouts;
mod lost_reply;
mod memory;
mod outages;
mod rate_limit;
mod retained;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use cache_store::{CacheOptions, CacheStore};
use redis_link::{Link, LinkConfig, ServerUrl};
use store_core::{
    Clock, Entry, Fingerprint, Handoff, HandoffItem, Idempotency, IdempotentRequest, Key, KeyValue, KeyValueExt, Rate,
    RateCheck, RateLimit, RequestId, ServiceName, Ttl,
};
use testkit::{DEADLINE, RedisServer, wait_until};

/// The database of the service in these tests; the shared one is 0.
const OWN: u32 = 1;
const MINUTE: Ttl = Ttl::from_secs(60);

fn key(text: impl AsRef<str>) -> Key {
    Key::new(text).unwrap()
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

fn request(name: &str) -> IdempotentRequest {
    IdempotentRequest::new(key(name), Fingerprint::of(name.as_bytes()))
}

fn item(to: &str, name: &str, value: &str) -> HandoffItem {
    HandoffItem::new(service(to), key(name), Bytes::copy_from_slice(value.as_bytes()), MINUTE)
}

fn entry(name: &str, value: &str) -> Entry {
    Entry::new(key(name), Bytes::copy_from_slice(value.as_bytes()), MINUTE)
}

fn per_minute(name: &str, count: u32) -> RateCheck {
    RateCheck::new(key(name), Rate::Gcra { count, period: Duration::from_secs(60), burst: count })
}

fn per_hour(name: &str, count: u32) -> RateCheck {
    RateCheck::new(key(name), Rate::FixedWindow { count, window: Duration::from_secs(3600) })
}

async fn link(url: &str) -> Link {
    link_within(url, Duration::from_secs(10)).await
}

async fn link_within(url: &str, command_timeout: Duration) -> Link {
    let config = LinkConfig::new(ServerUrl::parse(url).unwrap(), "tests:cache")
        .with_command_timeout(command_timeout)
        .with_max_retries(10);
    Link::connect(config).await.unwrap()
}

async fn server() -> RedisServer {
    RedisServer::cache().start().await.unwrap()
}

/// The store of service `billing` on this server.
async fn store(server: &RedisServer) -> CacheStore {
    store_with(server, "billing", OWN, Clock::Server).await
}

async fn store_with(server: &RedisServer, name: &str, database: u32, clock: Clock) -> CacheStore {
    let (own, shared) = (link(&server.url(Some(database))).await, link(&server.url(Some(0))).await);
    CacheStore::new(own, shared, service(name), CacheOptions::default().with_clock(clock))
}

/// Every operation once, so that the server knows every script.
async fn every_operation(store: &CacheStore, prefix: &str) {
    let name = |part: &str| format!("{prefix}{part}");
    let (one, two) = (entry(&name("a"), "1"), entry(&name("b"), "2"));
    store.set_many(std::slice::from_ref(&one)).await.unwrap();
    store.set_many(&[one.clone(), two.clone()]).await.unwrap();
    store.get_many(&[one.key.clone(), two.key.clone()]).await.unwrap();
    store.get(&one.key).await.unwrap();
    store.set_if_absent(&entry(&name("c"), "3"), RequestId::generate()).await.unwrap();
    store.delete_if(&one.key, &one.value).await.unwrap();
    store.delete_many(&[two.key]).await.unwrap();
    store.set_many(std::slice::from_ref(&one)).await.unwrap();
    store.add(&key(name("counter")), 5, MINUTE).await.unwrap();
    store.add(&key(name("counter")), -5, MINUTE).await.unwrap();
    let begun = request(&name("request"));
    store.begin(&begun, MINUTE).await.unwrap();
    store.begin(&request(&name("abandoned")), MINUTE).await.unwrap();
    store.abandon(&request(&name("abandoned"))).await.unwrap();
    store.begin(&request(&name("finished")), MINUTE).await.unwrap();
    store.finish(&request(&name("finished")), &Bytes::from_static(b"done"), MINUTE).await.unwrap();
    store.check(&[per_minute(&name("rate"), 5), per_hour(&name("window"), 5)]).await.unwrap();
    store.reset(&[key(name("no such limit"))]).await.unwrap();
    store.put(&item("billing", &name("waiting"), "value")).await.unwrap();
    store.put(&item("billing", &name("taken"), "value")).await.unwrap();
    store.take(&key(name("taken")), RequestId::generate()).await.unwrap().unwrap();
    store.put(&item("billing", &name("taken"), "next")).await.unwrap();
}

async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until(what, DEADLINE, condition).await;
}
