//! Handing jobs over: what it costs, and what becomes of it when a waiter or the store ends.

use std::sync::Arc;
use std::time::Duration;

use embedded_store::{EmbeddedState, StateOptions};
use store_core::{
    ClaimRequest, Durability, Error, HolderName, NewJob, Outcome, Queue, QueueControl, QueueExt, QueueInspect, Waiter,
    Wakeup,
};

use crate::{LEASE, PATIENCE, claim, in_memory, job, job_id, queue, service};

fn request(name: &str, max: usize) -> ClaimRequest {
    ClaimRequest::new(queue(name), HolderName::new("worker").unwrap(), max, LEASE)
}

async fn registered(store: &EmbeddedState, name: &str, reserve: usize) -> Arc<dyn Waiter> {
    let waiter = store.waiter();
    assert!(waiter.claim(&request(name, 10), reserve).await.unwrap().jobs.is_empty());
    waiter
}

async fn handed_over(waiter: &dyn Waiter) -> Vec<String> {
    match waiter.next(PATIENCE).await.unwrap() {
        Some(Wakeup::Claimed { claim, .. }) => claim.jobs.iter().map(|job| job.id().to_string()).collect(),
        other => panic!("{other:?}"),
    }
}

fn in_a_file(directory: &tempfile::TempDir) -> EmbeddedState {
    EmbeddedState::open(directory.path().join("state.redb"), service("orders"), StateOptions::default()).unwrap()
}

#[tokio::test]
async fn a_push_and_its_hand_over_are_one_commit() {
    let directory = tempfile::tempdir().unwrap();
    for store in [in_memory(), in_a_file(&directory)] {
        let waiter = registered(&store, "mail", 10).await;
        let before = store.commits();
        let jobs = [job("a"), job("b")];
        let _ = store.push(&queue("mail"), &jobs, Durability::Accepted).await.unwrap();
        assert_eq!(store.commits(), before + 1);
        assert_eq!(handed_over(waiter.as_ref()).await, ["a", "b"]);
        assert_eq!(store.counts(&queue("mail")).await.unwrap().running, 2);
        assert_eq!(store.commits(), before + 1);
    }
}

#[tokio::test]
async fn a_waiter_that_registers_changes_nothing_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = in_a_file(&directory);
    let before = store.commits();
    let _waiter = registered(&store, "mail", 10).await;
    assert_eq!(store.commits(), before);
}

#[tokio::test]
async fn jobs_are_handed_to_the_waiter_that_waits_longest() {
    let store = in_memory();
    let (first, second) = (registered(&store, "mail", 1).await, registered(&store, "mail", 5).await);
    let jobs = [job("a"), job("b"), job("c")];
    let _ = store.push(&queue("mail"), &jobs, Durability::Accepted).await.unwrap();
    assert_eq!(handed_over(first.as_ref()).await, ["a"]);
    assert_eq!(handed_over(second.as_ref()).await, ["b", "c"]);
    store.push_one(&queue("mail"), job("d")).await.unwrap();
    assert!(first.next(Duration::ZERO).await.unwrap().is_none(), "a hand-over ends the registration");
}

#[tokio::test]
async fn a_waiter_is_handed_no_more_than_it_wanted() {
    let store = in_memory();
    store.push_one(&queue("mail"), job("a")).await.unwrap();
    let waiter = store.waiter();
    assert_eq!(waiter.claim(&request("mail", 2), 10).await.unwrap().jobs.len(), 1);
    let jobs = [job("b"), job("c")];
    let _ = store.push(&queue("mail"), &jobs, Durability::Accepted).await.unwrap();
    assert_eq!(handed_over(waiter.as_ref()).await, ["b"]);
}

#[tokio::test]
async fn a_promoted_or_replayed_job_is_handed_over() {
    let store = in_memory();
    store.push_one(&queue("mail"), job("late").with_delay(PATIENCE * 100)).await.unwrap();
    store.push_one(&queue("mail"), job("dead")).await.unwrap();
    let claimed = claim(&store, "mail", 1).await.jobs.remove(0);
    store.settle_one(&queue("mail"), claimed.lease, Outcome::Dead { reason: "no".to_owned() }).await.unwrap();
    let waiter = registered(&store, "mail", 1).await;
    store.promote(&queue("mail"), &[job_id("late")]).await.unwrap();
    assert_eq!(handed_over(waiter.as_ref()).await, ["late"]);
    let waiter = registered(&store, "mail", 1).await;
    store.replay(&queue("mail"), &[job_id("dead")]).await.unwrap();
    assert_eq!(handed_over(waiter.as_ref()).await, ["dead"]);
}

