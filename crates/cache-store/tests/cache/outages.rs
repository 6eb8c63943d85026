//! If the cache does not answer, its callers fail fast.

use std::time::{Duration, Instant};

use cache_store::{CacheOptions, CacheStore};
use redis_link::{Link, LinkConfig, ServerUrl};
use store_core::{Handoff, Idempotency, KeyValue, KeyValueExt, RateLimit, RequestId};
use testkit::{DEADLINE, RedisServer, wait_until};

use crate::{MINUTE, OWN, entry, item, key, per_minute, request, server, service};

async fn link(server: &RedisServer, database: u32) -> Link {
    let config = LinkConfig::new(ServerUrl::parse(&server.url(Some(database))).unwrap(), "tests:cache");
    let config = config.with_command_timeout(Duration::from_millis(50)).with_breaker(5, Duration::from_secs(60));
    Link::connect(config).await.unwrap()
}

#[tokio::test]
async fn every_capability_fails_immediately_while_the_breaker_is_open() {
    let server = server().await;
    let store =
        CacheStore::new(link(&server, OWN).await, link(&server, 0).await, service("billing"), CacheOptions::default());
    server.pause().unwrap();
    // Hand-offs have a link, and a breaker, of their own.
    let is_refused = |error: store_core::Error| error.to_string().contains("sent again after a pause");
    let is_open = async || {
        store.get(&key("x")).await.is_err_and(is_refused)
            && store.put(&item("billing", "x", "y")).await.is_err_and(is_refused)
    };
    wait_until("the breaker is open", DEADLINE, is_open).await;
    let mut times = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        store.get(&key("x")).await.unwrap_err();
        store.set_many(&[entry("x", "y")]).await.unwrap_err();
        store.add(&key("x"), 1, MINUTE).await.unwrap_err();
        store.check(&[per_minute("x", 1)]).await.unwrap_err();
        store.begin(&request("x"), MINUTE).await.unwrap_err();
        store.put(&item("billing", "x", "y")).await.unwrap_err();
        store.take(&key("x"), RequestId::generate()).await.unwrap_err();
        times.push(started.elapsed() / 7);
    }
    times.sort();
    assert!(times[10] < Duration::from_millis(5), "{times:?}");
    server.resume().unwrap();
}
