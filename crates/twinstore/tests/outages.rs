//! One of the two stores is away.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod service;

use std::time::{Duration, Instant};

use testkit::{DEADLINE, RedisServer, wait_until};
use twinstore::prelude::*;

async fn stores() -> (RedisServer, RedisServer, Stores) {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let more = [
        ("REDIS_CACHE_COMMAND_TIMEOUT", "100ms"),
        ("REDIS_STATE_COMMAND_TIMEOUT", "200ms"),
        ("REDIS_STATE_MAX_RETRIES", "0"),
    ];
    let environment = service::environment(&cache, &state, &more);
    let stores = Stores::open(&environment).await.unwrap();
    (cache, state, stores)
}

/// A caller who reads the cache before the source of the data waits for no dead cache, whether it is gone or silent.
#[tokio::test]
async fn a_dead_cache_costs_nothing() {
    for is_killed in [true, false] {
        let (cache, _state, stores) = stores().await;
        if is_killed {
            cache.kill().await
        } else {
            cache.pause().unwrap()
        }
        let key = Key::new("price").unwrap();
        let mut times = Vec::new();
        let is_fast = async || {
            let started = Instant::now();
            stores.cache().key_value().get(&key).await.unwrap_err();
            times.push(started.elapsed());
            let last = &times[times.len().saturating_sub(50)..];
            let mut last = last.to_vec();
            last.sort();
            last.len() == 50 && last[25] < Duration::from_millis(5)
        };
        wait_until("the dead cache is known", DEADLINE, is_fast).await;
        if is_killed {
            cache.start_again().await.unwrap()
        } else {
            cache.resume().unwrap()
        }
        let is_back = async || stores.cache().key_value().get(&key).await.is_ok();
        wait_until("the cache is back", DEADLINE, is_back).await;
    }
}
