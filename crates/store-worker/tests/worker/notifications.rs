//! A worker without room passes notifications on to other workers; after an idle time it claims nothing ahead.

use std::time::Duration;

use store_core::{Durability, NewJob, Queue, QueueExt, QueueName};
use store_worker::{Done, Job, QueueOptions};
use tokio::time::Instant;

use crate::fixture::{Fixture, Running, Turnstile, eventually};
use crate::leases::stays;

/// Runs all tasks that can run without the passing of time.
async fn settle_in() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Waits for a job that a waiting worker must get immediately. The time is virtual: a wait without a notification lasts 10 s.
async fn served_at_once(turnstile: &Turnstile) {
    let started = Instant::now();
    turnstile.until_inside(1).await;
    assert!(started.elapsed() < Duration::from_secs(2), "a job was ready for {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_queue_at_its_own_bound_passes_its_notification_on() {
    let fixture = Fixture::new();
    let (turnstile, other) = (Turnstile::new(), Turnstile::new());
    let options = QueueOptions::new().with_concurrency(1);
    let first =
        Running::start(fixture.worker().with_concurrency(8).with_queue_options("email", options, stays!(turnstile)));
    settle_in().await;
    fixture.push(NewJob::new("").with_delay(Duration::from_millis(100))).await;
    settle_in().await;
    assert_eq!(fixture.store.registrations().len(), 2, "it has the due time of the job, and waits for other jobs");
    fixture.clock.advance(Duration::from_millis(100));
    turnstile.until_inside(1).await;
    let second = Running::start(fixture.worker().with_queue("email", stays!(other)));
    settle_in().await;
    fixture.push_many(1).await;
    served_at_once(&other).await;
    turnstile.open();
    other.open();
    eventually("done", async || fixture.counts().await.pending() == 0).await;
    first.shutdown().await;
    second.shutdown().await;
}

/// A worker whose only handler runs and whose wait for another queue is under way; a second worker, which waits for that
/// queue behind it; and their turnstiles.
async fn one_waits_before_the_other(fixture: &Fixture) -> (Running, Turnstile, Running, Turnstile) {
    let (turnstile, other) = (Turnstile::new(), Turnstile::new());
    let sms = QueueName::new("sms").unwrap();
    let builder = fixture.worker().with_concurrency(1).with_prefetch(0).with_queue("email", stays!(turnstile));
    let first = Running::start(builder.with_queue("sms", stays!(turnstile)));
    settle_in().await;
    fixture.push_many(1).await;
    settle_in().await;
    // Two for both queues; one that ends the reservation for the other queue.
    assert_eq!((turnstile.inside(), fixture.store.registrations().len()), (1, 3));
    let second = Running::start(fixture.worker().with_queue("sms", stays!(other)));
    settle_in().await;
    assert_eq!(fixture.store.registrations().len(), 4);
    fixture.state.push_one(&sms, NewJob::new("")).await.unwrap();
    (first, turnstile, second, other)
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_paused_passes_its_notification_on() {
    let fixture = Fixture::new();
    let (first, turnstile, second, other) = one_waits_before_the_other(&fixture).await;
    first.handle.pause();
    served_at_once(&other).await;
    turnstile.open();
    other.open();
    eventually("done", async || second.handle.stats().completed == 1).await;
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_shuts_down_passes_its_notification_on() {
    let fixture = Fixture::new();
    let (first, turnstile, second, other) = one_waits_before_the_other(&fixture).await;
    first.handle.shutdown();
    served_at_once(&other).await;
    turnstile.open();
    other.open();
    assert!(first.report().await.clean);
    second.shutdown().await;
}

/// The same with a notification that it got before.
#[tokio::test(start_paused = true)]
async fn a_worker_that_shuts_down_passes_on_a_notification_that_it_got_before() {
    let fixture = Fixture::new();
    let (first, turnstile, second, other) = one_waits_before_the_other(&fixture).await;
    settle_in().await;
    first.handle.shutdown();
    served_at_once(&other).await;
    turnstile.open();
    other.open();
    assert!(first.report().await.clean);
    second.shutdown().await;
}

async fn a_minute_passes() {
    for _ in 0..60 {
        tokio::time::advance(Duration::from_secs(1)).await;
        settle_in().await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_idle_time_no_job_is_claimed_ahead_of_long_ones() {
    let fixture = Fixture::new();
    let (before, after) = (Turnstile::new(), Turnstile::new());
    let handler = {
        let (before, after) = (before.clone(), after.clone());
        move |job: Job| {
            let gate = if job.payload().is_empty() { before.clone() } else { after.clone() };
            async move {
                let _inside = gate.pass().await;
                Ok(Done::discard())
            }
        }
    };
    let worker = Running::start(fixture.worker().with_concurrency(2).with_queue("email", handler));
    fixture.push_many(2).await;
    before.until_inside(2).await;
    // Long jobs: each lasts a minute.
    a_minute_passes().await;
    before.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    a_minute_passes().await;
    let jobs: Vec<_> = (0..4).map(|_| NewJob::new("long")).collect();
    let _receipt = fixture.state.push(&fixture.queue, &jobs, Durability::Accepted).await.unwrap();
    after.until_inside(2).await;
    let counts = fixture.counts().await;
    assert_eq!((counts.running, counts.ready), (2, 2), "other workers can run the jobs that are not claimed ahead");
    after.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}
