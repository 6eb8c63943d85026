use std::time::Duration;

use store_core::{Cancelled, JobState, NewJob, Op, QueueControl, QueueInspect};
use store_worker::{Done, HandlerResult, Job, JobError};

use crate::fixture::{Fault, Fixture, Running, Turnstile, eventually};

const SHORT: Duration = Duration::from_millis(300);

/// A handler that stays until the turnstile is open.
macro_rules! stays {
    ($turnstile:expr) => {{
        let turnstile = $turnstile.clone();
        move |_: Job| {
            let turnstile = turnstile.clone();
            async move {
                let _inside = turnstile.pass().await;
                Ok(Done::discard())
            }
        }
    }};
}
pub(crate) use stays;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_runs_longer_than_its_lease_keeps_it() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let lease = Duration::from_secs(3);
    let id = fixture.push(NewJob::new("")).await;
    let worker = Running::start(fixture.worker().with_lease(lease).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    let until = async || fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap().at;
    for _ in 0..3 {
        eventually("renewed", async || until().await == Some(fixture.clock.now().after(lease))).await;
        fixture.clock.advance(Duration::from_secs(2));
    }
    turnstile.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    assert_eq!(worker.shutdown().await.stats.completed, 1);
    assert_eq!(turnstile.entered(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_leases_are_renewed_in_one_call() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(20).await;
    let worker =
        Running::start(fixture.worker().with_lease(Duration::from_secs(3)).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(20).await;
    eventually("renewed", async || fixture.store.count(Op::QueueExtend) >= 2).await;
    assert_eq!(fixture.store.sizes(Op::QueueExtend)[..2], [20, 20]);
    turnstile.open();
    assert_eq!(worker.shutdown().await.stats.completed, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_drops_the_handler_and_nothing_is_settled_for_it() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let id = fixture.push(NewJob::new("")).await;
    let worker = Running::start(fixture.worker().with_lease(SHORT).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    // An extension shows that the delivery was heard: it is an attempt.
    eventually("renewed", async || fixture.store.count(Op::QueueExtend) >= 1).await;
    fixture.clock.advance(Duration::from_secs(60));
    eventually("lost", async || worker.handle.stats().lost >= 1).await;
    // The job comes back by itself and runs again.
    eventually("again", async || turnstile.entered() >= 2).await;
    assert!(fixture.store.sizes(Op::QueueSettle).is_empty());
    let info = fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap();
    assert_eq!(info.state, JobState::Running);
    turnstile.open();
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_is_dropped_before_a_lease_that_cannot_be_renewed_can_have_run_out() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push(NewJob::new("")).await;
    let began = tokio::time::Instant::now();
    let worker = Running::start(fixture.worker().with_lease(SHORT).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    fixture.store.fail(&[Op::QueueExtend], Fault::Away);
    eventually("dropped", async || turnstile.inside() == 0).await;
    assert!(began.elapsed() >= SHORT, "dropped only when the lease could have run out");
    assert!(fixture.store.count(Op::QueueExtend) >= 2, "it was tried again in time");
    assert_eq!(worker.shutdown().await.stats.lost, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_hangs_does_not_keep_the_handler() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push(NewJob::new("")).await;
    let worker = Running::start(fixture.worker().with_lease(SHORT).with_queue("email", stays!(turnstile)));
    fixture.store.hold(Op::QueueExtend);
    turnstile.until_inside(1).await;
    eventually("dropped", async || turnstile.inside() == 0 && worker.handle.stats().lost == 1).await;
    fixture.store.let_go(Op::QueueExtend);
    worker.shutdown().await;
}

/// Of two jobs in two partitions. The leases of one are renewed as long as those of the other cannot be.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_cannot_be_reached_keeps_no_other_one_from_being_renewed() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.store.divide(2);
    fixture.push_batch(2).await;
    fixture.store.hold_extensions_of(Some(1));
    let worker = Running::start(fixture.worker().with_lease(SHORT).with_queue("email", stays!(turnstile)));
    turnstile.until_inside(2).await;
    eventually("one is lost", async || worker.handle.stats().lost == 1).await;
    let renewals = fixture.store.count(Op::QueueExtend);
    eventually("the other one is kept", async || fixture.store.count(Op::QueueExtend) > renewals + 6).await;
    assert_eq!((turnstile.inside(), worker.handle.stats().lost), (1, 1));
    assert!(fixture.store.sizes(Op::QueueExtend).iter().all(|jobs| *jobs == 1), "each call concerns one partition");
    fixture.store.hold_extensions_of(None);
    turnstile.open();
    eventually("completed", async || worker.handle.stats().completed == 1).await;
    worker.handle.shutdown_now();
    worker.report().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_tells_tasks_of_the_handler_that_its_lease_is_lost() {
    let fixture = Fixture::new();
    let (told, telling) = tokio::sync::watch::channel(false);
    fixture.push(NewJob::new("")).await;
    let handler = move |job: Job| {
        let told = told.clone();
        async move {
            let watched = job.clone();
            tokio::spawn(async move {
                watched.cancelled().await;
                told.send_replace(true);
            });
            std::future::pending::<()>().await;
            Ok(Done::discard())
        }
    };
    let worker = Running::start(fixture.worker().with_lease(SHORT).with_queue("email", handler));
    fixture.until("running", |counts| counts.running == 1).await;
    fixture.store.fail(&[Op::QueueExtend], Fault::Away);
    eventually("told", async || *telling.borrow()).await;
    worker.handle.shutdown_now();
    worker.report().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_is_asked_to_cancel_may_end_by_itself() {
    let fixture = Fixture::new();
    let id = fixture.push(NewJob::new("")).await;
    let handler = async |job: Job| -> HandlerResult {
        job.cancelled().await;
        Err(JobError::cancelled())
    };
    let worker = Running::start(fixture.worker().with_lease(SHORT).with_queue("email", handler));
    fixture.until("running", |counts| counts.running == 1).await;
    assert_eq!(fixture.state.cancel(&fixture.queue, &id).await.unwrap(), Cancelled::Requested);
    fixture.until("gone", |counts| counts.pending() == 0).await;
    assert_eq!(worker.shutdown().await.stats.cancelled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_completed_after_all_is_not_cancelled() {
    let fixture = Fixture::new();
    let id = fixture.push(NewJob::new("")).await;
    let handler = async |job: Job| {
        job.cancelled().await;
        Ok(Done::discard())
    };
    let worker = Running::start(fixture.worker().with_lease(SHORT).with_queue("email", handler));
    fixture.until("running", |counts| counts.running == 1).await;
    fixture.state.cancel(&fixture.queue, &id).await.unwrap();
    fixture.until("gone", |counts| counts.pending() == 0).await;
    assert_eq!(worker.shutdown().await.stats.completed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_listen_is_dropped_after_the_grace() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let id = fixture.push(NewJob::new("")).await;
    let builder = fixture.worker().with_lease(SHORT).with_cancel_grace(Duration::from_millis(50));
    let worker = Running::start(builder.with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    fixture.state.cancel(&fixture.queue, &id).await.unwrap();
    fixture.until("gone", |counts| counts.pending() == 0).await;
    assert_eq!(turnstile.inside(), 0);
    assert_eq!(worker.shutdown().await.stats.cancelled, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_seen_by_inspection_and_survives_a_failed_renewal() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let id = fixture.push(NewJob::new("")).await;
    let gate = turnstile.clone();
    let handler = move |job: Job| {
        let gate = gate.clone();
        async move {
            assert!(job.progress(vec![0; store_core::JobInfo::MAX_RESULT_BYTES + 1]).is_err());
            job.progress("half")?;
            let _inside = gate.pass().await;
            Ok(Done::discard())
        }
    };
    fixture.store.fail(&[Op::QueueExtend], Fault::Away);
    let worker = Running::start(fixture.worker().with_lease(Duration::from_secs(3)).with_queue("email", handler));
    eventually("a failed renewal", async || fixture.store.count(Op::QueueExtend) >= 1).await;
    fixture.store.heal();
    let progress = async || fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap().progress;
    eventually("progress", async || progress().await.as_deref() == Some(&b"half"[..])).await;
    turnstile.open();
    assert_eq!(worker.shutdown().await.stats.completed, 1);
}
