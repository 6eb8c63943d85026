//! Full memory, and what is over kept within its bounds.

use std::collections::BTreeSet;
use std::time::Duration;

use state_store::StateOptions;
use store_core::{
    Cancelled, ClaimRequest, Deleted, Durability, Error, Extended, Extension, HolderName, JobState, Kept, NewJob,
    Outcome, PageRequest, Queue, QueueControl, QueueInspect, Replayed, Retention, Settled, Settlement, Unique,
    UniqueKey, UniqueUntil,
};

use super::{LEASE, claim, id, job, push, queue, settle};
use crate::{fixture, fixture_with};

#[tokio::test]
async fn a_full_server_takes_no_jobs_and_lets_all_others_go() {
    let fixture = fixture().await;
    let store = &fixture.store;
    push(store, &["a", "b", "c", "d", "e"].map(job)).await;
    push(store, &[job("later").with_delay(Duration::from_secs(1))]).await;
    claim(store, 1).await;
    fixture.server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();

    let refused = store.push(&queue(), &[job("f")], Durability::Accepted).await;
    assert!(matches!(&refused, Err(error @ Error::Limit { .. }) if error.is_retryable()), "{refused:?}");
    fixture.clock.advance(LEASE);
    let jobs = claim(store, 4).await.jobs;
    assert_eq!(jobs.len(), 4);
    let extension = Extension::new(jobs[0].lease.clone()).with_progress("half");
    let extended = store.extend(&queue(), &[extension], LEASE).await.unwrap();
    assert!(matches!(extended[..], [Extended::Until(_)]));
    let outcomes = [
        Outcome::Complete(Some(Kept::new("result", LEASE))),
        Outcome::Dead { reason: "no".into() },
        Outcome::Retry { after: LEASE, error: "no".into() },
        Outcome::Release,
    ];
    for (job, outcome) in jobs.iter().zip(outcomes) {
        assert_eq!(settle(store, job, outcome).await, Settled::Done);
    }
    assert!(store.get(&queue(), jobs[0].id()).await.unwrap().is_some());
    assert_eq!(store.list(&queue(), JobState::Dead, PageRequest::default()).await.unwrap().items.len(), 1);
    assert_eq!(store.delete(&queue(), &[jobs[1].id().clone()]).await.unwrap(), [Deleted::Deleted]);
    assert_eq!(store.cancel(&queue(), jobs[2].id()).await.unwrap(), Cancelled::Removed);
    store.pause(&queue()).await.unwrap();
    store.resume(&queue()).await.unwrap();
    assert_eq!(store.counts(&queue()).await.unwrap().pending(), 3);

    fixture.server.command(&["CONFIG", "SET", "maxmemory", "0"]).await.unwrap();
    push(store, &[job("f")]).await;
}

fn bounded(retention: Retention) -> StateOptions {
    StateOptions::default().with_retention(retention)
}

#[tokio::test]
async fn five_megabytes_of_dead_jobs_are_held_within_one() {
    let fixture = fixture_with(bounded(Retention::default().with_dead_bytes(1 << 20))).await;
    let store = &fixture.store;
    for round in 0..50 {
        let large = |n| {
            let mut job = job(&format!("{round}.{n}"));
            job.payload = vec![b'x'; 10 << 10].into();
            job
        };
        push(store, &(0..10).map(large).collect::<Vec<_>>()).await;
        let claimed = claim(store, 10).await.jobs;
        let dead =
            |job: &store_core::ClaimedJob| Settlement::new(job.lease.clone(), Outcome::Dead { reason: "no".into() });
        let settlements: Vec<_> = claimed.iter().map(dead).collect();
        let _receipt = store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap();
        fixture.clock.advance(Duration::from_millis(1));
    }
    let kept = store.counts(&queue()).await.unwrap().dead;
    assert!((95..=102).contains(&kept), "{kept} jobs of 10 KiB and a little");
    let records = fixture.server.command(&["HLEN", "test:{q.mail.0}:jobs"]).await.unwrap();
    assert_eq!(records.as_integer(), i64::try_from(kept).ok());
    assert!(store.get(&queue(), &id("0.0")).await.unwrap().is_none(), "the oldest has gone");
    assert!(store.get(&queue(), &id("49.9")).await.unwrap().is_some());
    let bytes = async || {
        let bytes = fixture.server.command(&["HGET", "test:{q.mail.0}:meta", "dead_bytes"]).await.unwrap();
        bytes.as_str().unwrap().parse::<u64>().unwrap()
    };
    assert!(bytes().await <= 1 << 20);
    // What leaves in other ways is not counted any more.
    for state in ["replay", "delete"] {
        let dead = store.list(&queue(), JobState::Dead, PageRequest::first(50)).await.unwrap().items;
        let ids: Vec<_> = dead.into_iter().map(|info| info.id).collect();
        let before = bytes().await;
        match state {
            "replay" => {
                assert!(store.replay(&queue(), &ids).await.unwrap().iter().all(|job| *job == Replayed::Replayed))
            }
            _ => assert!(store.delete(&queue(), &ids).await.unwrap().iter().all(|was| *was == Deleted::Deleted)),
        }
        assert!(bytes().await < before - 40 * (10 << 10), "{state}");
    }
}

