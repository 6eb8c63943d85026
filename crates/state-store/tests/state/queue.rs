//! Queues.

mod audit;
mod chosen_ids;
mod colliding_ids;
mod commit_paths;
mod commits;
mod crashes;
mod deliveries;
mod failed_partitions;
mod fast_paths;
mod hand_over;
mod hand_over_crashes;
mod hand_over_limits;
mod interruptions;
pub(crate) mod invariants;
mod kept_results;
mod life;
mod limits;
mod lost_replies;
mod lost_shapes;
mod messages;
mod neighbours;
mod partial_writes;
mod partitions;
mod positions;
mod push_groups;
mod random_calls;
mod redelivered;
mod repeated_calls;
mod stale_entries;
mod waiting;

use std::time::Duration;

use state_store::StateStore;
use store_core::{
    Claim, ClaimRequest, ClaimedJob, Durability, HolderName, JobId, NewJob, Outcome, Pushed, Queue, QueueExt,
    QueueName, Settled,
};

const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn queue() -> QueueName {
    QueueName::new("mail").unwrap()
}

fn id(text: &str) -> JobId {
    JobId::new(text).unwrap()
}

fn job(text: &str) -> NewJob {
    NewJob::new(format!("payload of {text}")).with_id(id(text))
}

async fn push(store: &StateStore, jobs: &[NewJob]) -> Vec<Pushed> {
    store.push(&queue(), jobs, Durability::Accepted).await.unwrap().value
}

/// Whether each push has added its job.
fn are_new(pushed: &[Pushed]) -> Vec<bool> {
    pushed.iter().map(Pushed::is_new).collect()
}

async fn claim(store: &StateStore, max: usize) -> Claim {
    let worker = HolderName::new("worker-1").unwrap();
    store.claim(&ClaimRequest::new(queue(), worker, max, LEASE)).await.unwrap()
}

/// Claims exactly one job.
async fn claim_one(store: &StateStore) -> ClaimedJob {
    let mut jobs = claim(store, 1).await.jobs;
    assert_eq!(jobs.len(), 1, "one job is ready");
    jobs.remove(0)
}

async fn settle(store: &StateStore, job: &ClaimedJob, outcome: Outcome) -> Settled {
    store.settle_one(&queue(), job.lease.clone(), outcome).await.unwrap()
}

fn names(jobs: &[ClaimedJob]) -> Vec<&str> {
    jobs.iter().map(|job| job.id().as_str()).collect()
}
