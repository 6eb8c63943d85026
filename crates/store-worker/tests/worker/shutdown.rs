use std::sync::{Arc, Mutex};
use std::time::Duration;

use store_core::{ClaimRequest, Heartbeats, HolderName, NewJob, Op, PageRequest, PoolName, Queue};
use store_worker::{Done, Job};

use crate::fixture::{Fault, Fixture, Running, Turnstile, eventually};
use crate::leases::stays;

#[tokio::test(flavor = "multi_thread")]
async fn running_handlers_may_end_and_their_results_are_delivered() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(3).await;
    let worker = Running::start(fixture.worker().with_concurrency(2).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(2).await;
    worker.handle.shutdown();
    turnstile.open();
    let report = worker.report().await;
    assert!(report.clean);
    assert_eq!(report.stats.completed, 2);
    assert_eq!(fixture.counts().await.ready, 1, "nothing was claimed after the shutdown began");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_kept_while_handlers_end() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(1).await;
    let worker =
        Running::start(fixture.worker().with_lease(Duration::from_millis(900)).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    worker.handle.shutdown();
    let before = fixture.store.count(Op::QueueExtend);
    eventually("renewed", async || fixture.store.count(Op::QueueExtend) >= before + 2).await;
    turnstile.open();
    assert!(worker.report().await.clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_claim_that_is_answered_after_the_shutdown_began_are_given_back_in_their_order() {
    let fixture = Fixture::new();
    let ids =
        [fixture.push(NewJob::new("")).await, fixture.push(NewJob::new("")).await, fixture.push(NewJob::new("")).await];
    fixture.store.hold(Op::QueueClaim);
    let turnstile = Turnstile::new();
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    eventually("claiming", async || fixture.store.count(Op::QueueClaim) == 1).await;
    worker.handle.shutdown();
    fixture.store.let_go(Op::QueueClaim);
    let report = worker.report().await;
    assert!(report.clean);
    // The worker is registered: it may get one of the jobs that it gives back, and gives it back again.
    assert!(report.stats.released >= 3 && turnstile.entered() == 0);
    let holder = HolderName::new("other").unwrap();
    let claim =
        fixture.state.claim(&ClaimRequest::new(fixture.queue.clone(), holder, 10, Duration::from_secs(15))).await;
    let jobs = claim.unwrap().jobs;
    assert!(jobs.iter().map(|job| job.id()).eq(ids.iter()));
    assert!(jobs.iter().all(|job| job.attempt == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_runs_at_the_deadline_is_dropped_and_given_back() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(2).await;
    let builder = fixture.worker().with_shutdown_deadline(Duration::from_millis(50));
    let worker = Running::start(builder.with_queue("email", stays!(turnstile)));
    turnstile.until_inside(2).await;
    let report = worker.shutdown().await;
    assert!(!report.clean);
    assert!(report.stats.released >= 2);
    assert_eq!((turnstile.inside(), fixture.counts().await.ready), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_shutdown_is_at_once() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(1).await;
    let builder = fixture.worker().with_shutdown_deadline(Duration::from_secs(3600));
    let worker = Running::start(builder.with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    worker.handle.shutdown();
    worker.handle.shutdown_now();
    let report = worker.report().await;
    // A claim that was under way may get the job once more, and gives it back.
    assert!(report.stats.released >= 1 && !report.clean);
    assert_eq!(fixture.counts().await.ready, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_does_not_keep_a_worker_from_ending() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(1).await;
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    fixture.store.fail(&crate::fixture::ALL, Fault::Away);
    worker.handle.shutdown_now();
    let report = worker.report().await;
    assert!(!report.clean);
    assert_eq!(report.stats.lost, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_in_which_a_result_was_lost_is_not_clean() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(1).await;
    let builder = fixture.worker().with_lease(Duration::from_secs(1));
    let worker = Running::start(builder.with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    fixture.store.fail(&[Op::QueueSettle], Fault::Away);
    worker.handle.shutdown();
    turnstile.open();
    let report = worker.report().await;
    assert_eq!((report.stats.lost, report.clean), (1, false));
}

/// With time that passes only while nothing else happens: less than the longest wait says that there was news.
#[tokio::test(start_paused = true)]
async fn a_paused_worker_leaves_the_news_to_others() {
    let fixture = Fixture::new();
    let done = async |_: Job| Ok(Done::discard());
    let paused = Running::start(fixture.worker().with_queue("email", done));
    eventually("it is registered", async || fixture.store.registrations().len() == 1).await;
    paused.handle.pause();
    let other = Running::start(fixture.worker().with_queue("email", done));
    eventually("the other is registered, too", async || fixture.store.registrations().len() == 2).await;
    let start = tokio::time::Instant::now();
    fixture.push_many(1).await;
    eventually("done by the other", async || other.handle.stats().completed == 1).await;
    other.shutdown().await;
    fixture.push_many(1).await;
    paused.handle.resume();
    eventually("done after the pause", async || paused.handle.stats().completed == 1).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    paused.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_ends_at_once() {
    let fixture = Fixture::new();
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it is registered", async || fixture.store.registrations().len() == 1).await;
    assert!(worker.shutdown().await.clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_paused_claims_nothing_until_it_is_resumed() {
    let fixture = Fixture::new();
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it is registered", async || fixture.store.registrations().len() == 1).await;
    worker.handle.pause();
    fixture.push_many(1).await;
    let (seen, other) = (
        Arc::new(Mutex::new(0)),
        Running::start(fixture.worker().with_queue("sms", async |_: Job| Ok(Done::discard()))),
    );
    // Another worker on another queue is served meanwhile, so the first one had its chance.
    let sms = store_core::QueueName::new("sms").unwrap();
    for done in 1..=5 {
        store_core::QueueExt::push_one(&fixture.state, &sms, NewJob::new("")).await.unwrap();
        eventually("done", async || other.handle.stats().completed == done).await;
        *seen.lock().unwrap() += 1;
    }
    assert_eq!((worker.handle.stats().completed, fixture.counts().await.ready), (0, 1));
    worker.handle.resume();
    fixture.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
    other.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_worker_drops_its_handlers() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(2).await;
    let worker = fixture.worker().with_queue("email", stays!(turnstile)).build().unwrap();
    let task = tokio::spawn(worker.run());
    turnstile.until_inside(2).await;
    task.abort();
    turnstile.until_inside(0).await;
    assert_eq!(fixture.counts().await.running, 2, "they come back when their leases run out");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_begins_the_shutdown() {
    let fixture = Fixture::new();
    fixture.push_many(1).await;
    let worker =
        Running::start(fixture.worker().with_signals().with_queue("email", async |_: Job| Ok(Done::discard())));
    // Once a job is done, the signal is caught.
    fixture.until("done", |counts| counts.pending() == 0).await;
    let status = std::process::Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status();
    assert!(status.unwrap().success());
    assert!(worker.report().await.clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_beats_in_its_pool_and_leaves_it() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let (pool, name) = (PoolName::new("mailers").unwrap(), HolderName::new("mailer-1").unwrap());
    let builder =
        fixture.worker().with_name(name.clone()).with_heartbeats(Arc::new(fixture.state.clone()), pool.clone());
    let worker = Running::start(builder.with_queue("email", stays!(turnstile)));
    let alive = async || fixture.state.alive(&pool, PageRequest::default()).await.unwrap().items;
    eventually("alive", async || !alive().await.is_empty()).await;
    let members = alive().await;
    assert_eq!(members[0].name, name);
    let details: serde_json::Value = serde_json::from_slice(&members[0].details).unwrap();
    assert_eq!(details, serde_json::json!({"queues": {"email": 0}, "running": 0}));
    worker.shutdown().await;
    assert!(alive().await.is_empty());
}
