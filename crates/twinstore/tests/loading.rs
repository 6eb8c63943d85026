//! Get-or-load on a real server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cache_store::{CacheOptions, CacheStore};
use redis_link::{Link, LinkConfig, ServerUrl};
use store_core::{HandleName, Key, ServiceName, Ttl};
use testkit::{DEADLINE, RedisServer, wait_until};
use twinstore::cache::{FleetLock, Loading, LoadingOptions};

/// The database of the service in these tests; the shared one is 0.
const OWN: u32 = 1;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

async fn server() -> RedisServer {
    RedisServer::cache().start().await.unwrap()
}

/// The store of service `billing` on this server.
async fn store(server: &RedisServer) -> CacheStore {
    let link = async |database| {
        let url = ServerUrl::parse(&server.url(Some(database))).unwrap();
        Link::connect(LinkConfig::new(url, "tests:cache").with_command_timeout(Duration::from_secs(10))).await.unwrap()
    };
    CacheStore::new(link(OWN).await, link(0).await, ServiceName::new("billing").unwrap(), CacheOptions::default())
}

async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until(what, DEADLINE, condition).await;
}

fn named() -> HandleName {
    HandleName::new("numbers").unwrap()
}

fn options() -> LoadingOptions {
    LoadingOptions::new(Ttl::from_secs(60)).with_eagerness(0.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_loader_runs_in_the_fleet() {
    let server = server().await;
    let lock = FleetLock { held_for: Ttl::from_secs(60), wait: Duration::from_secs(60) };
    let (loads, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut asking = Vec::new();
    for _ in 0..4 {
        // each with connections of its own, as four processes would
        let process = Loading::<u64>::new(Arc::new(store(&server).await), named(), options().with_fleet_lock(lock));
        asking.extend((0..25).map(|_| {
            let (process, loads, asked) = (process.clone(), loads.clone(), asked.clone());
            tokio::spawn(async move {
                asked.fetch_add(1, Ordering::SeqCst);
                let loader = async move || {
                    while asked.load(Ordering::SeqCst) < 100 {
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, io::Error>(loads.fetch_add(1, Ordering::SeqCst) as u64)
                };
                process.get_or_load(&key("k"), loader).await.unwrap().value
            })
        }));
    }
    for task in asking {
        assert_eq!(task.await.unwrap(), 0);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    eventually("the lock is given back", async || {
        let exists = server.command_in(OWN, &["EXISTS", "value:{loading-lock.numbers}:k"]).await;
        exists.unwrap().as_integer() == Some(0)
    })
    .await;
}

#[tokio::test]
async fn a_value_is_kept_as_long_as_it_is_fresh_and_may_be_stale() {
    let server = server().await;
    let options = options().with_stale_for(Duration::from_secs(3600));
    let loading = Loading::<u64>::new(Arc::new(store(&server).await), named(), options);
    assert_eq!(loading.get_or_load(&key("k"), || async { Ok::<_, io::Error>(7) }).await.unwrap().value, 7);
    let ttl =
        async || server.command_in(OWN, &["PTTL", "value:{loading.numbers}:k"]).await.unwrap().as_integer().unwrap();
    eventually("it is stored", async || ttl().await > 0).await;
    assert!((3_600_000..=3_660_000).contains(&ttl().await));
    let kept = loading.get_or_load(&key("k"), || async { Err(io::Error::other("not asked")) }).await.unwrap();
    assert!(kept.value == 7 && !kept.is_stale());
}

#[tokio::test]
async fn a_server_that_is_down_is_a_miss_until_it_is_back() {
    let server = server().await;
    let options = options().with_pause(1, Duration::from_millis(100));
    let loading = Loading::<u64>::new(Arc::new(store(&server).await), named(), options);
    server.kill().await;
    for number in 0..20 {
        let loaded = loading.get_or_load(&key("k"), async move || Ok::<_, io::Error>(number)).await;
        assert_eq!(loaded.unwrap().value, number);
    }
    server.start_again().await.unwrap();
    eventually("it is kept again", async || {
        loading.get_or_load(&key("k"), || async { Ok::<_, io::Error>(99) }).await.unwrap();
        server.command_in(OWN, &["EXISTS", "value:{loading.numbers}:k"]).await.unwrap().as_integer() == Some(1)
    })
    .await;
}
