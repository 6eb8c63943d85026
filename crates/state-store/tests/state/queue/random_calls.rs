//! No call breaks an invariant of the stored data: random calls, with a check behind each.

use std::collections::BTreeMap;
use std::time::Duration;

use store_core::{
    Backoff, Cancelled, ClaimRequest, Durability, Extension, HolderName, JobId, Kept, NewJob, Outcome, Priority, Queue,
    QueueControl, RetryPolicy, Settled, Unique, UniqueKey, UniqueUntil,
};

use super::invariants::Sound;
use super::partial_writes::Dice;
use super::{LEASE, id};
use crate::fixture;

fn any_jobs(dice: &mut Dice) -> Vec<NewJob> {
    let (kind, priority) = (dice.roll(6), Priority::ALL[dice.roll(4)]);
    let number = dice.roll(1000);
    let new = |position: usize| {
        let job = NewJob::new("").with_priority(priority).with_retry(RetryPolicy::new(2, Backoff::Fixed(LEASE)));
        match kind {
            0 => delayed(job, LEASE * (1 + position as u32)),
            1 => delayed(job, LEASE),
            2 => job.with_id(JobId::new(format!("{number}.{position}")).unwrap()),
            3 => job.with_unique(Unique::new(UniqueKey::new(format!("{}", number % 5)).unwrap(), UniqueUntil::Claimed)),
            _ => job,
        }
    };
    (0..1 + dice.roll(5)).map(new).collect()
}

fn delayed(mut job: NewJob, delay: Duration) -> NewJob {
    job.payload = "delayed".into();
    job.with_delay(delay)
}

fn any_outcome(dice: &mut Dice) -> Outcome {
    match dice.roll(6) {
        0 => Outcome::Retry { after: LEASE, error: "no".into() },
        1 => Outcome::Snooze { after: Duration::ZERO },
        2 => Outcome::Dead { reason: "no".into() },
        3 => Outcome::Release,
        4 => Outcome::Complete(Some(Kept::new("result", LEASE))),
        _ => Outcome::Complete(None),
    }
}

#[tokio::test]
async fn no_call_breaks_an_invariant() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut claimed: BTreeMap<Priority, usize> = BTreeMap::new();
    let (mut opened, mut expired, mut registered) = (0, 0, 0);
    for seed in 0..8 {
        let (mut dice, sound) = (Dice(seed), Sound::new(&fixture).await);
        let (mut ids, mut leases, mut waiters) = (vec![id("ready")], Vec::new(), Vec::new());
        for step in 0..80 {
            let action = dice.roll(12);
            match action {
                0 | 1 => {
                    let jobs = any_jobs(&mut dice);
                    let pushed = store.push(&sound.queue, &jobs, Durability::Accepted).await.unwrap().value;
                    ids.extend(pushed.iter().filter_map(|pushed| pushed.id().cloned()));
                }
                2 | 3 => {
                    for job in sound.claim_jobs(1 + dice.roll(6)).await {
                        *claimed.entry(job.priority).or_default() += 1;
                        opened += usize::from(job.payload == "delayed");
                        leases.push(job.lease);
                    }
                }
                4 | 5 if !leases.is_empty() => {
                    let lease = leases.swap_remove(dice.roll(leases.len()));
                    let has_expired = lease.until <= fixture.clock.now();
                    let settled = sound.settle(lease, any_outcome(&mut dice)).await;
                    expired += usize::from(has_expired && settled == Settled::Lost);
                }
                6 if !leases.is_empty() => {
                    let extension = Extension::new(leases[dice.roll(leases.len())].clone()).with_progress("half");
                    store.extend(&sound.queue, &[extension], LEASE).await.unwrap();
                }
                7 => {
                    let cancelled = store.cancel(&sound.queue, &ids[dice.roll(ids.len())]).await.unwrap();
                    assert!(!matches!(cancelled, Cancelled::Requested) || !leases.is_empty());
                }
                8 => {
                    let few = [ids[dice.roll(ids.len())].clone(), ids[dice.roll(ids.len())].clone()];
                    match dice.roll(3) {
                        0 => drop(store.delete(&sound.queue, &few).await.unwrap()),
                        1 => drop(store.promote(&sound.queue, &few).await.unwrap()),
                        _ => drop(store.replay(&sound.queue, &few).await.unwrap()),
                    }
                }
                9 => {
                    let (waiter, most) = (store.waiter(), 1 + dice.roll(40));
                    let worker = HolderName::new("waiter").unwrap();
                    let request = ClaimRequest::new(sound.queue.clone(), worker, most, LEASE);
                    leases.extend(waiter.claim(&request, most).await.unwrap().jobs.into_iter().map(|job| job.lease));
                    waiters.push(waiter);
                    registered += sound.command("HLEN", "waiters", &[]).await.as_integer().unwrap();
                }
                _ => fixture.clock.advance(LEASE / 3),
            }
            assert_eq!(sound.violations().await, [""; 0], "seed {seed}, step {step}, action {action}");
        }
    }
    let counts = format!("{claimed:?}, {opened}, {expired}, {registered}");
    assert!(claimed.len() == Priority::ALL.len() && opened > 20 && expired > 20 && registered > 10, "{counts}");
}
