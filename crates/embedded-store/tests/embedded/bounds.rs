//! Every table is bounded.

use std::time::Duration;

use embedded_store::{CacheOptions, EmbeddedCache, EmbeddedState, StateOptions};
use store_core::{
    Durability, Entry, Kept, KeyValue, KeyValueExt, NewJob, Outcome, Queue, QueueInspect, Retention, Settlement, Ttl,
};

use crate::{claim, in_memory, key, manual_clock, queue, service};

async fn settle_all(store: &EmbeddedState, jobs: usize, outcome: Outcome) {
    let batch: Vec<_> = (0..jobs).map(|_| NewJob::new(vec![0; 100])).collect();
    let _ = store.push(&queue("mail"), &batch, Durability::Accepted).await.unwrap();
    let claimed = claim(store, "mail", jobs).await.jobs;
    let settlements: Vec<_> = claimed.into_iter().map(|job| Settlement::new(job.lease, outcome.clone())).collect();
    let _ = store.settle(&queue("mail"), &settlements, Durability::Accepted).await.unwrap();
}

fn dead() -> Outcome {
    Outcome::Dead { reason: "no".to_owned() }
}

fn kept(seconds: u64) -> Outcome {
    Outcome::Complete(Some(Kept::new(vec![0; 100], Duration::from_secs(seconds))))
}

#[tokio::test]
async fn ended_jobs_are_bounded_by_count() {
    let retention = Retention::default().with_dead_count(10).with_completed_count(20);
    let store = EmbeddedState::in_memory(service("orders"), StateOptions::default().with_retention(retention));
    settle_all(&store, 300, dead()).await;
    settle_all(&store, 300, kept(60)).await;
    let counts = store.counts(&queue("mail")).await.unwrap();
    assert_eq!((counts.dead, counts.completed), (10, 20));
}

#[tokio::test]
async fn ended_jobs_are_bounded_by_bytes() {
    let retention = Retention::default().with_dead_bytes(4250).with_completed_bytes(5250);
    let store = EmbeddedState::in_memory(service("orders"), StateOptions::default().with_retention(retention));
    settle_all(&store, 50, dead()).await;
    settle_all(&store, 50, kept(60)).await;
    let counts = store.counts(&queue("mail")).await.unwrap();
    assert_eq!((counts.dead, counts.completed), (10, 10));
}

#[tokio::test]
async fn ended_jobs_are_bounded_by_age() {
    let (clock, options) = manual_clock();
    let store = EmbeddedState::in_memory(service("orders"), StateOptions::default().with_clock(options));
    settle_all(&store, 5, dead()).await;
    settle_all(&store, 5, kept(60)).await;
    clock.advance(Duration::from_secs(60));
    claim(&store, "mail", 1).await;
    let counts = store.counts(&queue("mail")).await.unwrap();
    assert_eq!((counts.dead, counts.completed), (5, 0));
    clock.advance(Retention::default().dead_for);
    claim(&store, "mail", 1).await;
    assert_eq!(store.counts(&queue("mail")).await.unwrap().dead, 0);
}

#[tokio::test]
async fn an_expired_cache_value_is_invisible() {
    let (clock, options) = manual_clock();
    let cache = EmbeddedCache::in_memory(service("a"), CacheOptions::default().with_clock(options));
    cache.set(key("k"), "v".into(), Ttl::from_secs(10)).await.unwrap();
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(cache.get(&key("k")).await.unwrap().as_deref(), Some(&b"v"[..]));
    clock.advance(Duration::from_millis(1));
    assert_eq!(cache.get(&key("k")).await.unwrap(), None);
}

#[tokio::test]
async fn a_full_cache_evicts_the_entries_that_expire_soonest() {
    let options = CacheOptions::default().with_max_entries(100);
    let cache = EmbeddedCache::in_memory(service("a"), options);
    let keys: Vec<_> = (0..300).map(|index| key(&index.to_string())).collect();
    let entries: Vec<_> =
        (1..).zip(&keys).map(|(seconds, key)| Entry::new(key.clone(), "v", Ttl::from_secs(seconds * 60))).collect();
    for batch in entries.chunks(50) {
        cache.set_many(batch).await.unwrap();
    }
    let found = cache.get_many(&keys).await.unwrap();
    let kept: Vec<_> = (0..300).filter(|index| found[*index].is_some()).collect();
    assert_eq!(kept, (200..300).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cache_is_bounded_by_bytes() {
    let options = CacheOptions::default().with_max_bytes(100_000);
    let cache = EmbeddedCache::in_memory(service("a"), options);
    for index in 0..100 {
        cache.set(key(&index.to_string()), vec![0; 10_000].into(), Ttl::from_secs(60 + index)).await.unwrap();
    }
    let mut kept = 0;
    for index in 0..100 {
        kept += u32::from(cache.get(&key(&index.to_string())).await.unwrap().is_some());
    }
    assert_eq!(kept, 9);
}

#[tokio::test]
async fn freed_space_is_reused() {
    let (clock, options) = manual_clock();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cache.redb");
    let cache = EmbeddedCache::open(&file, service("a"), CacheOptions::default().with_clock(options)).unwrap();
    let mut sizes = Vec::new();
    for round in 0..60 {
        let entries: Vec<_> = (0..20)
            .map(|index| Entry::new(key(&format!("{round}-{index}")), vec![0; 10_000], Ttl::from_secs(1)))
            .collect();
        cache.set_many(&entries).await.unwrap();
        clock.advance(Duration::from_secs(1));
        sizes.push(std::fs::metadata(&file).unwrap().len());
    }
    assert_eq!(sizes[20], sizes[59], "the file grows: {sizes:?}");
}

#[tokio::test]
async fn a_drained_queue_is_empty() {
    let store = in_memory();
    settle_all(&store, 500, Outcome::Complete(None)).await;
    assert_eq!(store.counts(&queue("mail")).await.unwrap(), store_core::Counts::default());
}
