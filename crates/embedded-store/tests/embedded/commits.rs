//! Which calls share a commit, and which need none.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use embedded_store::{EmbeddedState, StateOptions};
use store_core::{Durability, NewJob, Pushed, Queue, QueueExt, QueueInspect};
use tokio::task::JoinSet;

use crate::{PATIENCE, claim, in_memory, job, queue, service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_share_commits() {
    let directory = tempfile::tempdir().unwrap();
    let store =
        EmbeddedState::open(directory.path().join("state.redb"), service("orders"), StateOptions::default()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = store.commits();
        let mut pushes = JoinSet::new();
        for _ in 0..500 {
            let store = store.clone();
            pushes.spawn(async move { store.push_one(&queue("mail"), NewJob::new("a")).await.unwrap() });
        }
        assert!(pushes.join_all().await.iter().all(Pushed::is_new));
        let commits = store.commits() - before;
        if commits <= 50 {
            break;
        }
        assert!(Instant::now() < deadline, "500 pushes took {commits} commits");
    }
}

#[tokio::test]
async fn an_operation_that_changes_nothing_is_not_committed() {
    let store = in_memory();
    store.push_one(&queue("mail"), job("a")).await.unwrap();
    store.push_one(&queue("mail"), job("a").with_delay(PATIENCE)).await.unwrap();
    assert_eq!(claim(&store, "mail", 10).await.jobs.len(), 1);
    let commits = store.commits();
    for _ in 0..10 {
        assert!(claim(&store, "mail", 10).await.jobs.is_empty());
        assert!(claim(&store, "unknown", 10).await.jobs.is_empty());
        assert_eq!(store.push_one(&queue("mail"), job("a")).await.unwrap(), Pushed::Duplicate);
    }
    assert_eq!(store.commits(), commits);
}

#[tokio::test]
async fn a_dropped_caller_does_not_affect_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let store =
        EmbeddedState::open(directory.path().join("state.redb"), service("orders"), StateOptions::default()).unwrap();
    let gone = queue("gone");
    for index in 0..100 {
        let mut push = Box::pin(store.push_one(&gone, job(&format!("gone-{index}"))));
        let _: Poll<_> = push.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(push);
        store.push_one(&queue("stays"), NewJob::new("a")).await.unwrap();
    }
    // All were sent before they were dropped.
    assert_eq!(store.counts(&queue("gone")).await.unwrap().ready, 100);
    assert_eq!(store.counts(&queue("stays")).await.unwrap().ready, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tasks_claim_no_job_twice() {
    let store = Arc::new(in_memory());
    let jobs: Vec<_> = (0..1000).map(|_| NewJob::new("a")).collect();
    let _ = store.push(&queue("mail"), &jobs, Durability::Accepted).await.unwrap();
    let mut workers = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        workers.spawn(async move {
            let mut claimed = Vec::new();
            loop {
                let jobs = claim(&store, "mail", 7).await.jobs;
                if jobs.is_empty() {
                    return claimed;
                }
                claimed.extend(jobs.into_iter().map(|job| job.lease.job));
            }
        });
    }
    let mut claimed: Vec<_> = workers.join_all().await.into_iter().flatten().collect();
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 1000);
}

/// With time paused the runtime skips ahead whenever all tasks wait: a call in memory must never wait.
#[tokio::test(start_paused = true)]
async fn in_memory_no_time_passes_during_a_call() {
    let store = in_memory();
    let start = tokio::time::Instant::now();
    let timer = tokio::spawn(tokio::time::timeout(PATIENCE, std::future::pending::<()>()));
    for _ in 0..100 {
        store.push_one(&queue("mail"), NewJob::new("a")).await.unwrap();
        claim(&store, "mail", 1).await;
        store.counts(&queue("mail")).await.unwrap();
    }
    assert_eq!(start.elapsed(), std::time::Duration::ZERO);
    assert!(timer.await.unwrap().is_err(), "the time is over");
    assert!(start.elapsed() >= PATIENCE);
}
