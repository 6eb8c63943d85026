//! Claims that a server executes, and whose replies a broken connection loses.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use store_core::{ClaimRequest, Durability, HolderName, NewJob, Queue, QueueInspect, RetryPolicy};
use testkit::{DEADLINE, FaultProxy, RedisServer, mentions, wait_until};

use super::{HOUR, Ran, Running, open, queue, recording};

/// The leases last for an hour: only the repeated claim finds the jobs.
#[tokio::test]
async fn jobs_of_a_lost_claim_run_at_once() {
    // With several partitions: the second claim is lost, after another partition has answered; a claim that one partition fills.
    for (partitions, lost, concurrency) in [(1, 1, 64), (4, 2, 64), (4, 1, 4)] {
        let server = RedisServer::state().start().await.unwrap();
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        let producer = open(&server.url(None), partitions, Duration::from_secs(10)).await;
        let store = open(&server.url_through(&proxy, None), partitions, Duration::from_secs(2)).await;
        // The server has the script before the first claim of the worker.
        let other = ClaimRequest::new(queue(), HolderName::new("other").unwrap(), 1, HOUR);
        assert!(producer.claim(&other).await.unwrap().jobs.is_empty());
        for _ in 0..20 {
            let jobs = [0; 2].map(|_| NewJob::new("").with_retry(RetryPolicy::never()));
            let _receipt = producer.push(&queue(), &jobs, Durability::Accepted).await.unwrap();
        }
        let (is_claim, claims) = (mentions("claimant"), AtomicUsize::new(0));
        proxy.cut_after_request(move |request| is_claim(request) && claims.fetch_add(1, Ordering::SeqCst) + 1 == lost);
        let ran = Ran::default();
        let claimant = HolderName::new("claimant").unwrap();
        let worker = recording(&store, &ran).with_concurrency(concurrency).with_name(claimant).with_lease(HOUR);
        let worker = Running::start(worker);
        proxy.wait_fired(1).await;
        wait_until("all jobs are done", DEADLINE, async || worker.handle.stats().completed == 40).await;
        ran.assert_each_once();
        let counts = producer.counts(&queue()).await.unwrap();
        assert_eq!((counts.pending(), counts.dead), (0, 0), "{partitions} partitions");
        worker.shutdown().await;
    }
}
