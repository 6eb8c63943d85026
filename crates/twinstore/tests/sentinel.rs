//! Both stores on primaries that sentinels report, through failovers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod working;

use std::collections::BTreeSet;

use testkit::{DEADLINE, RedisServer, Sentinels, wait_until};
use twinstore::prelude::*;

use working::{Mail, works_through};

fn url(sentinels: &Sentinels) -> String {
    let hosts: Vec<_> = sentinels.addresses().iter().map(ToString::to_string).collect();
    format!("redis-sentinel://{}/{}", hosts.join(","), sentinels.name())
}

/// What a replica has acknowledged survives the death of the primary: the sentinels promote the replica that received most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_job_is_lost_when_both_primaries_die() {
    let start = |data| async { Sentinels::builder().data(data).start().await.unwrap() };
    let (caches, states) = tokio::join!(start(RedisServer::cache()), start(RedisServer::state()));
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", url(&caches)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", url(&states)),
        ("REDIS_STATE_MIN_REPLICAS", "1".to_owned()),
    ]);
    let stores = Stores::open(&environment).await.unwrap();
    works_through(&stores, async || {
        for sentinels in [&states, &caches] {
            let old = sentinels.primary().await;
            old.kill().await;
            sentinels.wait_for_failover(old).await;
        }
    })
    .await;
    let key = Key::new("price").unwrap();
    wait_until("the cache is back", DEADLINE, async || stores.cache().key_value().get(&key).await.is_ok()).await;
    stores.close().await;
}

/// The preflight checks the primary. After a failover, another server is the primary: it evicts data, and is marked as a cache. That
/// the cache is down does not matter.
#[tokio::test]
async fn a_wrong_server_that_becomes_the_primary_makes_a_pod_unready_until_it_is_corrected() {
    let start = |data| async { Sentinels::builder().data(data).start().await.unwrap() };
    let (cache, states) = tokio::join!(RedisServer::cache().start(), start(RedisServer::state()));
    let cache = cache.unwrap();
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", cache.url(None)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", url(&states)),
    ]);
    let stores = Stores::open(&environment).await.unwrap();
    let first = states.primary().await.port();
    assert!(format!("{stores:?}").contains(&format!("primary 127.0.0.1:{first} of the service")), "{stores:?}");
    assert!(stores.health().await.is_ready());
    cache.kill().await;
    for replica in states.replicas().await {
        let settings = ["CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "replica-read-only", "no"];
        replica.command(&settings).await.unwrap();
        replica.command(&["SET", "twinstore:role", "cache"]).await.unwrap();
    }
    let primary = states.failover().await;
    wait_until("the pod is not ready", DEADLINE, async || {
        let health = stores.health().await;
        health.state.up && !health.is_ready()
    })
    .await;
    let wrong = stores.health().await.state.wrong;
    let codes: BTreeSet<_> = wrong.iter().map(|finding| finding.code.name()).collect();
    assert_eq!(codes, BTreeSet::from(["role-mismatch", "state-evicts"]), "{wrong:#?}");
    // The service continues.
    let queue = stores.state().queue_of::<Mail>();
    queue.push_one(queue.job(&Mail(1)).unwrap()).await.unwrap();
    primary.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await.unwrap();
    primary.command(&["SET", "twinstore:role", "state"]).await.unwrap();
    wait_until("the pod is ready", DEADLINE, async || stores.health().await.is_ready()).await;
    assert!(
        format!("{stores:?}").contains(&format!("primary 127.0.0.1:{} of the service", primary.port())),
        "{stores:?}"
    );
    stores.close().await;
}
