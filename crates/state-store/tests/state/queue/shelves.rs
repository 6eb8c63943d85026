//! Many scheduled jobs, which share the server's strings.

use std::collections::BTreeSet;
use std::time::Duration;

use store_core::{
    Cancelled, Deleted, Durability, Explanation, JobState, NewJob, Outcome, PackingBounds, PageRequest, Pushed, Queue,
    QueueControl, QueueInspect, RetryPolicy, StateOptions, Unique, UniqueKey, UniqueUntil,
};

use super::{are_new, claim, id, job, push, queue, settle};
use crate::{Fixture, stage_with};

const JOBS: u64 = 3000;

/// Jobs for the next hour, in no order, some for one moment, with ids of every length.
fn later(number: u64) -> NewJob {
    let name = format!("{}{number}", "x".repeat(usize::try_from(number % 7).unwrap() * 5));
    let delay = Duration::from_secs(600 + (number * 7919) % 1000);
    let mut job = NewJob::new(vec![7; 200]).with_id(id(&name)).with_delay(delay);
    job.request = 7;
    job
}

/// A store that shelves as always, but not only where thousands of jobs wait.
async fn fixture() -> Fixture {
    stage_with(StateOptions::default().with_packing(PackingBounds { unpacked: 100, ..PackingBounds::default() })).await
}

async fn fill(fixture: &Fixture) {
    for first in (0..JOBS).step_by(50) {
        let jobs: Vec<_> = (first..first + 50).map(later).collect();
        assert_eq!(are_new(&push(&fixture.store, &jobs).await), [true; 50]);
    }
    assert!(how_many(fixture, "HLEN", "jobs").await < i64::try_from(JOBS).unwrap() / 4, "most jobs stand on shelves");
}

async fn how_many(fixture: &Fixture, command: &str, part: &str) -> i64 {
    fixture.server.command(&[command, &format!("test:{{q.mail.0}}:{part}")]).await.unwrap().as_integer().unwrap()
}

#[tokio::test]
async fn jobs_on_shelves_are_found_acted_upon_and_delivered_once() {
    let fixture = fixture().await;
    fill(&fixture).await;
    let (store, queue, now) = (&fixture.store, queue(), fixture.clock.now());
    assert_eq!(store.counts(&queue).await.unwrap().scheduled, JOBS);
    for number in (0..JOBS).step_by(97) {
        let job = later(number);
        let info = store.get(&queue, job.id.as_ref().unwrap()).await.unwrap().unwrap();
        assert_eq!((info.state, info.payload.as_ref()), (JobState::Scheduled, job.payload.as_ref()));
        assert_eq!(info.at, Some(now.after(job.delay)));
        let explained = store.explain(&queue, job.id.as_ref().unwrap()).await.unwrap();
        assert_eq!(explained, Explanation::Scheduled { due: now.after(job.delay), last_error: None });
    }

    let mut other = later(5);
    other.request = 8;
    let plain = |number| later(number).with_delay(Duration::ZERO);
    assert_eq!(
        push(store, &[other, later(6), plain(7)]).await[..2],
        [Pushed::Duplicate, Pushed::Created { id: later(6).id.unwrap() }]
    );
    assert_eq!(are_new(&push(store, &[plain(8)]).await), [true], "known by its request");
    assert_eq!(store.counts(&queue).await.unwrap().pending(), JOBS, "nothing was added");

    let gone: Vec<_> = (100..140).map(|number| later(number).id.unwrap()).collect();
    for job in &gone[..20] {
        assert_eq!(store.cancel(&queue, job).await.unwrap(), Cancelled::Removed);
    }
    assert_eq!(store.delete(&queue, &gone).await.unwrap()[19..21], [Deleted::Unknown, Deleted::Deleted]);
    let early: Vec<_> = (200..210).map(|number| later(number).id.unwrap()).collect();
    assert_eq!(store.promote(&queue, &early).await.unwrap(), [true; 10]);
    assert_eq!(store.counts(&queue).await.unwrap().ready, 10);

    let mut delivered = BTreeSet::new();
    loop {
        let claimed = claim(store, 500).await;
        for job in &claimed.jobs {
            assert!(delivered.insert(job.id().to_string()), "{} was delivered twice", job.id());
            settle(store, job, Outcome::Complete(None)).await;
        }
        match claimed.next {
            Some(next) => fixture.clock.advance(next),
            None if claimed.jobs.is_empty() => break,
            None => {}
        }
    }
    assert_eq!(delivered.len() as u64, JOBS - 40);
}

