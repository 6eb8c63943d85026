//! The whole life of a job with everything it can carry.

use std::time::Duration;

use bytes::Bytes;
use store_core::{
    Backoff, Cancelled, Deleted, Durability, Explanation, Extended, Extension, JobInfo, JobLease, JobState, Kept,
    NewJob, Outcome, PageRequest, Priority, Pushed, Queue, QueueControl, QueueExt, QueueInspect, Replayed, RetryPolicy,
    Settled, Settlement, TraceContext, Unique, UniqueKey, UniqueUntil,
};

use super::{LEASE, are_new, claim, claim_one, id, job, names, push, queue, settle};
use crate::fixture;

fn rich() -> NewJob {
    job("rich")
        .with_priority(Priority::Critical)
        .with_unique(Unique::new(UniqueKey::new("größe / 42").unwrap(), UniqueUntil::Finished))
        .with_retry(RetryPolicy::new(3, Backoff::Linear { step: Duration::from_secs(7), max: Duration::from_secs(70) }))
        .with_start_within(Duration::from_secs(60))
        .with_schema(9)
        .with_trace(TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap())
}

#[tokio::test]
async fn all_that_a_job_carries_arrives() {
    let fixture = fixture().await;
    let uuid = NewJob::new(Bytes::from_static(b"\x00\xff*3\r\n$9\r\nsubscribe"));
    let bare = NewJob::new("").with_priority(Priority::Low);
    let backoffs = [
        Backoff::Fixed(Duration::ZERO),
        Backoff::Exponential { first: Duration::from_millis(5), max: Duration::from_secs(1) },
    ];
    let mut jobs = vec![uuid, bare, rich()];
    jobs.extend(
        backoffs.map(|backoff| {
            job(&format!("{backoff:?}").replace(['{', '}'], "")).with_retry(RetryPolicy::new(1, backoff))
        }),
    );
    jobs.push(job("claimed").with_unique(Unique::new(UniqueKey::new("c").unwrap(), UniqueUntil::Claimed)));
    let elapsed = UniqueUntil::Elapsed(Duration::from_secs(5));
    jobs.push(job("elapsed").with_unique(Unique::new(UniqueKey::new("e").unwrap(), elapsed)));
    let answers = push(&fixture.store, &jobs).await;
    assert_eq!(are_new(&answers), vec![true; jobs.len()]);

    let claimed = claim(&fixture.store, 100).await.jobs;
    assert_eq!(claimed.len(), jobs.len());
    assert_eq!(claimed[0].id().as_str(), "rich");
    assert_eq!(claimed[0].lease.unique.as_ref().map(UniqueKey::as_str), Some("größe / 42"));
    for (pushed, answer) in jobs.iter().zip(&answers) {
        let arrived = claimed.iter().find(|job| Some(job.id()) == answer.id()).unwrap();
        assert_eq!(arrived.payload, pushed.payload);
        assert_eq!((arrived.attempt, arrived.priority, arrived.schema), (1, pushed.priority, pushed.schema));
        assert_eq!((&arrived.unique, arrived.retry, &arrived.trace), (&pushed.unique, pushed.retry, &pushed.trace));
        assert_eq!((arrived.pushed_at, arrived.claimed_at), (fixture.clock.now(), fixture.clock.now()));
        assert_eq!((arrived.lease.until, &arrived.last_error), (fixture.clock.now().after(LEASE), &None));
    }
}

