use std::sync::Arc;
use std::time::Duration;

use store_core::{NewJob, Op, QueueExt, QueueName, Wakeup};
use store_worker::{Done, Handler, Job, QueueOptions};

use crate::fixture::{Fixture, Running, Turnstile, eventually};
use crate::leases::stays;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_claimed_and_settled_together() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(50).await;
    let worker = Running::start(fixture.worker().with_concurrency(50).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(50).await;
    assert_eq!(fixture.store.sizes(Op::QueueClaim), [50]);
    fixture.store.hold(Op::QueueSettle);
    turnstile.open();
    turnstile.until_inside(0).await;
    eventually("the first call is under way", async || fixture.store.count(Op::QueueSettle) == 1).await;
    eventually("all have ended", async || worker.handle.stats().running == 0).await;
    fixture.store.let_go(Op::QueueSettle);
    fixture.until("done", |counts| counts.pending() == 0).await;
    let sizes = fixture.store.sizes(Op::QueueSettle);
    assert_eq!(sizes.iter().sum::<usize>(), 50);
    assert!(sizes.len() <= 2, "what ended during the first call travelled together: {sizes:?}");
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_handlers_run_than_allowed_and_none_is_idle_while_there_is_work() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(200).await;
    let inside = turnstile.clone();
    let handler = move |_: Job| {
        let inside = inside.clone();
        async move {
            let _inside = inside.enter();
            tokio::task::yield_now().await;
            Ok(Done::discard())
        }
    };
    let worker = Running::start(fixture.worker().with_concurrency(7).with_queue("email", handler));
    fixture.until("done", |counts| counts.pending() == 0).await;
    assert!(turnstile.most() <= 7, "{}", turnstile.most());
    assert_eq!(worker.shutdown().await.stats.completed, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_worker_neither_claims_nor_registers_and_claims_nothing_ahead_of_long_jobs() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(9).await;
    let worker = Running::start(fixture.worker().with_concurrency(4).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(4).await;
    eventually("settled in", async || worker.handle.stats().running == 4).await;
    assert_eq!(fixture.counts().await.ready, 5);
    assert_eq!((fixture.store.count(Op::QueueClaim), fixture.store.registrations().len()), (1, 0));
    turnstile.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_claims_once_from_each_queue_and_once_per_job() {
    let fixture = Fixture::new();
    let done = async |_: Job| Ok(Done::discard());
    let worker =
        Running::start(fixture.worker().with_queue("email", done).with_queue("sms", done).with_queue("push", done));
    eventually("it is registered", async || fixture.store.registrations().len() == 3).await;
    assert_eq!(fixture.store.count(Op::QueueClaim), 3);
    for job in 1..=10 {
        let registered = fixture.store.registrations().len();
        fixture.push_many(1).await;
        eventually("done", async || worker.handle.stats().completed == job).await;
        eventually("it is registered again", async || fixture.store.registrations().len() > registered).await;
    }
    assert_eq!(fixture.store.count(Op::QueueClaim), 3 + 10);
    worker.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_registers_again_every_10_seconds() {
    let fixture = Fixture::new();
    let done = async |_: Job| Ok(Done::discard());
    let worker = Running::start(fixture.worker().with_queue("email", done).with_queue("sms", done));
    eventually("it is registered", async || fixture.store.registrations().len() == 2).await;
    let began = tokio::time::Instant::now();
    eventually("it is registered again", async || fixture.store.registrations().len() == 6).await;
    let seconds = began.elapsed().as_secs_f64();
    assert!((19.0..22.0).contains(&seconds), "twice in {seconds} s");
    assert_eq!(fixture.store.ops(), [Op::QueueClaim; 6]);
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_one_queue_cause_no_claims_from_others() {
    let fixture = Fixture::new();
    let names: Vec<QueueName> = (0..200).map(|number| QueueName::new(format!("q{number}")).unwrap()).collect();
    let done = async |_: Job| Ok(Done::discard());
    let worker =
        Running::start(names.iter().fold(fixture.worker(), |worker, name| worker.with_queue(name.clone(), done)));
    eventually("it is registered", async || fixture.store.registrations().len() == 200).await;
    for job in 1..=20 {
        fixture.state.push_one(&names[150], NewJob::new("")).await.unwrap();
        eventually("done", async || worker.handle.stats().completed == job).await;
    }
    let claims = fixture.store.claims();
    let others = claims.iter().filter(|claim| claim.queue != names[150]).count();
    assert_eq!(others, 199);
    for name in &names {
        fixture.state.push_one(name, NewJob::new("")).await.unwrap();
    }
    eventually("all are served", async || worker.handle.stats().completed == 220).await;
    worker.shutdown().await;
}

/// On one thread, so that both have news before the worker hears of either.
#[tokio::test]
async fn a_worker_whose_handlers_are_all_at_work_leaves_the_news_to_others() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let sms = QueueName::new("sms").unwrap();
    let builder = fixture.worker().with_concurrency(1).with_prefetch(0).with_queue("email", stays!(turnstile));
    let first = Running::start(builder.with_queue("sms", stays!(turnstile)));
    eventually("it is registered", async || fixture.store.registrations().len() == 2).await;
    fixture.push_many(1).await;
    turnstile.until_inside(1).await;
    // Its wait for the other queue may still be under way.
    fixture.state.push_one(&sms, NewJob::new("")).await.unwrap();
    let other = Turnstile::new();
    let second = Running::start(fixture.worker().with_queue("sms", stays!(other)));
    other.until_inside(1).await;
    fixture.state.push_one(&sms, NewJob::new("")).await.unwrap();
    other.until_inside(2).await;
    assert_eq!(turnstile.inside(), 1);
    turnstile.open();
    other.open();
    eventually("done", async || second.handle.stats().completed == 2).await;
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_becomes_due_is_not_missed() {
    let fixture = Fixture::new();
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it is registered", async || fixture.store.registrations().len() == 1).await;
    fixture.push(NewJob::new("").with_delay(Duration::from_millis(50))).await;
    fixture.until("scheduled", |counts| counts.scheduled == 1).await;
    fixture.clock.advance(Duration::from_millis(50));
    fixture.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_with_work_share_the_handlers_by_weight() {
    let fixture = Fixture::new();
    let (email, sms) = (Turnstile::new(), Turnstile::new());
    let other = QueueName::new("sms").unwrap();
    for _ in 0..30 {
        fixture.push_many(1).await;
        fixture.state.push_one(&other, NewJob::new("")).await.unwrap();
    }
    let heavy = QueueOptions::new().with_weight(3);
    let builder = fixture.worker().with_concurrency(20).with_queue_options("email", heavy, stays!(email));
    let worker = Running::start(builder.with_queue("sms", stays!(sms)));
    eventually("full", async || email.inside() + sms.inside() == 20).await;
    assert_eq!((email.inside(), sms.inside()), (15, 5));
    email.open();
    sms.open();
    eventually("done", async || worker.handle.stats().completed == 60).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_with_work_take_turns_by_weight_at_an_only_handler() {
    let fixture = Fixture::new();
    let other = QueueName::new("sms").unwrap();
    for _ in 0..8 {
        fixture.push_many(1).await;
        fixture.state.push_one(&other, NewJob::new("")).await.unwrap();
    }
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let handler = |name: &'static str| {
        let order = Arc::clone(&order);
        move |_: Job| {
            order.lock().unwrap().push(name);
            async { Ok(Done::discard()) }
        }
    };
    let heavy = QueueOptions::new().with_weight(3);
    let builder = fixture.worker().with_concurrency(1).with_prefetch(0);
    let builder = builder.with_queue_options("email", heavy, handler("email")).with_queue("sms", handler("sms"));
    let worker = Running::start(builder);
    eventually("done", async || worker.handle.stats().completed == 16).await;
    let first: Vec<_> = order.lock().unwrap()[..8].to_vec();
    assert_eq!(first.iter().filter(|name| **name == "email").count(), 6, "{first:?}");
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_has_at_most_its_own_concurrency() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(10).await;
    let options = QueueOptions::new().with_concurrency(2);
    let worker = Running::start(fixture.worker().with_queue_options("email", options, stays!(turnstile)));
    turnstile.until_inside(2).await;
    assert_eq!(fixture.counts().await.ready, 8);
    turnstile.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    assert_eq!(turnstile.most(), 2);
    worker.shutdown().await;
}

/// Its queue is never empty: each job pushes the next.
fn pushes_its_successor(fixture: &Fixture) -> impl Handler + use<> {
    let (state, email) = (fixture.state.clone(), fixture.queue.clone());
    move |_: Job| {
        let (state, email) = (state.clone(), email.clone());
        async move {
            state.push_one(&email, NewJob::new("")).await?;
            Ok(Done::discard())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_queue_does_not_hide_an_idle_one() {
    let fixture = Fixture::new();
    let other = QueueName::new("sms").unwrap();
    fixture.push_many(8).await;
    let builder = fixture.worker().with_concurrency(2).with_queue("email", pushes_its_successor(&fixture));
    let worker = Running::start(builder.with_queue("sms", async |_: Job| Ok(Done::discard())));
    eventually("busy", async || worker.handle.stats().completed > 20).await;
    fixture.state.push_one(&other, NewJob::new("")).await.unwrap();
    let counts = async || store_core::QueueInspect::counts(&fixture.state, &other).await.unwrap();
    eventually("the other queue is served", async || counts().await.pending() == 0).await;
    worker.handle.shutdown_now();
    worker.report().await;
}

/// On one thread, where the handler always runs before the next wait: its queue has news whenever the worker looks.
#[tokio::test]
async fn a_queue_that_always_has_news_does_not_hide_another() {
    let fixture = Fixture::new();
    let other = QueueName::new("sms").unwrap();
    fixture.push_many(1).await;
    let builder = fixture.worker().with_queue("email", pushes_its_successor(&fixture));
    let worker = Running::start(builder.with_queue("sms", async |_: Job| Ok(Done::discard())));
    eventually("busy", async || worker.handle.stats().completed > 20).await;
    fixture.state.push_one(&other, NewJob::new("")).await.unwrap();
    let counts = async || store_core::QueueInspect::counts(&fixture.state, &other).await.unwrap();
    eventually("the other queue is served", async || counts().await.pending() == 0).await;
    worker.handle.shutdown_now();
    worker.report().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_hangs_does_not_hold_up_other_queues() {
    let fixture = Fixture::new();
    fixture.store.let_pushes_hand_over();
    let other = QueueName::new("sms").unwrap();
    let done = async |_: Job| Ok(Done::discard());
    let options = QueueOptions::new().with_concurrency(2);
    let worker = Running::start(fixture.worker().with_queue("email", done).with_queue_options("sms", options, done));
    eventually("it is registered", async || fixture.store.registrations().len() == 2).await;
    fixture.store.hold_claims_of(Some(&other));
    fixture.state.push_one(&other, NewJob::new("")).await.unwrap();
    eventually("it is handed over", async || worker.handle.stats().completed == 1).await;
    eventually("the next claim hangs", async || fixture.store.count(Op::QueueClaim) == 3).await;
    fixture.state.push_one(&other, NewJob::new("")).await.unwrap();
    for job in 1..=3 {
        fixture.push_many(1).await;
        eventually("the other queue is served", async || worker.handle.stats().completed == 1 + job).await;
    }
    fixture.store.hold_claims_of(None);
    eventually("and this one again", async || worker.handle.stats().completed == 5).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_arrives_while_a_claim_is_under_way_is_not_lost() {
    let fixture = Fixture::new();
    fixture.store.hold_answers(Op::QueueClaim);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("the claim was executed", async || fixture.store.registrations().len() == 1).await;
    fixture.push_many(1).await;
    fixture.store.wake(Wakeup::Notified { queue: fixture.queue.clone() });
    eventually("it was notified", async || fixture.store.has_woken()).await;
    fixture.store.let_answers_go(Op::QueueClaim);
    eventually("done", async || worker.handle.stats().completed == 1).await;
    worker.shutdown().await;
}
