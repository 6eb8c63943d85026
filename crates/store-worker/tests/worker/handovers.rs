//! Registrations of an idle worker, and jobs that pushes hand over to it.

use std::time::Duration;

use store_core::{JobState, NewJob, Op, PageRequest, QueueExt, QueueInspect, QueueName, Wakeup};
use store_worker::{Done, Job, QueueOptions, WorkerBuilder};
use tokio::time::Instant;

use crate::fixture::{Fixture, Running, Turnstile, eventually};
use crate::leases::stays;

/// A worker with this many queues, each with the same handler.
fn with_queues(fixture: &Fixture, count: usize) -> WorkerBuilder {
    let done = async |_: Job| Ok(Done::discard());
    (0..count).fold(fixture.worker(), |worker, number| worker.with_queue(format!("q{number}"), done))
}

async fn registered(fixture: &Fixture, times: usize) {
    eventually("registered", async || fixture.store.registrations().len() >= times).await;
}

fn reserved(fixture: &Fixture) -> Vec<usize> {
    fixture.store.registrations().iter().map(|(_, reserve)| *reserve).collect()
}

/// The jobs of the queue are ready, and none has used an attempt.
async fn assert_unused(fixture: &Fixture, count: usize) {
    let ready = fixture.state.list(&fixture.queue, JobState::Ready, PageRequest::default()).await.unwrap().items;
    assert_eq!(ready.iter().map(|job| job.attempts).collect::<Vec<_>>(), vec![0; count]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_a_push_hands_over_start_without_a_claim() {
    let fixture = Fixture::new();
    fixture.store.let_pushes_hand_over();
    let turnstile = Turnstile::new();
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    registered(&fixture, 1).await;
    fixture.store.hold(Op::QueueClaim);
    fixture.push_batch(3).await;
    turnstile.until_inside(3).await;
    turnstile.open();
    eventually("done", async || worker.handle.stats().completed == 3).await;
    fixture.store.let_go(Op::QueueClaim);
    assert!(worker.shutdown().await.clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn handed_over_jobs_without_a_free_handler_are_given_back_at_once() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(1).await;
    let builder = fixture.worker().with_concurrency(2).with_queue("email", stays!(turnstile));
    let worker = Running::start(builder);
    turnstile.until_inside(1).await;
    fixture.store.hold(Op::QueueClaim);
    fixture.push_unnoticed(3).await;
    assert_eq!(fixture.store.hand_over(&fixture.queue, 3, Instant::now()).await, 3);
    turnstile.until_inside(2).await;
    fixture.until("given back", |counts| counts.ready == 2).await;
    eventually("counted", async || worker.handle.stats().released == 2).await;
    assert_unused(&fixture, 2).await;
    turnstile.open();
    fixture.store.let_go(Op::QueueClaim);
    fixture.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_at_its_own_bound_gives_handed_over_jobs_back() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(1).await;
    let options = QueueOptions::new().with_concurrency(1);
    let worker = Running::start(fixture.worker().with_queue_options("email", options, stays!(turnstile)));
    turnstile.until_inside(1).await;
    fixture.push_unnoticed(1).await;
    assert_eq!(fixture.store.hand_over(&fixture.queue, 1, Instant::now()).await, 1);
    fixture.until("given back", |counts| counts.ready == 1).await;
    assert_unused(&fixture, 1).await;
    turnstile.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_worker_gives_handed_over_jobs_back() {
    let fixture = Fixture::new();
    fixture.store.let_pushes_hand_over();
    let turnstile = Turnstile::new();
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    registered(&fixture, 1).await;
    fixture.store.hold(Op::QueueClaim);
    worker.handle.pause();
    fixture.push_batch(1).await;
    eventually("given back", async || worker.handle.stats().released == 1).await;
    assert_eq!(turnstile.entered(), 0);
    assert_unused(&fixture, 1).await;
    fixture.store.let_go(Op::QueueClaim);
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_shuts_down_gives_handed_over_jobs_back() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(1).await;
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    worker.handle.shutdown();
    registered(&fixture, 1).await;
    fixture.push_batch(1).await;
    eventually("given back", async || worker.handle.stats().released == 1).await;
    turnstile.open();
    assert!(worker.report().await.clean);
    assert_unused(&fixture, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_whose_lease_may_have_ended_never_starts() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let builder = fixture.worker().with_lease(Duration::from_millis(300));
    let worker = Running::start(builder.with_queue("email", stays!(turnstile)));
    registered(&fixture, 1).await;
    assert_eq!(reserved(&fixture), [0], "leases that are so short are not reserved for");
    fixture.store.hold(Op::QueueClaim);
    fixture.push_unnoticed(1).await;
    let since = Instant::now();
    tokio::time::advance(Duration::from_millis(400)).await;
    fixture.store.hand_over(&fixture.queue, 1, since).await;
    eventually("given back", async || worker.handle.stats().released == 1).await;
    assert_eq!(turnstile.entered(), 0);
    fixture.store.let_go(Op::QueueClaim);
    turnstile.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_one_handler_and_many_queues_reserves_it_once() {
    let fixture = Fixture::new();
    let worker = Running::start(with_queues(&fixture, 12).with_concurrency(1));
    registered(&fixture, 12).await;
    assert_eq!(reserved(&fixture).iter().sum::<usize>(), 1, "{:?}", reserved(&fixture));
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_free_handlers_are_divided_among_the_queues() {
    let fixture = Fixture::new();
    let worker = Running::start(with_queues(&fixture, 3).with_concurrency(12));
    registered(&fixture, 3).await;
    assert_eq!(reserved(&fixture), [4, 4, 4]);
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_handlers_are_not_reserved() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(3).await;
    let worker = Running::start(fixture.worker().with_concurrency(4).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(3).await;
    fixture.store.wake(Wakeup::Missed);
    registered(&fixture, 2).await;
    assert!(reserved(&fixture).iter().all(|reserve| *reserve == 1), "{:?}", reserved(&fixture));
    turnstile.open();
    worker.shutdown().await;
}

/// Virtual time: the registrations end after 10 s.
#[tokio::test(start_paused = true)]
async fn the_queue_that_gets_jobs_has_the_only_reservation() {
    let fixture = Fixture::new();
    let busy = QueueName::new("q7").unwrap();
    let worker = Running::start(with_queues(&fixture, 12).with_concurrency(1));
    registered(&fixture, 12).await;
    tokio::time::advance(Duration::from_secs(11)).await;
    registered(&fixture, 24).await;
    let before = fixture.store.registrations().len();
    for job in 1..=3 {
        fixture.state.push_one(&busy, NewJob::new("")).await.unwrap();
        eventually("done", async || worker.handle.stats().completed == job).await;
    }
    registered(&fixture, before + 1).await;
    let last = fixture.store.registrations().into_iter().rfind(|(queue, _)| *queue == busy);
    assert_eq!(last, Some((busy, 1)));
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_missed_notifications_it_claims_once_from_every_queue() {
    let fixture = Fixture::new();
    let worker = Running::start(with_queues(&fixture, 3));
    registered(&fixture, 3).await;
    fixture.store.wake(Wakeup::Missed);
    registered(&fixture, 6).await;
    let mut queues: Vec<_> = fixture.store.claims()[3..].iter().map(|claim| claim.queue.to_string()).collect();
    queues.sort();
    assert_eq!(queues, ["q0", "q1", "q2"]);
    worker.shutdown().await;
}

/// Virtual time: handlers take none.
#[tokio::test(start_paused = true)]
async fn the_claim_after_a_hand_over_is_sent_with_the_settlement_of_a_short_job() {
    let fixture = Fixture::new();
    fixture.store.let_pushes_hand_over();
    let turnstile = Turnstile::new();
    let gate = turnstile.clone();
    let handler = move |job: Job| {
        let gate = gate.clone();
        async move {
            if &job.payload()[..] == b"long" {
                let _inside = gate.pass().await;
            }
            Ok(Done::discard())
        }
    };
    let worker = Running::start(fixture.worker().with_queue("email", handler));
    registered(&fixture, 1).await;
    for job in 1..=2 {
        fixture.push_batch(1).await;
        eventually("done", async || worker.handle.stats().completed == job).await;
        registered(&fixture, 1 + job as usize).await;
    }
    let ops = fixture.store.ops();
    let (claim, settle) = (Op::QueueClaim, Op::QueueSettle);
    assert_eq!(ops, [claim, claim, settle, settle, claim], "the worker has seen that jobs are short");
    fixture.push(NewJob::new("long")).await;
    let began = Instant::now();
    turnstile.until_inside(1).await;
    registered(&fixture, 4).await;
    assert!(began.elapsed() < Duration::from_millis(100), "it waits for no handler for long");
    turnstile.open();
    worker.shutdown().await;
}

/// Each time, the other queue has the only reservation.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_starts_although_another_queue_reserves_the_only_handler() {
    let fixture = Fixture::new();
    fixture.store.let_pushes_hand_over();
    let turnstile = Turnstile::new();
    let builder = fixture.worker().with_concurrency(1);
    let worker = Running::start(builder.with_queue("q0", stays!(turnstile)).with_queue("q1", stays!(turnstile)));
    registered(&fixture, 2).await;
    for round in 0..20 {
        let all = fixture.store.registrations();
        let reserving =
            |name: &str| all.iter().rfind(|(queue, _)| queue.as_str() == name).is_some_and(|last| last.1 > 0);
        let name = if reserving("q0") { "q1" } else { "q0" };
        let began = Instant::now();
        for _ in 0..2 {
            fixture.state.push_one(&QueueName::new(name).unwrap(), NewJob::new("")).await.unwrap();
        }
        turnstile.until_inside(1).await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let running = async |name: &str| fixture.state.counts(&QueueName::new(name).unwrap()).await.unwrap().running;
        assert_eq!(running("q0").await + running("q1").await, 1, "in round {round}");
        turnstile.open();
        eventually("done", async || worker.handle.stats().completed == 2 * (round + 1)).await;
        turnstile.close();
    }
    assert_eq!(worker.handle.stats().released, 0);
    worker.shutdown().await;
}

/// Virtual time: for each queue one claim that registers the worker, and at most one that ends its reservation for another queue.
#[tokio::test(start_paused = true)]
async fn an_idle_worker_claims_from_each_queue_at_most_twice_in_10_s() {
    for (queues, concurrency) in [(2, 1), (12, 1), (2, 2), (3, 12)] {
        let fixture = Fixture::new();
        fixture.store.let_pushes_hand_over();
        let worker = Running::start(with_queues(&fixture, queues).with_concurrency(concurrency));
        registered(&fixture, queues).await;
        let before = fixture.store.count(Op::QueueClaim);
        // Time passes to the next timer of the worker.
        let _ = tokio::time::timeout(Duration::from_secs(100), std::future::pending::<()>()).await;
        let claims = fixture.store.count(Op::QueueClaim) - before;
        assert!((9 * queues..=22 * queues).contains(&claims), "{claims} claims of {queues} queues in 100 s");
        worker.shutdown().await;
    }
}
