use std::time::Duration;

use store_core::{NewJob, Op, QueueControl, QueueExt, QueueName};
use store_worker::{Done, Handler, Job, QueueOptions};

use crate::leases::stays;
use crate::stage::{Running, Stage, Turnstile, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_claimed_and_settled_together() {
    let stage = Stage::new();
    let turnstile = Turnstile::new();
    stage.push_many(50).await;
    let worker = Running::start(stage.worker().concurrency(50).queue("email", stays!(turnstile)));
    turnstile.until_inside(50).await;
    assert_eq!(stage.store.sizes(Op::QueueClaim), [50]);
    stage.store.hold(Op::QueueSettle);
    turnstile.open();
    turnstile.until_inside(0).await;
    eventually("the first call is under way", async || stage.store.count(Op::QueueSettle) == 1).await;
    eventually("all have ended", async || worker.handle.stats().running == 0).await;
    stage.store.let_go(Op::QueueSettle);
    stage.until("done", |counts| counts.pending() == 0).await;
    let sizes = stage.store.sizes(Op::QueueSettle);
    assert_eq!(sizes.iter().sum::<usize>(), 50);
    assert!(sizes.len() <= 2, "what ended during the first call travelled together: {sizes:?}");
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_handlers_run_than_allowed_and_none_is_idle_while_there_is_work() {
    let stage = Stage::new();
    let turnstile = Turnstile::new();
    stage.push_many(200).await;
    let inside = turnstile.clone();
    let handler = move |_: Job| {
        let inside = inside.clone();
        async move {
            let _inside = inside.enter();
            tokio::task::yield_now().await;
            Ok(Done::discard())
        }
    };
    let worker = Running::start(stage.worker().concurrency(7).queue("email", handler));
    stage.until("done", |counts| counts.pending() == 0).await;
    assert!(turnstile.most() <= 7, "{}", turnstile.most());
    assert_eq!(worker.shutdown().await.stats.completed, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_worker_neither_claims_nor_waits_and_claims_nothing_ahead_of_long_jobs() {
    let stage = Stage::new();
    let turnstile = Turnstile::new();
    stage.push_many(9).await;
    let worker = Running::start(stage.worker().concurrency(4).queue("email", stays!(turnstile)));
    turnstile.until_inside(4).await;
    eventually("settled in", async || worker.handle.stats().running == 4).await;
    assert_eq!(stage.counts().await.ready, 5);
    assert_eq!((stage.store.count(Op::QueueClaim), stage.store.count(Op::QueueWait)), (1, 0));
    turnstile.open();
    stage.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_sends_one_wait_for_all_its_queues() {
    let stage = Stage::new();
    let done = async |_: Job| Ok(Done::discard());
    let worker = Running::start(stage.worker().queue("email", done).queue("sms", done).queue("push", done));
    eventually("it waits", async || stage.store.count(Op::QueueWait) == 1).await;
    assert_eq!(stage.store.sizes(Op::QueueWait), [3]);
    assert_eq!(stage.store.count(Op::QueueClaim), 3);
    for job in 1..=10 {
        stage.push_many(1).await;
        eventually("done", async || worker.handle.stats().completed == job).await;
    }
    eventually("it waits again", async || stage.store.count(Op::QueueWait) >= 11).await;
    let (claims, waits) = (stage.store.count(Op::QueueClaim), stage.store.count(Op::QueueWait));
    assert!(claims <= 3 + 2 * 10 && waits <= 1 + 2 * 10, "{claims} claims, {waits} waits");
    worker.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_looks_again_when_its_wait_was_in_vain() {
    let stage = Stage::new();
    let worker = Running::start(stage.worker().queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it waits", async || stage.store.count(Op::QueueWait) == 1).await;
    eventually("it looks again and waits again", async || stage.store.count(Op::QueueWait) == 2).await;
    assert_eq!(stage.store.ops(), [Op::QueueClaim, Op::QueueWait, Op::QueueClaim, Op::QueueWait]);
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_queues_share_few_waits_and_one_that_is_busy_leaves_the_others_alone() {
    let stage = Stage::new();
    let names: Vec<QueueName> = (0..200).map(|number| QueueName::new(format!("q{number}")).unwrap()).collect();
    let done = async |_: Job| Ok(Done::discard());
    let worker = Running::start(names.iter().fold(stage.worker(), |worker, name| worker.queue(name.clone(), done)));
    eventually("it waits for all", async || stage.store.sizes(Op::QueueWait).iter().sum::<usize>() == 200).await;
    assert!(stage.store.count(Op::QueueWait) <= 4, "{:?}", stage.store.sizes(Op::QueueWait));
    for job in 1..=20 {
        stage.state.push_one(&names[150], NewJob::new("")).await.unwrap();
        eventually("done", async || worker.handle.stats().completed == job).await;
    }
    let sizes = stage.store.sizes(Op::QueueWait);
    assert!(sizes.iter().filter(|size| **size > 1).count() <= 5, "only the first news concern others: {sizes:?}");
    for name in &names {
        stage.state.push_one(name, NewJob::new("")).await.unwrap();
    }
    eventually("all are served", async || worker.handle.stats().completed == 220).await;
    worker.shutdown().await;
}

/// On one thread, so that both have news before the worker hears of either.
#[tokio::test]
async fn a_worker_whose_handlers_are_all_at_work_leaves_the_news_to_others() {
    let stage = Stage::new();
    let turnstile = Turnstile::new();
    let sms = QueueName::new("sms").unwrap();
    let builder = stage.worker().concurrency(1).prefetch(0).queue("email", stays!(turnstile));
    let first = Running::start(builder.queue("sms", stays!(turnstile)));
    eventually("it waits", async || stage.store.count(Op::QueueWait) == 1).await;
    stage.push_many(1).await;
    turnstile.until_inside(1).await;
    // Its wait for the other queue may still be under way.
    stage.state.push_one(&sms, NewJob::new("")).await.unwrap();
    let other = Turnstile::new();
    let second = Running::start(stage.worker().queue("sms", stays!(other)));
    other.until_inside(1).await;
    stage.state.push_one(&sms, NewJob::new("")).await.unwrap();
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
    let stage = Stage::new();
    let worker = Running::start(stage.worker().queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it waits", async || stage.store.count(Op::QueueWait) == 1).await;
    stage.push(NewJob::new("").with_delay(Duration::from_millis(50))).await;
    stage.until("scheduled", |counts| counts.scheduled == 1).await;
    stage.clock.advance(Duration::from_millis(50));
    stage.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_with_work_share_the_handlers_by_weight() {
    let stage = Stage::new();
    let (email, sms) = (Turnstile::new(), Turnstile::new());
    let other = QueueName::new("sms").unwrap();
    for _ in 0..30 {
        stage.push_many(1).await;
        stage.state.push_one(&other, NewJob::new("")).await.unwrap();
    }
    let heavy = QueueOptions::new().with_weight(3);
    let builder = stage.worker().concurrency(20).queue_with("email", heavy, stays!(email));
    let worker = Running::start(builder.queue("sms", stays!(sms)));
    eventually("full", async || email.inside() + sms.inside() == 20).await;
    assert_eq!((email.inside(), sms.inside()), (15, 5));
    email.open();
    sms.open();
    eventually("done", async || worker.handle.stats().completed == 60).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_has_at_most_its_own_concurrency() {
    let stage = Stage::new();
    let turnstile = Turnstile::new();
    stage.push_many(10).await;
    let options = QueueOptions::new().with_concurrency(2);
    let worker = Running::start(stage.worker().queue_with("email", options, stays!(turnstile)));
    turnstile.until_inside(2).await;
    assert_eq!(stage.counts().await.ready, 8);
    turnstile.open();
    stage.until("done", |counts| counts.pending() == 0).await;
    assert_eq!(turnstile.most(), 2);
    worker.shutdown().await;
}

/// Its queue is never empty: each job pushes the next.
fn pushes_its_successor(stage: &Stage) -> impl Handler + use<> {
    let (state, email) = (stage.state.clone(), stage.queue.clone());
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
    let stage = Stage::new();
    let other = QueueName::new("sms").unwrap();
    stage.push_many(8).await;
    let builder = stage.worker().concurrency(2).queue("email", pushes_its_successor(&stage));
    let worker = Running::start(builder.queue("sms", async |_: Job| Ok(Done::discard())));
    eventually("busy", async || worker.handle.stats().completed > 20).await;
    stage.state.push_one(&other, NewJob::new("")).await.unwrap();
    let counts = async || store_core::QueueInspect::counts(&stage.state, &other).await.unwrap();
    eventually("the other queue is served", async || counts().await.pending() == 0).await;
    worker.handle.shutdown_now();
    worker.report().await;
}

/// On one thread, where the handler always runs before the next wait: its queue has news whenever the worker looks.
#[tokio::test]
async fn a_queue_that_always_has_news_does_not_hide_another() {
    let stage = Stage::new();
    let other = QueueName::new("sms").unwrap();
    stage.push_many(1).await;
    let builder = stage.worker().queue("email", pushes_its_successor(&stage));
    let worker = Running::start(builder.queue("sms", async |_: Job| Ok(Done::discard())));
    eventually("busy", async || worker.handle.stats().completed > 20).await;
    stage.state.push_one(&other, NewJob::new("")).await.unwrap();
    let counts = async || store_core::QueueInspect::counts(&stage.state, &other).await.unwrap();
    eventually("the other queue is served", async || counts().await.pending() == 0).await;
    worker.handle.shutdown_now();
    worker.report().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_hangs_does_not_hold_up_other_queues() {
    let stage = Stage::new();
    let other = QueueName::new("sms").unwrap();
    let done = async |_: Job| Ok(Done::discard());
    let options = QueueOptions::new().with_concurrency(2);
    let worker = Running::start(stage.worker().queue("email", done).queue_with("sms", options, done));
    eventually("it waits", async || stage.store.count(Op::QueueWait) == 1).await;
    stage.store.hold_claims_of(Some(&other));
    stage.state.push_one(&other, NewJob::new("")).await.unwrap();
    eventually("a claim hangs", async || stage.store.count(Op::QueueClaim) == 3).await;
    for job in 1..=3 {
        stage.push_many(1).await;
        eventually("the other queue is served", async || worker.handle.stats().completed == job).await;
    }
    stage.store.hold_claims_of(None);
    eventually("and this one again", async || worker.handle.stats().completed == 4).await;
    worker.shutdown().await;
}

/// On one thread, so that events reach the worker in the order in which the store lets them go.
#[tokio::test]
async fn news_that_come_while_a_claim_is_under_way_are_not_lost() {
    let stage = Stage::new();
    stage.store.hold(Op::QueueWait);
    let due = stage.push(NewJob::new("").with_delay(Duration::from_millis(50))).await;
    let worker = Running::start(stage.worker().queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it waits", async || stage.store.count(Op::QueueWait) == 1).await;
    // At the time at which the job would be due the worker claims, while its wait is still under way.
    stage.store.hold_answers(Op::QueueClaim);
    stage.state.cancel(&stage.queue, &due).await.unwrap();
    eventually("it claims", async || stage.store.count(Op::QueueClaim) == 2).await;
    stage.push_many(1).await;
    stage.store.let_go(Op::QueueWait);
    tokio::task::yield_now().await;
    stage.store.let_answers_go(Op::QueueClaim);
    eventually("done", async || worker.handle.stats().completed == 1).await;
    assert_eq!(stage.store.ops()[..4], [Op::QueueClaim, Op::QueueWait, Op::QueueClaim, Op::QueueClaim]);
    worker.shutdown().await;
}
