//! The health of both stores, while servers die, stop and return.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod service;

use std::time::{Duration, Instant};

use testkit::{DEADLINE, RedisServer, wait_until};
use twinstore::health::{Health, Pressure};
use twinstore::prelude::*;
use twinstore::{ErrorKind, Role};

/// Both servers, and stores with a command time-out that is longer than the limit of a check.
async fn stores(command_timeout: &str) -> (RedisServer, RedisServer, Stores) {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let more = [("REDIS_CACHE_COMMAND_TIMEOUT", command_timeout), ("REDIS_STATE_COMMAND_TIMEOUT", command_timeout)];
    let environment = service::environment(&cache, &state, &more);
    let stores = Stores::open(&environment).await.unwrap();
    (cache, state, stores)
}

/// The health, which is returned within the limit whatever the servers do.
async fn checked(stores: &Stores) -> Health {
    let started = Instant::now();
    let health = stores.health().await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    health
}

async fn until(what: &str, stores: &Stores, mut condition: impl FnMut(&Health) -> bool) -> Health {
    wait_until(what, DEADLINE, async || condition(&checked(stores).await)).await;
    checked(stores).await
}

#[tokio::test]
async fn a_cache_that_is_down_leaves_a_pod_ready_and_is_reported_with_its_time_and_error() {
    for is_killed in [true, false] {
        let (cache, _state, stores) = stores("30s").await;
        let before = checked(&stores).await;
        assert!(before.is_ready() && before.cache.up && before.cache.last_error.is_none(), "{before:?}");
        assert!(before.cache.latency.is_some() && before.cache.pressure == Pressure::Unknown);

        if is_killed {
            cache.kill().await
        } else {
            cache.pause().unwrap()
        }
        let down = until("the cache is down", &stores, |health| !health.cache.up).await;
        assert!(down.is_ready() && down.state.up && down.state.since == before.state.since, "{down:?}");
        assert!(down.cache.since >= before.cache.since && down.cache.latency.is_none());
        let error = down.of(Role::Cache).last_error.clone().unwrap();
        assert!(
            [ErrorKind::Unavailable, ErrorKind::Indeterminate].contains(&error.kind) && error.at >= down.cache.since,
            "{error:?}"
        );
        let again = checked(&stores).await;
        assert_eq!((again.cache.up, again.cache.since), (false, down.cache.since), "down since the first check");

        if is_killed {
            cache.start_again().await.unwrap()
        } else {
            cache.resume().unwrap()
        }
        let up = until("the cache is up", &stores, |health| health.cache.up).await;
        assert!(up.cache.since >= down.cache.since && up.cache.last_error.is_some(), "{up:?}");
    }
}

#[tokio::test]
async fn a_state_store_that_is_down_makes_a_pod_unready_until_it_answers_again() {
    for is_killed in [true, false] {
        let (_cache, state, stores) = stores("30s").await;
        if is_killed {
            state.kill().await
        } else {
            state.pause().unwrap()
        }
        let down = until("the state store is down", &stores, |health| !health.state.up).await;
        assert!(!down.is_ready() && down.cache.up && down.state.last_error.is_some(), "{down:?}");
        if is_killed {
            state.start_again().await.unwrap()
        } else {
            state.resume().unwrap()
        }
        until("the pod is ready", &stores, Health::is_ready).await;
    }
}

#[tokio::test]
async fn an_open_breaker_does_not_hide_that_the_cache_answers_again() {
    let (cache, _state, stores) = stores("50ms").await;
    cache.pause().unwrap();
    let key = Key::new("price").unwrap();
    let is_open = async || {
        let started = Instant::now();
        stores.cache().key_value().get(&key).await.is_err() && started.elapsed() < Duration::from_millis(20)
    };
    wait_until("the breaker is open", DEADLINE, is_open).await;
    assert!(!checked(&stores).await.cache.up);
    cache.resume().unwrap();
    until("the cache is up", &stores, |health| health.cache.up).await;
}

#[tokio::test]
async fn an_embedded_store_is_up_until_it_is_closed_or_its_file_is_moved() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let open = async |state: String| {
        let environment = Environment::from_variables([
            ("SERVICE_NAME", "billing".to_owned()),
            ("REDIS_CONN_BASE_URL", "embedded:".to_owned()),
            ("REDIS_WORKERCACHE_CONN_URL", state),
        ]);
        Stores::open(&environment).await.unwrap()
    };
    let stores = open(format!("embedded:{}", file.display())).await;
    assert!(checked(&stores).await.is_ready());
    std::fs::rename(&file, folder.path().join("elsewhere.redb")).unwrap();
    let moved = checked(&stores).await;
    assert!(!moved.is_ready() && moved.cache.up, "{moved:?}");
    std::fs::rename(folder.path().join("elsewhere.redb"), &file).unwrap();
    assert!(checked(&stores).await.is_ready());

    let in_memory = open("embedded:".to_owned()).await;
    assert!(checked(&in_memory).await.is_ready());
    in_memory.close().await;
    let closed = checked(&in_memory).await;
    assert!(!closed.cache.up && !closed.state.up, "{closed:?}");
}

#[tokio::test]
async fn health_is_a_body_for_a_probe_without_secrets() {
    let (cache, state) =
        tokio::join!(RedisServer::cache().password("canary").start(), RedisServer::state().password("canary").start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let environment = service::environment(&cache, &state, &[]);
    let stores = Stores::open(&environment).await.unwrap();
    state.kill().await;
    let down = until("the state store is down", &stores, |health| !health.state.up).await;
    let json = serde_json::to_value(&down).unwrap();
    assert_eq!((&json["cache"]["up"], &json["state"]["up"]), (&true.into(), &false.into()));
    assert!(json["cache"]["latency_ms"].is_number() && json["state"]["latency_ms"].is_null(), "{json}");
    assert!(json["state"]["since_ms"].is_u64() && json["state"]["last_error"]["text"].is_string(), "{json}");
    assert_eq!((&json["cache"]["pressure"], &json["state"]["pressure"]), (&"unknown".into(), &"normal".into()));
    assert!(!format!("{down:?} {json}").contains("canary"));
}
