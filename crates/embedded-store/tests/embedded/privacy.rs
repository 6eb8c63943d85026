//! Handles and errors show no data.

use embedded_store::{CacheOptions, EmbeddedCache, EmbeddedState, StateOptions};
use store_core::{KeyValue, KeyValueExt, NewJob, QueueExt, Ttl};

use crate::{in_memory, key, queue, service};

const CANARY: &str = "canary-2718281828";

#[tokio::test]
async fn handles_show_no_data() {
    let store = in_memory();
    store.push_one(&queue("mail"), NewJob::new(CANARY)).await.unwrap();
    let cache = EmbeddedCache::in_memory(service("a"), CacheOptions::default());
    cache.set(key(CANARY), CANARY.into(), Ttl::from_secs(60)).await.unwrap();
    let shown = format!("{store:?} {store:#?} {cache:?} {cache:#?}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn errors_show_no_data() {
    let cache = EmbeddedCache::in_memory(service("a"), CacheOptions::default());
    cache.add(&key(CANARY), i64::MAX, Ttl::from_secs(60)).await.unwrap();
    let error = cache.add(&key(CANARY), 1, Ttl::from_secs(60)).await.unwrap_err();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(CANARY);
    std::fs::write(&file, CANARY).unwrap();
    let refused = EmbeddedState::open(&file, service("orders"), StateOptions::default()).unwrap_err();
    let shown = format!("{error} {error:?} {refused} {refused:?}");
    assert!(!shown.contains("canary"), "{shown}");
}