#[tokio::test]
async fn a_job_is_seen_at_each_station() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let look = async || store.get(&queue(), &id("rich")).await.unwrap().unwrap();
    let first = |info: &JobInfo| (info.state, info.attempts, info.at);

    push(store, &[rich().with_delay(Duration::from_secs(1))]).await;
    let due = fixture.clock.now().after(Duration::from_secs(1));
    assert_eq!(first(&look().await), (JobState::Scheduled, 0, Some(due)));
    let claimed = claim(store, 1).await;
    assert_eq!((claimed.jobs.len(), claimed.next), (0, Some(Duration::from_secs(1))));
    fixture.clock.advance(Duration::from_secs(1));
    let running = claim_one(store).await;
    let extension = Extension::new(running.lease.clone()).with_progress("half");
    let extended = store.extend(&queue(), &[extension], LEASE * 2).await.unwrap();
    assert_eq!(extended, [Extended::Until(fixture.clock.now().after(LEASE * 2))]);
    let info = look().await;
    assert_eq!(first(&info), (JobState::Running, 1, Some(fixture.clock.now().after(LEASE * 2))));
    assert_eq!((info.progress.as_deref(), info.worker.unwrap().as_str()), (Some(&b"half"[..]), "worker-1"));
    assert_eq!((info.max_attempts, info.priority), (3, Priority::Critical));

    let retry = Outcome::Retry { after: Duration::from_secs(5), error: "broken".into() };
    assert_eq!(settle(store, &running, retry.clone()).await, Settled::Done);
    assert_eq!(settle(store, &running, retry).await, Settled::Done, "it was settled under this lease");
    let explained = store.explain(&queue(), &id("rich")).await.unwrap();
    let due = fixture.clock.now().after(Duration::from_secs(5));
    assert_eq!(explained, Explanation::Scheduled { due, last_error: Some("broken".into()) });
    assert_eq!(store.promote(&queue(), &[id("rich"), id("none")]).await.unwrap(), [true, false]);
    assert_eq!(first(&look().await), (JobState::Ready, 1, None));

    let again = claim_one(store).await;
    assert_eq!((again.attempt, again.last_error.as_deref()), (2, Some("broken")));
    assert!(again.lease.fence > running.lease.fence);
    assert_eq!(settle(store, &running, Outcome::Complete(None)).await, Settled::Lost);
    let kept = Kept::new("result", Duration::from_secs(60));
    assert_eq!(settle(store, &again, Outcome::Complete(Some(kept))).await, Settled::Done);
    let info = look().await;
    assert_eq!(first(&info), (JobState::Completed, 2, Some(fixture.clock.now().after(Duration::from_secs(60)))));
    assert_eq!((info.result.as_deref(), info.progress), (Some(&b"result"[..]), None));
    assert_eq!(store.cancel(&queue(), &id("rich")).await.unwrap(), Cancelled::Finished);
    assert_eq!(push(store, &[rich()]).await, [Pushed::Duplicate]);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(store.get(&queue(), &id("rich")).await.unwrap(), None);
    assert_eq!(are_new(&push(store, &[rich()]).await), [true]);
    let dead = claim_one(store).await;
    assert_eq!(settle(store, &dead, Outcome::Dead { reason: "hopeless".into() }).await, Settled::Done);
    let explained = store.explain(&queue(), &id("rich")).await.unwrap();
    assert_eq!(explained, Explanation::Dead { reason: "hopeless".into() });
    assert_eq!(store.replay(&queue(), &[id("rich")]).await.unwrap(), [Replayed::Replayed]);
    assert_eq!(store.replay(&queue(), &[id("rich")]).await.unwrap(), [Replayed::NotDead]);
    assert_eq!(first(&look().await), (JobState::Ready, 0, None));
    assert_eq!(store.delete(&queue(), &[id("rich"), id("rich")]).await.unwrap(), [Deleted::Deleted, Deleted::Unknown]);
    assert_eq!(store.counts(&queue()).await.unwrap().pending(), 0);
}

#[tokio::test]
async fn a_queue_that_is_done_leaves_only_its_shape_and_its_fence() {
    let fixture = fixture().await;
    let unique = |kind| Unique::new(UniqueKey::new(format!("key {kind:?}")).unwrap(), kind);
    let jobs = [
        job("plain"),
        job("delayed").with_delay(Duration::from_millis(1)),
        job("finished").with_unique(unique(UniqueUntil::Finished)),
        job("claimed").with_unique(unique(UniqueUntil::Claimed)),
        job("elapsed").with_unique(unique(UniqueUntil::Elapsed(Duration::from_secs(1)))),
        job("late").with_start_within(Duration::from_millis(1)),
    ];
    push(&fixture.store, &jobs).await;
    fixture.clock.advance(Duration::from_millis(1));
    let claimed = claim(&fixture.store, 10).await.jobs;
    assert_eq!(names(&claimed), ["plain", "finished", "claimed", "elapsed", "delayed"]);
    let settlements: Vec<_> =
        claimed.iter().map(|job| Settlement::new(job.lease.clone(), Outcome::Complete(None))).collect();
    let settled = fixture.store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap().value;
    assert_eq!(settled, [Settled::Done; 5]);
    let explained = fixture.store.explain(&queue(), &id("late")).await.unwrap();
    assert_eq!(explained, Explanation::Dead { reason: "deadline".into() });
    fixture.store.delete(&queue(), &[id("late")]).await.unwrap();
    fixture.clock.advance(Duration::from_secs(1));
    claim(&fixture.store, 10).await;
    let keys = fixture.server.command(&["KEYS", "*"]).await.unwrap().as_strings().unwrap();
    let (calls, mut others): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.contains(":call:"));
    for call in calls {
        let left = fixture.server.command(&["PTTL", &call]).await.unwrap().as_integer();
        assert!(left.is_some_and(|left| left == -2 || left > 0 && left < 60_000), "{call} ends in {left:?} ms");
    }
    others.sort_unstable();
    assert_eq!(others, ["test:layouts", "test:{q.mail.0}:meta"]);
    let fields = fixture.server.command(&["HKEYS", "test:{q.mail.0}:meta"]).await.unwrap().as_strings().unwrap();
    assert_eq!(
        fields.into_iter().collect::<std::collections::BTreeSet<_>>(),
        ["dead_bytes", "fence", "shape", "tidied"].map(String::from).into()
    );
}

