//! Stale entries: ids in the ready lists of jobs that are not ready.

use std::time::Duration;

use store_core::{Cancelled, JobState, Outcome, PageRequest, QueueControl, QueueInspect, Settled};

use super::{claim, claim_one, id, job, names, push, queue, settle};
use crate::fixture;

#[tokio::test]
async fn a_cancelled_ready_job_is_neither_claimed_nor_counted() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let jobs: Vec<_> = (0..60).map(|n| job(&n.to_string())).collect();
    push(store, &jobs).await;
    for gone in &jobs[..58] {
        assert_eq!(store.cancel(&queue(), gone.id.as_ref().unwrap()).await.unwrap(), Cancelled::Removed);
    }
    assert_eq!(store.counts(&queue()).await.unwrap().ready, 2);
    let listed = store.list(&queue(), JobState::Ready, PageRequest::default()).await.unwrap().items;
    assert_eq!(listed.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), ["58", "59"]);
    assert_eq!(names(&claim(store, 2).await.jobs), ["58", "59"]);
}

#[tokio::test]
async fn more_stale_entries_than_one_claim_visits_are_passed_over_in_the_next() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for _ in 0..3 {
        let jobs: Vec<_> = (0..1000).map(|n| job(&n.to_string()).with_start_within(Duration::from_secs(60))).collect();
        push(store, &jobs).await;
        let ids: Vec<_> = jobs.into_iter().map(|job| job.id.unwrap()).collect();
        store.delete(&queue(), &ids).await.unwrap();
    }
    push(store, &[job("last")]).await;
    let mut calls = 0;
    loop {
        let claimed = claim(store, 1).await;
        calls += 1;
        if !claimed.jobs.is_empty() {
            break;
        }
        assert_eq!(claimed.next, Some(Duration::ZERO), "call {calls}");
    }
    assert!((2..=4).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn an_id_pushed_again_is_claimed_once() {
    let fixture = fixture().await;
    let store = &fixture.store;
    push(store, &[job("a")]).await;
    store.cancel(&queue(), &id("a")).await.unwrap();
    push(store, &[job("a"), job("b")]).await;
    // Two entries for one job, in one call and in two.
    assert_eq!(names(&claim(store, 9).await.jobs), ["a", "b"]);
    push(store, &[job("c")]).await;
    store.cancel(&queue(), &id("c")).await.unwrap();
    push(store, &[job("c")]).await;
    let c = claim_one(store).await;
    assert_eq!(claim(store, 9).await.jobs.len(), 0);
    assert_eq!(settle(store, &c, Outcome::Complete(None)).await, Settled::Done);
}

#[tokio::test]
async fn an_id_pushed_again_with_a_delay_waits_for_its_time() {
    let fixture = fixture().await;
    let store = &fixture.store;
    push(store, &[job("a")]).await;
    store.cancel(&queue(), &id("a")).await.unwrap();
    push(store, &[job("a").with_delay(Duration::from_secs(5))]).await;
    assert!(store.list(&queue(), JobState::Ready, PageRequest::default()).await.unwrap().items.is_empty());
    let claimed = claim(store, 9).await;
    assert_eq!((claimed.jobs.len(), claimed.next), (0, Some(Duration::from_secs(5))));
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(names(&claim(store, 9).await.jobs), ["a"]);
}

#[tokio::test]
async fn a_stale_entry_of_a_job_that_waits_to_be_retried_is_passed_over() {
    let fixture = fixture().await;
    let store = &fixture.store;
    push(store, &[job("a")]).await;
    store.cancel(&queue(), &id("a")).await.unwrap();
    push(store, &[job("a")]).await;
    // The first entry is claimed and retried; the second one must not bring it forward.
    let a = claim_one(store).await;
    let retry = Outcome::Retry { after: Duration::from_secs(5), error: "no".into() };
    assert_eq!(settle(store, &a, retry).await, Settled::Done);
    assert_eq!(claim(store, 9).await.jobs.len(), 0);
    fixture.clock.advance(Duration::from_secs(5));
    let a = claim_one(store).await;
    assert_eq!(settle(store, &a, Outcome::Dead { reason: "no".into() }).await, Settled::Done);
    assert_eq!(claim(store, 9).await.jobs.len(), 0);
    assert_eq!(store.counts(&queue()).await.unwrap().dead, 1);
}
