//! The allocations of a job from push to settlement. A clone of its payload or of its envelope fails this test.
//!
//! Everything runs in one thread, including the client library's tasks. For a job of a batch of 100 with a payload of
//! 4,000 bytes, a push was measured to allocate once (its record, with the only copy of the payload), a claim twice
//! (the payload is part of the read buffer), and a settlement once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{
    ClaimRequest, Durability, HolderName, Namespace, NewJob, Outcome, Queue, QueueName, ServiceName, Settled,
    Settlement,
};
use testkit::{Allocated, CountingAllocator, RedisServer};

#[global_allocator]
static COUNTING: CountingAllocator = CountingAllocator::new();

const JOBS: u64 = 100;
const PAYLOAD: u64 = 4000;
const ROUNDS: u64 = 10;

/// The allocations of push, claim and settle in one round.
type Round = [Allocated; 3];

async fn round(store: &StateStore, queue: &QueueName, payload: &Bytes) -> Round {
    let jobs: Vec<_> = (0..JOBS).map(|_| NewJob::new(payload.clone())).collect();
    let request =
        ClaimRequest::new(queue.clone(), HolderName::new("one").unwrap(), jobs.len(), Duration::from_secs(60));
    let begun = COUNTING.counted();
    let _ = store.push(queue, &jobs, Durability::Accepted).await.unwrap();
    let pushed = COUNTING.counted();
    let claimed = store.claim(&request).await.unwrap().jobs;
    let taken = COUNTING.counted();
    assert_eq!(claimed.len() as u64, JOBS);
    let settlements: Vec<_> =
        claimed.into_iter().map(|job| Settlement::new(job.lease, Outcome::Complete(None))).collect();
    let before = COUNTING.counted();
    let settled = store.settle(queue, &settlements, Durability::Accepted).await.unwrap();
    let after = COUNTING.counted();
    assert!(settled.value.iter().all(|settled| *settled != Settled::Lost));
    [pushed.since(begun), taken.since(pushed), after.since(before)]
}

/// A single test: a concurrent one would be counted, too.
#[tokio::test(flavor = "current_thread")]
async fn a_job_of_a_batch_allocates_little_and_copies_no_payload() {
    let server = RedisServer::state().start().await.unwrap();
    let url = ServerUrl::parse(&server.url(None)).unwrap();
    let link = Link::connect(LinkConfig::new(url, "tests:allocations").with_pool_size(1)).await.unwrap();
    let store = StateStore::open(
        link,
        Namespace::new("test").unwrap(),
        ServiceName::new("orders").unwrap(),
        StateOptions::default(),
    )
    .await
    .unwrap();
    let (queue, payload) = (QueueName::new("counted").unwrap(), Bytes::from(vec![b'x'; PAYLOAD as usize]));
    for _ in 0..ROUNDS {
        round(&store, &queue, &payload).await;
    }
    let mut sums = [Allocated { times: 0, bytes: 0 }; 3];
    for _ in 0..ROUNDS {
        for (sum, one) in sums.iter_mut().zip(round(&store, &queue, &payload).await) {
            *sum = Allocated { times: sum.times + one.times, bytes: sum.bytes + one.bytes };
        }
    }
    let per_job = |sum: Allocated| (sum.times as f64 / (ROUNDS * JOBS) as f64, sum.bytes / (ROUNDS * JOBS));
    let seen @ [pushed, claimed, settled] = sums.map(per_job);
    assert!(pushed.0 < 3.0 && pushed.1 < PAYLOAD * 7 / 4, "push, times and bytes for each job: {seen:?}");
    assert!(claimed.0 < 4.0 && claimed.1 < PAYLOAD, "claim, times and bytes for each job: {seen:?}");
    assert!(settled.0 < 3.0 && settled.1 < PAYLOAD / 2, "settle, times and bytes for each job: {seen:?}");
}