#[tokio::test]
async fn listings_go_on_where_they_stopped() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for priority in [Priority::Low, Priority::Critical] {
        let jobs: Vec<_> = (0..130).map(|n| job(&format!("{priority:?} {n:03}")).with_priority(priority)).collect();
        push(store, &jobs).await;
    }
    let collect = async |state: JobState, limit: u32| {
        let (mut seen, mut page) = (Vec::new(), PageRequest::first(limit));
        loop {
            let read = store.list(&queue(), state, page.clone()).await.unwrap();
            assert!(read.items.iter().all(|info| info.state == state && info.payload.is_empty()));
            seen.extend(read.items.into_iter().map(|info| info.id.to_string()));
            match read.next {
                Some(cursor) => page = PageRequest::first(limit).with_cursor(cursor),
                None => return seen,
            }
        }
    };
    let all = collect(JobState::Ready, 7).await;
    assert_eq!((all.len(), all[0].as_str(), all[130].as_str()), (260, "Critical 000", "Low 000"));
    assert_eq!(collect(JobState::Ready, 1000).await, all);

    // What is claimed meanwhile does not hide what comes behind it.
    let page = store.list(&queue(), JobState::Ready, PageRequest::first(50)).await.unwrap();
    assert_eq!(claim(store, 20).await.jobs.len(), 20);
    let next =
        store.list(&queue(), JobState::Ready, PageRequest::first(1).with_cursor(page.next.unwrap())).await.unwrap();
    assert_eq!(next.items[0].id.as_str(), "Critical 050");

    // All with one end of their lease.
    let running = claim(store, 240).await.jobs;
    assert_eq!(running.len(), 240);
    let mut listed = collect(JobState::Running, 33).await;
    listed.sort_unstable();
    let mut expected = all.clone();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    let bad =
        store.list(&queue(), JobState::Dead, PageRequest::first(1).with_cursor(store_core::Cursor::new("x"))).await;
    assert!(matches!(bad, Err(store_core::Error::InvalidArgument { .. })));
}

#[tokio::test]
async fn a_lease_that_ran_out_is_given_to_another_and_then_to_none() {
    let fixture = fixture().await;
    let store = &fixture.store;
    push(store, &[job("a").with_retry(RetryPolicy::new(2, Backoff::Fixed(Duration::ZERO)))]).await;
    let first = claim_one(store).await;
    store.extend(&queue(), &[Extension::new(first.lease.clone())], LEASE).await.unwrap();
    assert_eq!(claim(store, 1).await.next, Some(LEASE));
    fixture.clock.advance(LEASE);
    let explained = store.explain(&queue(), &id("a")).await.unwrap();
    assert!(matches!(explained, Explanation::LeaseRanOut { .. }));
    let second = claim_one(store).await;
    assert_eq!((second.attempt, second.last_error.as_deref()), (2, Some("lease ran out")));
    assert_eq!(settle(store, &first, Outcome::Complete(None)).await, Settled::Lost);
    let lost = store.extend(&queue(), &[Extension::new(first.lease)], LEASE).await.unwrap();
    assert_eq!(lost, [Extended::Lost]);
    assert_eq!(store.cancel(&queue(), &id("a")).await.unwrap(), Cancelled::Requested);
    let asked = store.extend(&queue(), &[Extension::new(second.lease.clone())], LEASE / 2).await.unwrap();
    assert_eq!(asked, [Extended::CancelRequested(second.lease.until)], "never shortened");
    fixture.clock.advance(LEASE);
    assert_eq!(claim(store, 1).await.jobs.len(), 0);
    assert_eq!(store.explain(&queue(), &id("a")).await.unwrap(), Explanation::Unknown, "forgotten as asked");

    push(store, &[job("b").with_retry(RetryPolicy::never())]).await;
    let only = claim_one(store).await;
    store.extend(&queue(), &[Extension::new(only.lease.clone())], LEASE).await.unwrap();
    fixture.clock.advance(LEASE);
    assert_eq!(claim(store, 1).await.jobs.len(), 0);
    let info = store.get(&queue(), &id("b")).await.unwrap().unwrap();
    assert_eq!(info.state, JobState::Dead);
    assert_eq!(info.last_error.as_deref(), Some("lease ran out on the last attempt"));
    assert_eq!(settle(store, &only, Outcome::Complete(None)).await, Settled::Lost);
}

