//! A server that dies while a script changes shelves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use store_core::{
    Cancelled, Deleted, JobState, NewJob, PackingBounds, PageRequest, Pushed, QueueControl, QueueInspect, QueueName,
};

use super::crashes::{Fixture, push, scene_with};
use super::{are_new, id, job};

/// Shelves of two to five jobs.
const TINY: PackingBounds = PackingBounds {
    unpacked: 0,
    ahead_millis: 1000,
    most_bytes: 300,
    least_bytes: 110,
    window: 8,
    every: 1,
    share: 16,
};

/// A job for later: those with close numbers are due after each other, some at one moment.
fn later(number: u64) -> NewJob {
    let mut job = job(&number.to_string()).with_delay(Duration::from_millis(20_000 + 100 * (number / 2)));
    job.request = 7;
    job
}

/// Every third job: the others come between them.
fn first_half() -> Vec<NewJob> {
    (0..24).filter(|number| number % 3 == 0).map(later).collect()
}

fn second_half() -> Vec<NewJob> {
    (0..24).filter(|number| number % 3 != 0).map(later).collect()
}

fn once_each() -> BTreeMap<String, u32> {
    (0..24).map(|number: u32| (number.to_string(), 1)).collect()
}

async fn shelved(fixture: &Fixture, queue: &QueueName) {
    push(&fixture.store, queue, &first_half()).await.unwrap();
    push(&fixture.store, queue, &second_half()).await.unwrap();
    let (shelves, alone) =
        (how_many(fixture, queue, "ZCARD", "shelves_due").await, how_many(fixture, queue, "ZCARD", "due").await);
    assert!(shelves > 2 && alone < 12, "most jobs stand on shelves, not {alone} alone beside {shelves}");
}

async fn how_many(fixture: &Fixture, queue: &QueueName, command: &str, part: &str) -> i64 {
    let key = format!("test:{{q.{queue}.0}}:{part}");
    fixture.server.command(&[command, &key]).await.unwrap().as_integer().unwrap()
}

/// What is listed, counted and found one by one is the same, and in order. The ids.
async fn listed(fixture: &Fixture, queue: &QueueName) -> BTreeSet<String> {
    let (mut jobs, mut request) = (Vec::new(), PageRequest::first(5));
    loop {
        let page = fixture.store.list(queue, JobState::Scheduled, request).await.unwrap();
        jobs.extend(page.items);
        let Some(next) = page.next else { break };
        request = PageRequest::first(5).with_cursor(next);
    }
    assert!(jobs.is_sorted_by_key(|job| job.at));
    for job in &jobs {
        assert_eq!(fixture.state(queue, job.id.as_str()).await, Some(JobState::Scheduled));
    }
    let names: BTreeSet<_> = jobs.iter().map(|job| job.id.to_string()).collect();
    assert_eq!(names.len(), jobs.len(), "no job is listed twice");
    names
}

/// Has whatever was cut carried on, by a call that finds nothing else to do.
async fn carry_on(fixture: &Fixture, queue: &QueueName) -> BTreeSet<String> {
    assert_eq!(fixture.store.promote(queue, &[id("nobody")]).await.unwrap(), [false]);
    let names = listed(fixture, queue).await;
    // An entry without a record counts until a claim meets it.
    let key = format!("test:{{q.{queue}.0}}:jobs");
    let mut on_shelves = 0;
    for name in &names {
        on_shelves += 1 - fixture.server.command(&["HEXISTS", &key, name]).await.unwrap().as_integer().unwrap();
    }
    let counted = i64::try_from(fixture.store.counts(queue).await.unwrap().scheduled).unwrap();
    assert_eq!(counted - how_many(fixture, queue, "ZCARD", "due").await, on_shelves);
    names
}

async fn assert_drained(fixture: &Fixture, queue: &QueueName, expected: BTreeMap<String, u32>) {
    assert_eq!(fixture.drain_by(queue, 7).await, expected);
    fixture.assert_clean(queue).await;
    let meta = format!("test:{{q.{queue}.0}}:meta");
    assert_eq!(fixture.server.command(&["HEXISTS", &meta, "shelves"]).await.unwrap().as_integer(), Some(0));
}

#[tokio::test]
async fn a_cut_push_onto_shelves_sent_again_pushes_each_job_once() {
    let fixture = scene_with(TINY).await;
    let prepare = async |queue: &QueueName| {
        push(&fixture.store, queue, &first_half()).await.unwrap();
    };
    let act = async |queue: &QueueName, (): &()| {
        let pushed = push(&fixture.store, queue, &second_half()).await?;
        assert_eq!(are_new(&pushed), [true; 16]);
        Ok(())
    };
    let check = async |queue: &QueueName| {
        assert_eq!(carry_on(&fixture, queue).await.len(), 24);
        let mut other = later(5);
        other.request = 8;
        assert_eq!(
            push(&fixture.store, queue, &[other, later(6)]).await.unwrap(),
            [Pushed::Duplicate, Pushed::Created { id: later(6).id.unwrap() }]
        );
        assert_drained(&fixture, queue, once_each()).await;
    };
    fixture.cut_everywhere("queue/push", true, prepare, act, check).await;
}

