//! After any sequence of operations, the counts of a queue equal those of its jobs.

use std::time::Duration;

use embedded_store::{EmbeddedState, StateOptions};
use store_core::{
    ClaimRequest, Counts, Durability, Extension, HolderName, JobInfo, JobLease, JobState, Kept, Outcome, PageRequest,
    Queue, QueueControl, QueueInspect, Retention, Settlement, Unique, UniqueKey, UniqueUntil,
};

use crate::{LEASE, claim, job, job_id, manual_clock, queue, service};

#[tokio::test]
async fn the_counts_equal_those_of_the_listings() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (clock, options) = manual_clock();
        let retention = Retention::default().with_dead_count(5).with_completed_count(5);
        let store = EmbeddedState::in_memory(
            service("orders"),
            StateOptions::default().with_clock(options).with_retention(retention),
        );
        let mut leases = Vec::new();
        for step in 0..150 {
            act(&store, &mut random, &mut leases).await;
            if random.u8(..) < 40 {
                clock.advance(Duration::from_millis(random.u64(..20_000)));
                // Completed jobs whose time is over count until the next claim.
                leases.extend(claim(&store, "q", 1).await.jobs.into_iter().map(|job| job.lease));
            }
            let counts = store.counts(&queue("q")).await.unwrap();
            assert_eq!(listed(&store).await, counts, "seed {seed}, step {step}");
        }
    }
}

async fn act(store: &EmbeddedState, random: &mut fastrand::Rng, leases: &mut Vec<JobLease>) {
    let name = queue("q");
    let id = random.u8(..30).to_string();
    match random.u8(..12) {
        0..4 => {
            let mut new = job(&id).with_delay(Duration::from_millis(random.u64(..3) * 5_000));
            let until = [UniqueUntil::Claimed, UniqueUntil::Finished, UniqueUntil::Elapsed(LEASE)];
            if random.bool() {
                let key = UniqueKey::new(random.u8(..8).to_string()).unwrap();
                new = new.with_unique(Unique::new(key, until[random.usize(..3)]));
            }
            if random.bool() {
                new = new.with_start_within(LEASE);
            }
            let _ = store.push(&name, &[new], Durability::Accepted).await.unwrap();
        }
        4..6 => {
            let request = ClaimRequest::new(name, HolderName::new("w").unwrap(), random.usize(1..5), LEASE);
            leases.extend(store.claim(&request).await.unwrap().jobs.into_iter().map(|job| job.lease));
        }
        6..9 if !leases.is_empty() => {
            let lease = leases.swap_remove(random.usize(..leases.len()));
            let after = Duration::from_secs(random.u64(..3));
            let outcome = match random.u8(..6) {
                0 => Outcome::Complete(None),
                1 => Outcome::Complete(Some(Kept::new("r", LEASE))),
                2 => Outcome::Retry { after, error: "e".to_owned() },
                3 => Outcome::Snooze { after },
                4 => Outcome::Dead { reason: "d".to_owned() },
                _ => Outcome::Release,
            };
            store.extend(&name, &[Extension::new(lease.clone()).with_progress("p")], LEASE).await.unwrap();
            let _ = store.settle(&name, &[Settlement::new(lease, outcome)], Durability::Accepted).await.unwrap();
        }
        9 => drop(store.cancel(&name, &job_id(&id)).await.unwrap()),
        10 => drop(store.replay(&name, &[job_id(&id)]).await.unwrap()),
        _ => {
            store.delete(&name, &[job_id(&id)]).await.unwrap();
            store.promote(&name, &[job_id(&id)]).await.unwrap();
        }
    }
}

async fn listed(store: &EmbeddedState) -> Counts {
    let states = [JobState::Ready, JobState::Scheduled, JobState::Running, JobState::Completed, JobState::Dead];
    let mut counts = [0; 5];
    for (state, count) in states.into_iter().zip(&mut counts) {
        let jobs = list(store, state).await;
        assert!(jobs.iter().all(|job| job.state == state));
        assert!(jobs.is_sorted_by_key(|job| job.at));
        *count = jobs.len() as u64;
    }
    let [ready, scheduled, running, completed, dead] = counts;
    Counts::new(ready, scheduled, running, completed, dead)
}

/// All pages, with few jobs each.
async fn list(store: &EmbeddedState, state: JobState) -> Vec<JobInfo> {
    let (mut jobs, mut page) = (Vec::new(), PageRequest::first(3));
    loop {
        let listed = store.list(&queue("q"), state, page.clone()).await.unwrap();
        jobs.extend(listed.items);
        match listed.next {
            Some(next) => page = page.with_cursor(next),
            None => return jobs,
        }
    }
}