#[tokio::test]
async fn released_jobs_come_first_and_snoozed_ones_keep_their_attempts() {
    let fixture = fixture().await;
    let store = &fixture.store;
    push(store, &[job("a"), job("b"), job("c")]).await;
    let first = claim(store, 2).await.jobs;
    assert_eq!(settle(store, &first[1], Outcome::Release).await, Settled::Done);
    assert_eq!(settle(store, &first[0], Outcome::Snooze { after: Duration::ZERO }).await, Settled::Done);
    let all = claim(store, 9).await.jobs;
    assert_eq!(names(&all), ["b", "c", "a"]);
    assert!(all.iter().all(|job| job.attempt == 1));
}

#[tokio::test]
async fn a_unique_key_is_held_as_long_as_it_was_said() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let with = |name: &str, until| job(name).with_unique(Unique::new(UniqueKey::new("key").unwrap(), until));
    let held = |name: &str| Pushed::Held { by: id(name) };
    let batch = [with("a", UniqueUntil::Finished), with("b", UniqueUntil::Finished), job("a")];
    assert_eq!(push(store, &batch).await, [Pushed::Created { id: id("a") }, held("a"), Pushed::Duplicate]);
    let a = claim_one(store).await;
    assert_eq!(push(store, &[with("b", UniqueUntil::Claimed)]).await, [held("a")]);
    // A client that has forgotten the key gives it back all the same.
    let lease = JobLease::new(a.lease.job.clone(), a.lease.fence, a.lease.until);
    assert_eq!(store.settle_one(&queue(), lease, Outcome::Complete(None)).await.unwrap(), Settled::Done);
    assert_eq!(are_new(&push(store, &[with("b", UniqueUntil::Claimed)]).await), [true]);
    claim_one(store).await;
    let elapsed = UniqueUntil::Elapsed(Duration::from_secs(9));
    assert_eq!(are_new(&push(store, &[with("c", elapsed)]).await), [true]);
    assert_eq!(store.cancel(&queue(), &id("c")).await.unwrap(), Cancelled::Removed);
    assert_eq!(push(store, &[with("d", UniqueUntil::Finished)]).await, [held("c")]);
    fixture.clock.advance(Duration::from_secs(9));
    assert_eq!(are_new(&push(store, &[with("d", UniqueUntil::Finished)]).await), [true]);
    assert_eq!(store.cancel(&queue(), &id("d")).await.unwrap(), Cancelled::Removed);
    assert_eq!(are_new(&push(store, &[with("e", UniqueUntil::Finished)]).await), [true]);
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_out() {
    let fixture = fixture().await;
    let store = &fixture.store;
    push(store, &[job("a")]).await;
    store.pause(&queue()).await.unwrap();
    store.pause(&queue()).await.unwrap();
    let claimed = claim(store, 1).await;
    assert!(claimed.paused && claimed.jobs.is_empty() && claimed.next.is_none());
    assert_eq!(store.explain(&queue(), &id("a")).await.unwrap(), Explanation::Paused);
    assert!(store.counts(&queue()).await.unwrap().paused);
    store.resume(&queue()).await.unwrap();
    assert_eq!(store.explain(&queue(), &id("a")).await.unwrap(), Explanation::WaitsForWorker { ahead_at_most: 0 });
    assert_eq!(claim(store, 1).await.jobs.len(), 1);
}