#[tokio::test]
async fn what_a_cut_push_has_shelved_is_found_cancelled_and_never_comes_back() {
    let fixture = scene_with(TINY).await;
    let prepare = async |queue: &QueueName| {
        push(&fixture.store, queue, &first_half()).await.unwrap();
    };
    let act = async |queue: &QueueName, (): &()| push(&fixture.store, queue, &second_half()).await.map(drop);
    for is_carried_on in [true, false] {
        let check = async |queue: &QueueName| {
            // What only reads may meet what was cut.
            let mut left = listed(&fixture, queue).await;
            if is_carried_on {
                assert_eq!(carry_on(&fixture, queue).await, left);
            }
            assert!(left.len() >= 8);
            for name in ["3", "4", "12", "13"] {
                let expected = if left.remove(name) { Cancelled::Removed } else { Cancelled::Unknown };
                assert_eq!(fixture.store.cancel(queue, &id(name)).await.unwrap(), expected);
            }
            for name in ["6", "7"] {
                let expected = if left.remove(name) { Deleted::Deleted } else { Deleted::Unknown };
                assert_eq!(fixture.store.delete(queue, &[id(name)]).await.unwrap(), [expected]);
            }
            assert_eq!(carry_on(&fixture, queue).await, left);
            assert_eq!(are_new(&push(&fixture.store, queue, &[later(6)]).await.unwrap()), [true]);
            left.insert("6".to_owned());
            assert_drained(&fixture, queue, left.into_iter().map(|name| (name, 1)).collect()).await;
        };
        fixture.cut_everywhere("queue/push", false, prepare, act, check).await;
    }
}

#[tokio::test]
async fn a_cut_claim_of_shelved_jobs_loses_none_and_hands_out_none_twice() {
    let fixture = scene_with(TINY).await;
    for (due_in, max) in [(20_300, 3), (21_000, 30), (60_000, 7)] {
        let prepare = async |queue: &QueueName| {
            shelved(&fixture, queue).await;
            fixture.clock.advance(Duration::from_millis(due_in));
        };
        let act = async |queue: &QueueName, (): &()| fixture.claim(queue, max).await.map(drop);
        for is_carried_on in [true, false] {
            let check = async |queue: &QueueName| {
                if is_carried_on {
                    carry_on(&fixture, queue).await;
                }
                assert_drained(&fixture, queue, once_each()).await;
            };
            fixture.cut_everywhere("queue/claim", false, prepare, act, check).await;
        }
    }
}

#[tokio::test]
async fn what_is_cancelled_after_a_cut_claim_of_shelved_jobs_never_comes_back() {
    let fixture = scene_with(TINY).await;
    let prepare = async |queue: &QueueName| {
        shelved(&fixture, queue).await;
        fixture.clock.advance(Duration::from_millis(20_300));
    };
    let act = async |queue: &QueueName, (): &()| fixture.claim(queue, 3).await.map(drop);
    let check = async |queue: &QueueName| {
        let mut expected = once_each();
        for name in ["8", "12", "20"] {
            assert_eq!(fixture.store.cancel(queue, &id(name)).await.unwrap(), Cancelled::Removed);
            expected.remove(name);
        }
        assert_drained(&fixture, queue, expected).await;
    };
    fixture.cut_everywhere("queue/claim", false, prepare, act, check).await;
}

#[tokio::test]
async fn cut_removals_from_shelves_lead_where_they_would_have_led() {
    let fixture = scene_with(TINY).await;
    let gone = ["0", "5", "6", "7", "23"];
    for again in [true, false] {
        let check = async |queue: &QueueName| {
            let left = carry_on(&fixture, queue).await;
            assert!(left.len() >= 24 - gone.len());
            assert!(!again || left.len() == 24 - gone.len(), "{left:?}");
            assert_drained(&fixture, queue, left.into_iter().map(|name| (name, 1)).collect()).await;
        };
        let prepare = async |queue: &QueueName| shelved(&fixture, queue).await;
        let cancel = async |queue: &QueueName, (): &()| {
            for name in gone {
                fixture.store.cancel(queue, &id(name)).await?;
            }
            Ok(())
        };
        fixture.cut_everywhere("queue/cancel", again, prepare, cancel, &check).await;
        let delete = async |queue: &QueueName, (): &()| fixture.store.delete(queue, &gone.map(id)).await.map(drop);
        fixture.cut_everywhere("queue/delete", again, prepare, delete, &check).await;
    }
}

#[tokio::test]
async fn a_cut_promotion_of_shelved_jobs_leaves_each_job_once() {
    let fixture = scene_with(TINY).await;
    for again in [true, false] {
        let prepare = async |queue: &QueueName| shelved(&fixture, queue).await;
        let early = ["0", "5", "6", "7", "23"].map(id);
        let promote = async |queue: &QueueName, (): &()| fixture.store.promote(queue, &early).await.map(drop);
        let check = async |queue: &QueueName| {
            let scheduled = carry_on(&fixture, queue).await;
            assert!(!again || scheduled.len() == 19);
            assert_drained(&fixture, queue, once_each()).await;
        };
        fixture.cut_everywhere("queue/promote", again, prepare, promote, check).await;
    }
}
