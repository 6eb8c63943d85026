//! Jobs that were claimed ahead of a free handler.

use std::time::Duration;

use store_core::{JobId, NewJob, Op, QueueControl};
use store_worker::{Done, Job};

use crate::fixture::{Fixture, Running, Turnstile, eventually};

/// Long enough for a test's next step, whatever else the machine does, and short enough to wait for its renewals.
const LEASE: Duration = Duration::from_secs(6);

/// A worker of two handlers, both at work, with one job claimed ahead, its id, and two more that are ready.
async fn one_ahead() -> (Fixture, Running, Turnstile, JobId) {
    one_ahead_after(0).await
}

/// The same; the claim of the job ahead is answered after so many renewals of an earlier job.
async fn one_ahead_after(renewals: usize) -> (Fixture, Running, Turnstile, JobId) {
    let fixture = Fixture::new();
    let gates = [Turnstile::new(), Turnstile::new(), Turnstile::new()];
    let handler = {
        let gates = gates.clone();
        move |job: Job| {
            let gate = gates[usize::from(job.payload()[0] - b'0')].clone();
            async move {
                let _inside = gate.pass().await;
                Ok(Done::discard())
            }
        }
    };
    let [first, second, last] = gates;
    fixture.push(NewJob::new("0")).await;
    fixture.push(NewJob::new("1")).await;
    let builder = fixture.worker().with_lease(LEASE).with_concurrency(2).with_prefetch(1).with_queue("email", handler);
    let worker = Running::start(builder);
    eventually("both run", async || first.inside() + second.inside() == 2).await;
    // A handler ends while a claim is under way: the claim after it may take one more than there is room for.
    fixture.store.hold(Op::QueueClaim);
    first.open();
    eventually("a claim is under way", async || fixture.store.count(Op::QueueClaim) == 2).await;
    eventually("renewed", async || fixture.store.count(Op::QueueExtend) >= renewals).await;
    second.open();
    eventually("both are done", async || worker.handle.stats().completed == 2).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(fixture.push(NewJob::new("2")).await);
    }
    fixture.store.let_go(Op::QueueClaim);
    fixture.until("one ahead", |counts| counts.running == 3).await;
    last.until_inside(2).await;
    assert_eq!(fixture.counts().await.ready, 2);
    (fixture, worker, last, ids[2].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_given_back_as_soon_as_a_shutdown_begins() {
    let (fixture, worker, gate, _) = one_ahead().await;
    worker.handle.shutdown();
    fixture.until("given back", |counts| counts.ready == 3).await;
    assert_eq!(gate.inside(), 2);
    gate.open();
    let report = worker.report().await;
    assert!(report.clean);
    assert_eq!((report.stats.completed, report.stats.released), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn they_begin_when_a_handler_is_free() {
    let (fixture, worker, gate, _) = one_ahead().await;
    gate.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    assert_eq!(worker.shutdown().await.stats.completed, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_cancelled_without_having_begun() {
    // Its lease began with the claim. The next renewal is therefore due before the job has waited for a third of the lease, after
    // which it would be given back.
    let (fixture, worker, gate, ahead) = one_ahead_after(1).await;
    fixture.state.cancel(&fixture.queue, &ahead).await.unwrap();
    eventually("cancelled", async || worker.handle.stats().cancelled == 1).await;
    gate.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    assert_eq!((worker.shutdown().await.stats.completed, gate.entered()), (6, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn they_never_begin_once_their_lease_is_lost() {
    let (fixture, worker, gate, _) = one_ahead().await;
    fixture.store.hold(Op::QueueClaim);
    fixture.clock.advance(Duration::from_secs(60));
    eventually("all leases are lost", async || worker.handle.stats().lost == 3).await;
    assert_eq!(gate.entered(), 2);
    gate.open();
    fixture.store.let_go(Op::QueueClaim);
    fixture.until("done by later deliveries", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_given_back_when_no_handler_gets_free() {
    let (fixture, worker, gate, _) = one_ahead().await;
    fixture.until("given back", |counts| counts.ready == 3).await;
    assert_eq!((worker.handle.stats().released, gate.inside()), (1, 2));
    let claims = fixture.store.count(Op::QueueClaim);
    let renewals = fixture.store.count(Op::QueueExtend);
    eventually("renewed", async || fixture.store.count(Op::QueueExtend) > renewals).await;
    assert_eq!(fixture.store.count(Op::QueueClaim), claims, "nothing is claimed ahead again");
    gate.open();
    fixture.until("done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}
