//! A server that dies while a script works on jobs that are stored together.

use std::collections::BTreeMap;
use std::time::Duration;

use store_core::{
    ClaimedJob, Durability, Extension, JobState, Kept, NewJob, Outcome, Priority, Queue, QueueControl, QueueInspect,
    QueueName, Result, Settled, Settlement,
};

use super::crashes::{Fixture, fixture, push};
use super::{LEASE, id, job};

/// Ids of three kinds, short ones, some as long as a packed UUID, and UUIDs of one family: they fill several parcels.
fn name(n: usize) -> String {
    if n < 7 {
        n.to_string()
    } else if n < 10 {
        format!("customer-{n:08}")
    } else {
        format!("018f6d2a-1b2c-7d3e-8f90-a1b2c3d4e5{n:02x}")
    }
}

fn jobs(count: usize) -> Vec<NewJob> {
    let numbered = |n: usize| {
        let mut job = job(&name(n));
        job.request = 7;
        job
    };
    (0..count).map(numbered).collect()
}

fn once_each(count: usize) -> BTreeMap<String, u32> {
    (0..count).map(|n| (name(n), 1)).collect()
}

async fn claimed(fixture: &Fixture, queue: &QueueName, pushed: usize, max: usize) -> Vec<ClaimedJob> {
    push(&fixture.store, queue, &jobs(pushed)).await.unwrap();
    let claimed = fixture.claim(queue, max).await.unwrap();
    assert_eq!(claimed.len(), max);
    claimed
}

#[tokio::test]
async fn a_cut_push_of_parcels_sent_again_pushes_each_job_once() {
    let fixture = fixture().await;
    let act = async |queue: &QueueName, (): &()| {
        let pushed = push(&fixture.store, queue, &jobs(60)).await?;
        assert!(pushed.iter().all(|job| job.is_new()));
        Ok(())
    };
    let check = async |queue: &QueueName| {
        assert_eq!(fixture.drain_by(queue, 25).await, once_each(60));
        fixture.assert_clean(queue).await;
    };
    fixture.cut_everywhere("queue/push", true, async |_| (), act, check).await;
}

#[tokio::test]
async fn a_cut_push_of_parcels_that_is_given_up_leaves_nothing_behind() {
    let fixture = fixture().await;
    let act = async |queue: &QueueName, (): &()| push(&fixture.store, queue, &jobs(60)).await.map(drop);
    let check = async |queue: &QueueName| {
        assert!(fixture.drain(queue).await.values().all(|times| *times == 1));
        fixture.assert_clean(queue).await;
    };
    fixture.cut_everywhere("queue/push", false, async |_| (), act, check).await;
}

#[tokio::test]
async fn a_cut_claim_of_parcels_loses_no_job_and_hands_out_none_twice() {
    let fixture = fixture().await;
    for (max, is_mixed) in [(60, false), (4, false), (25, false), (30, true), (80, true)] {
        let lone = job("lone").with_start_within(LEASE * 1000);
        let prepare = async |queue: &QueueName| {
            if is_mixed {
                push(&fixture.store, queue, std::slice::from_ref(&lone)).await.unwrap();
                let first: Vec<_> = ["x", "y", "z"].map(|name| job(name).with_priority(Priority::Critical)).into();
                push(&fixture.store, queue, &first).await.unwrap();
            }
            push(&fixture.store, queue, &jobs(60)).await.unwrap();
        };
        let act = async |queue: &QueueName, (): &()| fixture.claim(queue, max).await.map(drop);
        for again in [25, 100] {
            let check = async |queue: &QueueName| {
                let mut expected = once_each(60);
                if is_mixed {
                    expected.extend(["lone", "x", "y", "z"].map(|name| (name.to_owned(), 1)));
                }
                assert_eq!(fixture.drain_by(queue, again).await, expected);
                fixture.assert_clean(queue).await;
            };
            fixture.cut_everywhere("queue/claim", false, prepare, act, check).await;
        }
    }
}

