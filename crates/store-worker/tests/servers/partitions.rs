//! The worker on a queue of 12 partitions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store_core::{NewJob, QueueExt, QueueInspect};
use store_worker::{Done, Job, Worker};
use testkit::{DEADLINE, RedisServer, wait_until};

use super::{Ran, Running, open, queue, recording};

const PARTITIONS: u16 = 12;

/// The registrations of waiters in all partitions.
async fn registrations(server: &RedisServer) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    for key in server.command(&["KEYS", "*:waiters"]).await.unwrap().as_strings().unwrap() {
        let values = server.command(&["HVALS", &key]).await.unwrap().into_array();
        found.extend(values.iter().map(|value| [key.as_bytes(), value.as_bytes().unwrap()].concat()));
    }
    found
}

async fn registered(server: &RedisServer) {
    let all = usize::from(PARTITIONS);
    wait_until("registered everywhere", DEADLINE, async || registrations(server).await.len() == all).await;
}

/// How many scripts the server has run.
async fn scripts(server: &RedisServer) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).await.unwrap();
    let line = |line: &str| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok();
    stats.as_str().unwrap().lines().find_map(line).unwrap_or(0)
}

/// The job whose handler has ended is leased until its settlement is executed, and the next claim does not wait for that.
#[tokio::test]
async fn a_worker_with_one_handler_runs_one_job_at_a_time() {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), PARTITIONS, Duration::from_secs(10)).await;
    let (ran, leased) = (Ran::default(), Arc::new(AtomicU64::new(0)));
    let (handler, counts, most) = (ran.clone(), store.clone(), leased.clone());
    let worker = Worker::new(Arc::new(store.clone())).with_concurrency(1).with_queue("mails", move |job: Job| {
        let (ran, counts, most) = (handler.clone(), counts.clone(), most.clone());
        async move {
            ran.begin(&job);
            most.fetch_max(counts.counts(&queue()).await.unwrap().running, Ordering::SeqCst);
            ran.end();
            Ok(Done::discard())
        }
    });
    let worker = Running::start(worker);
    registered(&server).await;
    let mut used = BTreeSet::new();
    for _ in 0..36 {
        let pushed = store.push_one(&queue(), NewJob::new("")).await.unwrap();
        used.insert(pushed.id().unwrap().place().unwrap().0.partition());
    }
    assert_eq!(used.len(), usize::from(PARTITIONS));
    wait_until("all jobs are done", DEADLINE, async || worker.handle.stats().completed == 36).await;
    ran.assert_each_once();
    assert_eq!((ran.most_at_a_time(), ran.jobs()), (1, 36));
    assert!(leased.load(Ordering::SeqCst) <= 2, "{leased:?} jobs were leased at a time");
    worker.shutdown().await;
}

#[tokio::test]
async fn an_idle_worker_claims_from_a_partition_when_its_registration_ends() {
    let server = RedisServer::state().start().await.unwrap();
    let store = open(&server.url(None), PARTITIONS, Duration::from_secs(10)).await;
    let worker = Running::start(recording(&store, &Ran::default()));
    registered(&server).await;
    let (first, before) = (registrations(&server).await, scripts(&server).await);
    let is_renewed = async || {
        let now = registrations(&server).await;
        now.len() == first.len() && now.is_disjoint(&first)
    };
    wait_until("all registrations are renewed", DEADLINE, is_renewed).await;
    assert_eq!(scripts(&server).await - before, u64::from(PARTITIONS), "in 10 s");
    worker.shutdown().await;
}

/// How many jobs the registrations reserve.
async fn reserved(server: &RedisServer) -> u64 {
    let mut sum = 0;
    for key in server.command(&["KEYS", "*:waiters"]).await.unwrap().as_strings().unwrap() {
        let values = server.command(&["HVALS", &key]).await.unwrap().into_array();
        // Six bytes for the end of the registration, then two for how many jobs it reserves.
        sum += values.iter().map(|value| u64::from(value.as_bytes().unwrap()[7])).sum::<u64>();
    }
    sum
}

/// A push hands its job over if the worker has a place reserved there. One with a single place reserves none: a reservation in one
/// of the partitions would save a claim for one job of twelve, and each other job would need one more, which ends it.
#[tokio::test]
async fn a_job_costs_claims_from_its_own_partition() {
    // For each job: a push, a settlement, and a claim that registers the worker again; the claim of the job, if it is not handed over.
    for (concurrency, places, scripts_of_job) in [(usize::from(PARTITIONS), 11, 3), (1, 0, 4)] {
        let server = RedisServer::state().start().await.unwrap();
        let store = open(&server.url(None), PARTITIONS, Duration::from_secs(10)).await;
        let worker = Running::start(recording(&store, &Ran::default()).with_concurrency(concurrency));
        registered(&server).await;
        assert_eq!(reserved(&server).await, places);
        // The first push creates the queue: its shape is written to each partition.
        store.push_one(&queue(), NewJob::new("")).await.unwrap();
        wait_until("done", DEADLINE, async || worker.handle.stats().completed == 1).await;
        registered(&server).await;
        let before = scripts(&server).await;
        for job in 2..=11 {
            store.push_one(&queue(), NewJob::new("")).await.unwrap();
            wait_until("done", DEADLINE, async || worker.handle.stats().completed == job).await;
            registered(&server).await;
        }
        let sent = scripts(&server).await - before;
        // A registration that ends meanwhile is renewed.
        let least = 10 * scripts_of_job;
        assert!((least..=least + u64::from(PARTITIONS)).contains(&sent), "{sent} scripts with {concurrency} handlers");
        worker.shutdown().await;
    }
}
