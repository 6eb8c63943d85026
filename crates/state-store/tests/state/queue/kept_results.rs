//! Small results that are kept: what they cost a server, and what is kept of them when it is full.

use std::time::Duration;

use state_store::StateOptions;
use store_core::{Durability, Error, Kept, NewJob, Outcome, Queue, QueueInspect, Retention, Settled, Settlement};

use super::{claim, queue};
use crate::{fixture, fixture_with};

/// The largest share of a server's memory that was used while it was drained by workers who keep small results, in percent.
async fn most_used_while_drained(fixture: &crate::Fixture, limit: u64) -> u64 {
    let store = &fixture.store;
    fixture.server.command(&["CONFIG", "SET", "maxmemory", &limit.to_string()]).await.unwrap();
    loop {
        let jobs: Vec<_> = (0..1000).map(|_| NewJob::new("1")).collect();
        match store.push(&queue(), &jobs, Durability::Accepted).await {
            Ok(_) => {}
            Err(Error::Limit { .. }) => break,
            Err(error) => panic!("refused because of the memory, not {error:?}"),
        }
    }
    let mut most = 0;
    loop {
        let claimed = claim(store, 200).await.jobs;
        if claimed.is_empty() {
            return most * 100 / limit;
        }
        let outcome = Outcome::Complete(Some(Kept::new("ok", Duration::from_secs(86_400))));
        let settlements: Vec<_> = claimed.into_iter().map(|job| Settlement::new(job.lease, outcome.clone())).collect();
        let settled = store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap().value;
        assert!(settled.iter().all(|settled| *settled == Settled::Done));
        let memory = fixture.server.info("memory").await.unwrap();
        let bytes = |field: &str| memory[field].parse::<u64>().unwrap();
        // The server does not count what waits for the disk: on a busy one, several MiB of the append-only file.
        let used = bytes("used_memory") - bytes("mem_not_counted_for_evict");
        most = most.max(used);
    }
}

#[tokio::test]
async fn small_results_that_are_kept_do_not_grow_a_full_server() {
    let fixture = fixture().await;
    let most = most_used_while_drained(&fixture, 12 << 20).await;
    // The leases and buffers of the first claims come on top of a full memory, up to 7 % of 12 MiB on Redis 8.2. Results that
    // are not counted grow it to several times its limit.
    assert!(most <= 110, "{most} % of maxmemory were used");
    let counts = fixture.store.counts(&queue()).await.unwrap();
    assert_eq!(counts.pending(), 0);
    assert!(counts.completed > 100, "the last results are kept: {counts:?}");
}

#[tokio::test]
async fn small_results_count_what_they_cost_the_server() {
    let bound = 4 << 20;
    let fixture =
        fixture_with(StateOptions::default().with_retention(Retention::default().with_completed_bytes(bound))).await;
    let used = async || fixture.server.info("memory").await.unwrap()["used_memory"].parse::<u64>().unwrap();
    let before = used().await;
    for _ in 0..30 {
        let jobs: Vec<_> = (0..1000).map(|_| NewJob::new("1")).collect();
        let _ = fixture.store.push(&queue(), &jobs, Durability::Accepted).await.unwrap();
        loop {
            let claimed = claim(&fixture.store, 200).await.jobs;
            if claimed.is_empty() {
                break;
            }
            let outcome = Outcome::Complete(Some(Kept::new("ok", Duration::from_secs(86_400))));
            let settlements: Vec<_> =
                claimed.into_iter().map(|job| Settlement::new(job.lease, outcome.clone())).collect();
            let _ = fixture.store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap();
        }
    }
    let (grown, kept) = (used().await - before, fixture.store.counts(&queue()).await.unwrap().completed);
    println!("{grown} bytes for {kept} results");
    assert!((bound * 7 / 10..bound * 13 / 10).contains(&grown), "{grown} bytes for {kept} results within {bound}");
}