#[tokio::test]
async fn what_is_cancelled_after_a_cut_claim_never_comes_back() {
    let fixture = fixture().await;
    for max in [4, 25] {
        let prepare = async |queue: &QueueName| {
            push(&fixture.store, queue, &jobs(60)).await.unwrap();
        };
        let act = async |queue: &QueueName, (): &()| fixture.claim(queue, max).await.map(drop);
        let check = async |queue: &QueueName| {
            let mut expected = once_each(60);
            for name in ["2", "5", "20", "59"] {
                fixture.store.cancel(queue, &id(name)).await.unwrap();
                expected.remove(name);
            }
            assert_eq!(fixture.drain(queue).await, expected);
            fixture.assert_clean(queue).await;
        };
        fixture.cut_everywhere("queue/claim", false, prepare, act, check).await;
    }
}

#[tokio::test]
async fn a_cut_claim_after_the_lease_of_a_parcel_brings_back_what_was_not_settled() {
    let fixture = fixture().await;
    let prepare = async |queue: &QueueName| {
        let jobs = claimed(&fixture, queue, 60, 60).await;
        complete(&fixture, queue, &jobs[5..15]).await;
        fixture.clock.advance(LEASE);
    };
    let act = async |queue: &QueueName, (): &()| fixture.claim(queue, 3).await.map(drop);
    let check = async |queue: &QueueName| {
        let mut expected = once_each(60);
        (5..15).for_each(|n| _ = expected.remove(&name(n)));
        assert_eq!(fixture.drain(queue).await, expected);
        fixture.assert_clean(queue).await;
    };
    fixture.cut_everywhere("queue/claim", false, prepare, act, check).await;
}

async fn complete(fixture: &Fixture, queue: &QueueName, jobs: &[ClaimedJob]) -> Vec<Settled> {
    let settlements = jobs.iter().map(|job| Settlement::new(job.lease.clone(), Outcome::Complete(None)));
    fixture.store.settle(queue, &settlements.collect::<Vec<_>>(), Durability::Accepted).await.unwrap().value
}

/// Settlements of two thirds of 18 jobs of a parcel in every way, and where the jobs stand then.
fn mixture(jobs: &[ClaimedJob]) -> Vec<Settlement> {
    let soon = Duration::from_secs(1);
    let ways = [
        Outcome::Complete(None),
        Outcome::Retry { after: Duration::ZERO, error: "no".into() },
        Outcome::Dead { reason: "no".into() },
        Outcome::Snooze { after: soon },
        Outcome::Release,
        Outcome::Complete(Some(Kept::new("result", LEASE * 1000))),
    ];
    jobs.iter().take(12).enumerate().map(|(n, job)| Settlement::new(job.lease.clone(), ways[n % 6].clone())).collect()
}

#[tokio::test]
async fn a_cut_settlement_of_every_kind_in_a_parcel() {
    let fixture = fixture().await;
    for again in [true, false] {
        let prepare = async |queue: &QueueName| mixture(&claimed(&fixture, queue, 18, 18).await);
        let act = async |queue: &QueueName, settlements: &Vec<Settlement>| {
            let settled = fixture.store.settle(queue, settlements, Durability::Accepted).await?.value;
            assert_eq!(settled, [Settled::Done; 12]);
            Ok(())
        };
        let check = async |queue: &QueueName| {
            let delivered = fixture.drain(queue).await;
            assert!(delivered.values().all(|times| *times == 1), "{delivered:?}");
            for n in 0..18 {
                let (name, is_back) = (name(n), delivered.contains_key(&name(n)));
                let state = fixture.state(queue, &name).await;
                match n % 6 {
                    _ if n >= 12 => assert!(is_back, "{name}"),
                    0 => assert!(!again || !is_back, "{name}"),
                    2 => assert!(is_back && !again || state == Some(JobState::Dead), "{name} {state:?}"),
                    5 => assert!(is_back && !again || state == Some(JobState::Completed), "{name} {state:?}"),
                    _ => assert!(is_back, "{name}"),
                }
            }
            let all: Vec<_> = (0..18).map(|n| id(&name(n))).collect();
            fixture.store.delete(queue, &all).await.unwrap();
            fixture.assert_clean(queue).await;
        };
        fixture.cut_everywhere("queue/settle", again, prepare, act, check).await;
    }
}

