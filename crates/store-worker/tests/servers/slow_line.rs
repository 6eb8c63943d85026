//! Claims that are too large for the line.

use std::time::Duration;

use store_core::{Durability, NewJob, Queue, QueueInspect, RetryPolicy};
use testkit::{DEADLINE, FaultProxy, RedisServer, wait_until};

use super::{Ran, Running, open, queue, recording};

/// The first claim of 1 MiB takes half a second on this line, longer than the command time-out. One job takes an eighth.
#[tokio::test]
async fn jobs_that_one_claim_cannot_carry_in_time_are_carried_by_smaller_ones() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let producer = open(&server.url(None), 1, Duration::from_secs(10)).await;
    let store = open(&server.url_through(&proxy, None), 1, Duration::from_millis(350)).await;
    // An attempt that counts is the last one.
    let job = || NewJob::new(vec![7; 250 << 10]).with_retry(RetryPolicy::never());
    for _ in 0..4 {
        let jobs: Vec<_> = (0..16).map(|_| job()).collect();
        let _receipt = producer.push(&queue(), &jobs, Durability::Accepted).await.unwrap();
    }
    proxy.slow(2 << 20).await;
    let ran = Ran::default();
    let worker = Running::start(recording(&store, &ran));
    let limit = 2 * DEADLINE;
    wait_until("all jobs are done", limit, async || worker.handle.stats().completed == 64).await;
    ran.assert_each_once();
    let counts = producer.counts(&queue()).await.unwrap();
    assert_eq!((counts.pending(), counts.dead), (0, 0));
    worker.shutdown().await;
}