#[tokio::test]
async fn a_listing_goes_on_in_order_while_jobs_come_go_and_change_places() {
    let fixture = fixture().await;
    fill(&fixture).await;
    let (store, queue) = (&fixture.store, queue());
    let (mut seen, mut last, mut request, mut turn) = (BTreeSet::new(), None, PageRequest::first(100), JOBS);
    loop {
        let page = store.list(&queue, JobState::Scheduled, request).await.unwrap();
        for job in page.items {
            assert!(job.at >= last, "in the order in which they become due");
            last = job.at;
            assert!(seen.insert(job.id.to_string()), "{} is listed twice", job.id);
        }
        let Some(next) = page.next else { break };
        request = PageRequest::first(100).with_cursor(next);
        // Those with odd numbers stay: each of them is seen.
        let gone = [later(turn % JOBS / 2 * 2).id.unwrap(), later((turn * 31) % JOBS / 2 * 2).id.unwrap()];
        store.delete(&queue, &gone).await.unwrap();
        push(store, &(turn..turn + 50).map(later).collect::<Vec<_>>()).await;
        turn += 50;
    }
    let missing = (1..JOBS).step_by(2).find(|number| !seen.contains(later(*number).id.unwrap().as_str()));
    assert_eq!(missing, None);
}

#[tokio::test]
async fn a_unique_key_is_held_by_a_job_on_a_shelf() {
    let fixture = fixture().await;
    let unique = |name: &str| {
        let key = Unique::new(UniqueKey::new("key").unwrap(), UniqueUntil::Finished);
        job(name).with_unique(key).with_delay(Duration::from_secs(1000)).with_retry(RetryPolicy::never())
    };
    assert_eq!(are_new(&push(&fixture.store, &[unique("holder")]).await), [true]);
    fill(&fixture).await;
    let alone = fixture.server.command(&["HEXISTS", "test:{q.mail.0}:jobs", "holder"]).await.unwrap();
    assert_eq!(alone.as_integer(), Some(0), "it stands on a shelf");
    let held = fixture.store.push(&queue(), &[unique("other")], Durability::Accepted).await.unwrap().value;
    assert_eq!(held, [Pushed::Held { by: id("holder") }]);
    assert_eq!(fixture.store.cancel(&queue(), &id("holder")).await.unwrap(), Cancelled::Removed);
    assert_eq!(are_new(&push(&fixture.store, &[unique("other")]).await), [true]);
}

#[tokio::test]
async fn jobs_with_small_payloads_are_shelved() {
    let fixture = fixture().await;
    for first in (0..JOBS).step_by(50) {
        let small = |n: u64| job(&format!("{n}")).with_delay(Duration::from_secs(600 + n % 100));
        push(&fixture.store, &(first..first + 50).map(small).collect::<Vec<_>>()).await;
    }
    assert!(how_many(&fixture, "HLEN", "jobs").await < i64::try_from(JOBS).unwrap() / 2);
}

#[tokio::test]
async fn thousands_that_are_due_at_once_are_shelved_and_come_with_the_first_claims() {
    let fixture = fixture().await;
    for first in (0..JOBS).step_by(50) {
        let at_once = |n: u64| later((n * 7919) % JOBS).with_delay(Duration::from_secs(600));
        push(&fixture.store, &(first..first + 50).map(at_once).collect::<Vec<_>>()).await;
    }
    assert!(how_many(&fixture, "HLEN", "jobs").await < i64::try_from(JOBS).unwrap() / 3);
    fixture.clock.advance(Duration::from_secs(600));
    let mut claimed = BTreeSet::new();
    for _ in 0..JOBS.div_ceil(256) {
        let jobs = claim(&fixture.store, 256).await.jobs;
        assert!(!jobs.is_empty(), "after {} jobs", claimed.len());
        claimed.extend(jobs.iter().map(|job| job.id().to_string()));
    }
    assert_eq!(claimed.len() as u64, JOBS);
}