/// Whether what `act` has left of the running jobs is sound: what is answered to be done never comes back, all others do.
async fn settle_after(
    fixture: &Fixture,
    script: &str,
    again: bool,
    act: impl AsyncFn(&QueueName, &Vec<ClaimedJob>) -> Result<()>,
) {
    for is_whole in [true, false] {
        let prepare = async |queue: &QueueName| claimed(fixture, queue, 18, 18).await;
        let act = async |queue: &QueueName, jobs: &Vec<ClaimedJob>| {
            let outcome = act(queue, jobs).await;
            if outcome.is_ok() || !again {
                fixture.proxy.heal();
                let mut settled = Vec::new();
                for jobs in jobs.chunks(if is_whole { 18 } else { 4 }) {
                    settled.extend(complete(fixture, queue, jobs).await);
                }
                let delivered = fixture.drain(queue).await;
                for (job, settled) in jobs.iter().zip(settled) {
                    let times = delivered.get(job.id().as_str()).copied().unwrap_or_default();
                    assert_eq!(times, u32::from(settled == Settled::Lost), "{} {script} {is_whole} {again}", job.id());
                }
            }
            outcome
        };
        fixture.cut_everywhere(script, again, prepare, act, async |queue| fixture.assert_clean(queue).await).await;
    }
}

#[tokio::test]
async fn a_cut_extension_in_a_parcel_leaves_each_job_with_one_lease() {
    let fixture = fixture().await;
    for (count, progress) in [(18, None), (7, None), (7, Some("half")), (18, Some("half"))] {
        for again in [true, false] {
            let extend = async |queue: &QueueName, jobs: &Vec<ClaimedJob>| {
                let extensions = jobs.iter().take(count).enumerate().map(|(n, job)| {
                    let mut extension = Extension::new(job.lease.clone());
                    extension.progress = progress.filter(|_| n % 2 == 0).map(Into::into);
                    extension
                });
                fixture.store.extend(queue, &extensions.collect::<Vec<_>>(), LEASE * 3).await.map(drop)
            };
            settle_after(&fixture, "queue/extend", again, extend).await;
        }
    }
}

#[tokio::test]
async fn a_cut_cancellation_in_a_running_parcel_leaves_each_job_with_one_lease() {
    let fixture = fixture().await;
    for again in [true, false] {
        let cancel =
            async |queue: &QueueName, _: &Vec<ClaimedJob>| fixture.store.cancel(queue, &id("3")).await.map(drop);
        settle_after(&fixture, "queue/cancel", again, cancel).await;
    }
}

#[tokio::test]
async fn cut_removals_from_a_ready_parcel_lead_where_they_would_have_led() {
    let fixture = fixture().await;
    let prepare = async |queue: &QueueName| {
        push(&fixture.store, queue, &jobs(4)).await.unwrap();
    };
    let check = async |queue: &QueueName| {
        assert_eq!(fixture.store.counts(queue).await.unwrap().ready, 1);
        assert_eq!(fixture.drain(queue).await.into_keys().collect::<Vec<_>>(), ["3"]);
        fixture.assert_clean(queue).await;
    };
    let cancel = async |queue: &QueueName, (): &()| {
        for name in ["0", "1", "2"] {
            fixture.store.cancel(queue, &id(name)).await?;
        }
        Ok(())
    };
    fixture.cut_everywhere("queue/cancel", true, prepare, cancel, check).await;
    let delete =
        async |queue: &QueueName, (): &()| fixture.store.delete(queue, &["0", "1", "2"].map(id)).await.map(drop);
    fixture.cut_everywhere("queue/delete", true, prepare, delete, check).await;
}
