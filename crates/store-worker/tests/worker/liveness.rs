//! Whether a worker claims, for liveness probes. Time is virtual.

use std::time::Duration;

use store_core::{NewJob, Op};
use store_worker::{Done, Job, QueueOptions};
use tokio::time::advance;

use crate::fixture::{ALL, Fault, Fixture, Running, Turnstile, eventually};
use crate::leases::stays;

const LIMIT: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn an_idle_worker_claims_and_one_that_has_not_begun_does_not() {
    let fixture = Fixture::new();
    let worker = fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())).build().unwrap();
    let handle = worker.handle();
    assert!(!handle.is_claiming_within(LIMIT));
    assert_eq!(handle.stats().last_claim_answered_at, None);
    let running = tokio::spawn(worker.run());
    eventually("it claims", async || handle.is_claiming_within(LIMIT)).await;
    assert!(handle.stats().last_claim_answered_at.is_some());
    advance(LONG).await;
    eventually("it continues to claim", async || handle.is_claiming_within(LIMIT)).await;
    handle.shutdown();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_store_is_away_does_not_claim() {
    let fixture = Fixture::new();
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it claims", async || worker.handle.is_claiming_within(LIMIT)).await;
    fixture.store.fail(&ALL, Fault::Away);
    advance(LONG).await;
    assert!(!worker.handle.is_claiming_within(LIMIT));
    fixture.store.heal();
    eventually("it claims again", async || worker.handle.is_claiming_within(LIMIT)).await;
    worker.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_one_of_whose_queues_is_not_answered_does_not_claim() {
    let fixture = Fixture::new();
    let done = async |_: Job| Ok(Done::discard());
    let worker = Running::start(fixture.worker().with_queue("email", done).with_queue("sms", done));
    eventually("it claims", async || worker.handle.is_claiming_within(LIMIT)).await;
    fixture.store.hold_claims_of(Some(&fixture.queue));
    advance(LONG).await;
    assert!(!worker.handle.is_claiming_within(LIMIT));
    fixture.store.hold_claims_of(None);
    eventually("it claims again", async || worker.handle.is_claiming_within(LIMIT)).await;
    worker.shutdown().await;
}

/// Time passes in steps in which leases are renewed.
async fn live_through(time: Duration) {
    for _ in 0..time.as_secs() {
        advance(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_needs_no_claim_is_alive() {
    for options in [QueueOptions::new(), QueueOptions::new().with_concurrency(1)] {
        let fixture = Fixture::new();
        let turnstile = Turnstile::new();
        fixture.push(NewJob::new("")).await;
        let builder = fixture.worker().with_concurrency(1 + options.concurrency.unwrap_or(0));
        let worker = Running::start(builder.with_queue_options("email", options, stays!(turnstile)));
        turnstile.until_inside(1).await;
        let claims = fixture.store.count(Op::QueueClaim);
        live_through(LONG).await;
        eventually("its handlers are busy", async || worker.handle.is_claiming_within(LIMIT)).await;
        assert_eq!(fixture.store.count(Op::QueueClaim), claims);
        worker.handle.pause();
        turnstile.open();
        live_through(LONG).await;
        eventually("it is paused", async || worker.handle.is_claiming_within(LIMIT)).await;
        worker.shutdown().await;
    }
}