#[tokio::test]
async fn what_is_over_is_kept_by_count_and_age() {
    let retention =
        Retention::default().with_dead_count(5).with_dead_for(Duration::from_secs(60)).with_completed_count(3);
    let fixture = fixture_with(bounded(retention)).await;
    let store = &fixture.store;
    push(store, &(0..20).map(|n| job(&n.to_string())).collect::<Vec<_>>()).await;
    for (number, job) in claim(store, 20).await.jobs.into_iter().enumerate() {
        let kept = Kept::new("result", Duration::from_secs(10 + number as u64));
        let outcome =
            if number % 2 == 0 { Outcome::Dead { reason: "no".into() } } else { Outcome::Complete(Some(kept)) };
        assert_eq!(settle(store, &job, outcome).await, Settled::Done);
        fixture.clock.advance(Duration::from_millis(1));
    }
    let counts = store.counts(&queue()).await.unwrap();
    assert_eq!((counts.dead, counts.completed), (5, 3));
    let listed = store.list(&queue(), JobState::Dead, PageRequest::default()).await.unwrap().items;
    assert_eq!(listed.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), ["10", "12", "14", "16", "18"]);
    // A queue where nothing happens is tidied by those who look for work.
    fixture.clock.advance(Duration::from_secs(61));
    claim(store, 1).await;
    let counts = store.counts(&queue()).await.unwrap();
    assert_eq!((counts.dead, counts.completed), (0, 0));
    assert_eq!(fixture.server.command(&["EXISTS", "test:{q.mail.0}:state"]).await.unwrap().as_integer(), Some(0));
}

/// A claim of jobs of 16 MiB together.
fn large_claim() -> ClaimRequest {
    ClaimRequest::new(queue(), HolderName::new("worker-1").unwrap(), 100, LEASE).with_max_bytes(16 << 20)
}

#[tokio::test]
async fn a_claim_reads_no_more_than_a_batch_of_what_nobody_has_claimed_in_time() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for part in 0..5 {
        let large = |n| {
            let mut job = job(&format!("{part}.{n}")).with_start_within(Duration::from_secs(1));
            job.payload = vec![b'x'; 1 << 20].into();
            job
        };
        push(store, &(0..16).map(large).collect::<Vec<_>>()).await;
    }
    fixture.clock.advance(Duration::from_secs(1));
    for dead in [16, 32, 48, 64, 80] {
        let claimed = store.claim(&large_claim()).await.unwrap();
        assert!(claimed.jobs.is_empty());
        assert_eq!(store.counts(&queue()).await.unwrap().dead, dead);
        assert_eq!(claimed.next, (dead < 80).then_some(Duration::ZERO));
    }
}

#[tokio::test]
async fn unique_keys_whose_time_is_over_go_as_fast_as_others_come() {
    let fixture = fixture().await;
    let second = Duration::from_secs(1);
    for round in 0..6 {
        let held = |n| {
            let name = format!("{round}.{n}");
            job(&name).with_unique(Unique::new(UniqueKey::new(name).unwrap(), UniqueUntil::Elapsed(second)))
        };
        push(&fixture.store, &(0..200).map(held).collect::<Vec<_>>()).await;
        fixture.clock.advance(second);
    }
    for (part, count) in [("unique", "HLEN"), ("unique_until", "ZCARD")] {
        let kept = fixture.server.command(&[count, &format!("test:{{q.mail.0}}:{part}")]).await.unwrap();
        assert_eq!(kept.as_integer(), Some(200), "{part}");
    }
}

#[tokio::test]
async fn a_claim_that_is_bounded_by_bytes_says_that_more_is_ready() {
    for batch in [1, 15] {
        let fixture = fixture().await;
        let large = |n: u32| {
            let mut job = job(&format!("{n}"));
            job.payload = vec![b'x'; 1 << 20].into();
            job
        };
        for first in (0..30).step_by(batch) {
            push(&fixture.store, &(first..).take(batch).map(large).collect::<Vec<_>>()).await;
        }
        let (mut claimed, mut sizes) = (BTreeSet::new(), Vec::new());
        while claimed.len() < 30 {
            let claim = fixture.store.claim(&large_claim()).await.unwrap();
            claimed.extend(claim.jobs.iter().map(|job| job.id().to_string()));
            assert_eq!(claim.next == Some(Duration::ZERO), claimed.len() < 30, "{sizes:?}");
            sizes.push(claim.jobs.len());
        }
        assert!(sizes.len() <= 4, "{sizes:?}");
    }
}

/// Two claims of parts cost the server more than one of all.
#[tokio::test]
async fn a_claim_leaves_jobs_of_one_push_to_a_claim_that_can_take_them_all() {
    let fixture = fixture().await;
    let claim_up_to = async |max: usize| {
        let worker = HolderName::new("worker").unwrap();
        let claim = fixture.store.claim(&ClaimRequest::new(queue(), worker, max, LEASE)).await.unwrap();
        (claim.jobs.len(), claim.next == Some(Duration::ZERO))
    };
    for _ in 0..3 {
        push(&fixture.store, &vec![NewJob::new("x"); 50]).await;
    }
    assert_eq!(claim_up_to(20).await, (20, false));
    // It gets what is left of the first push, and could not get all of the second.
    assert_eq!(claim_up_to(50).await, (30, true));
    assert_eq!(claim_up_to(50).await, (50, false));
    // One that is smaller than a push takes a part of the next.
    assert_eq!(claim_up_to(20).await, (20, false));
    assert_eq!(claim_up_to(40).await, (30, false));
}
