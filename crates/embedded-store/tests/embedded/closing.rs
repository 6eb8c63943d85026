//! What a closed store returns, and what it releases.

use std::time::Duration;

use embedded_store::{CacheOptions, EmbeddedCache, EmbeddedState, StateOptions};
use store_core::{Error, KeyValueExt, NewJob, Queue, QueueExt, QueueInspect, Ttl};

use crate::{in_memory, key, queue, service};

fn assert_unavailable<T: std::fmt::Debug>(answer: Result<T, Error>) {
    assert!(matches!(answer, Err(Error::Unavailable { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_closed_store_refuses_every_call() {
    let directory = tempfile::tempdir().unwrap();
    for store in [
        in_memory(),
        EmbeddedState::open(directory.path().join("a.redb"), service("orders"), StateOptions::default()).unwrap(),
    ] {
        let clone = store.clone();
        store.push_one(&queue("mail"), NewJob::new("a")).await.unwrap();
        store.close().await;
        store.close().await;
        assert_unavailable(clone.push_one(&queue("mail"), NewJob::new("a")).await);
        assert_unavailable(clone.counts(&queue("mail")).await);
        assert_unavailable(clone.waiter().next(Duration::from_secs(3600)).await);
    }
    let cache = EmbeddedCache::in_memory(service("a"), CacheOptions::default());
    cache.for_service(service("b")).close().await;
    assert_unavailable(cache.set(key("k"), "v".into(), Ttl::from_secs(60)).await);
}

#[tokio::test]
async fn a_close_commits_earlier_calls_and_unlocks_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let store = EmbeddedState::open(&file, service("orders"), StateOptions::default()).unwrap();
    let pushes: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.push_one(&queue("mail"), NewJob::new("a")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    let mut acknowledged = 0;
    for push in pushes {
        acknowledged += u64::from(push.await.unwrap().is_ok());
    }
    let again = EmbeddedState::open(&file, service("orders"), StateOptions::default()).unwrap();
    assert_eq!(again.counts(&queue("mail")).await.unwrap().ready, acknowledged);
    drop(store);
    assert!(
        EmbeddedState::open(&file, service("orders"), StateOptions::default()).is_err(),
        "the closed handle unlocks nothing"
    );
}