#[tokio::test]
async fn a_job_that_is_due_before_all_others_notifies_a_waiter() {
    let store = in_memory();
    let waiter = registered(&store, "mail", 1).await;
    store.push_one(&queue("mail"), NewJob::new("a").with_delay(LEASE)).await.unwrap();
    assert_eq!(waiter.next(PATIENCE).await.unwrap(), Some(Wakeup::Notified { queue: queue("mail") }));
}

#[tokio::test]
async fn what_brings_no_work_wakes_nobody() {
    let store = in_memory();
    for id in ["dies", "ends"] {
        store.push_one(&queue("mail"), job(id)).await.unwrap();
    }
    store.push_one(&queue("mail"), job("first").with_delay(LEASE * 2)).await.unwrap();
    let claimed = claim(&store, "mail", 2).await.jobs;
    let waiter = registered(&store, "mail", 10).await;
    store.push_one(&queue("mail"), job("later").with_delay(LEASE * 3)).await.unwrap();
    store.cancel(&queue("mail"), &job_id("later")).await.unwrap();
    let outcomes = [Outcome::Dead { reason: "no".to_owned() }, Outcome::Complete(None)];
    for (job, outcome) in claimed.into_iter().zip(outcomes) {
        store.settle_one(&queue("mail"), job.lease, outcome).await.unwrap();
    }
    assert_eq!(waiter.next(Duration::ZERO).await.unwrap(), None);
    store.push_one(&queue("mail"), job("sooner").with_delay(LEASE)).await.unwrap();
    assert_eq!(waiter.next(PATIENCE).await.unwrap(), Some(Wakeup::Notified { queue: queue("mail") }));
}

#[tokio::test]
async fn what_a_dropped_waiter_did_not_take_goes_to_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    for store in [in_memory(), in_a_file(&directory)] {
        let dropped = registered(&store, "mail", 10).await;
        let jobs = [job("a"), job("b")];
        let _ = store.push(&queue("mail"), &jobs, Durability::Accepted).await.unwrap();
        let next = registered(&store, "mail", 10).await;
        drop(dropped);
        assert_eq!(handed_over(next.as_ref()).await, ["a", "b"]);
        let explained = store.get(&queue("mail"), &job_id("a")).await.unwrap().unwrap();
        assert_eq!(explained.attempts, 1);
    }
}

#[tokio::test]
async fn a_dropped_waiter_is_handed_nothing() {
    let store = in_memory();
    drop(registered(&store, "mail", 10).await);
    store.push_one(&queue("mail"), job("a")).await.unwrap();
    assert_eq!(claim(&store, "mail", 1).await.jobs.len(), 1);
}

#[tokio::test]
async fn closing_ends_a_waiter() {
    let directory = tempfile::tempdir().unwrap();
    for store in [in_memory(), in_a_file(&directory)] {
        let waiter = registered(&store, "mail", 10).await;
        let waiting = tokio::spawn({
            let waiter = waiter.clone();
            async move { waiter.next(PATIENCE * 100).await }
        });
        store.close().await;
        assert!(matches!(waiting.await.unwrap(), Err(Error::Unavailable { .. })));
        assert!(matches!(waiter.next(PATIENCE).await, Err(Error::Unavailable { .. })));
    }
}

/// The last handle of a file's store may be that of a waiter.
#[tokio::test]
async fn a_file_is_unlocked_when_its_waiter_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let store = in_a_file(&directory);
    let waiter = registered(&store, "mail", 10).await;
    store.push_one(&queue("mail"), job("a")).await.unwrap();
    drop(store);
    drop(waiter);
    let store = in_a_file(&directory);
    assert_eq!(store.counts(&queue("mail")).await.unwrap().ready, 1);
}
