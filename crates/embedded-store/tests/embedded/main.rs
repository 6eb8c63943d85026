//! What the conformance suite cannot test in this engine: its file, its commits, its bounds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bounds;
mod closing;
mod commits;
mod damage;
mod durability;
mod file;
#[cfg(unix)]
mod full_disk;
mod golden;
mod invariants;
mod neighbours;
mod partitions;
mod privacy;
mod states;
mod waiters;

use std::time::Duration;

use embedded_store::{EmbeddedState, StateOptions};
use store_core::{
    Claim, ClaimRequest, Clock, HolderName, JobId, Key, ManualClock, NewJob, Queue, QueueName, ServiceName, Timestamp,
};

/// How long a test waits for an expected event.
const PATIENCE: Duration = Duration::from_secs(30);

const LEASE: Duration = Duration::from_secs(15);

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn job(id: &str) -> NewJob {
    NewJob::new("payload").with_id(job_id(id))
}

fn job_id(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn service(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

fn manual_clock() -> (ManualClock, Clock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    (clock.clone(), Clock::Manual(clock))
}

fn in_memory() -> EmbeddedState {
    EmbeddedState::in_memory(service("orders"), StateOptions::default())
}

async fn claim(store: &EmbeddedState, name: &str, max: usize) -> Claim {
    let request = ClaimRequest::new(queue(name), HolderName::new("worker").unwrap(), max, LEASE);
    store.claim(&request).await.unwrap()
}
