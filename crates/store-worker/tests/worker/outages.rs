use std::collections::HashSet;
use std::time::Duration;

use store_core::{ClaimRequest, HolderName, JobId, NewJob, Op, Queue, QueueInspect};
use store_worker::{Done, Job};

use crate::fixture::{ALL, Fault, Fixture, Running, Turnstile, eventually};
use crate::leases::stays;

const KEPT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_waits_while_the_store_is_away_and_goes_on_by_itself() {
    let fixture = Fixture::new();
    fixture.store.fail(&ALL, Fault::Away);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    fixture.push_many(10).await;
    eventually("it tries again", async || fixture.store.count(Op::QueueClaim) >= 3).await;
    assert_eq!(worker.handle.stats().completed, 0);
    fixture.store.heal();
    fixture.until("done", |counts| counts.pending() == 0).await;
    assert_eq!(worker.shutdown().await.stats.completed, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_while_the_store_was_away_is_delivered_when_it_is_back() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(5).await;
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    turnstile.until_inside(5).await;
    fixture.store.fail(&ALL, Fault::Away);
    turnstile.open();
    eventually("settling was tried", async || fixture.store.count(Op::QueueSettle) >= 2).await;
    assert_eq!(fixture.counts().await.running, 5);
    fixture.store.heal();
    fixture.until("done", |counts| counts.pending() == 0).await;
    let report = worker.shutdown().await;
    assert_eq!((report.stats.completed, report.stats.lost, turnstile.entered()), (5, 0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_whose_reply_was_lost_counts_once() {
    let fixture = Fixture::new();
    let id = fixture.push(NewJob::new("")).await;
    fixture.store.fail(&[Op::QueueSettle], Fault::ReplyLost);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::keep("x", KEPT))));
    eventually("sent again", async || fixture.store.count(Op::QueueSettle) >= 2).await;
    fixture.store.heal();
    eventually("counted", async || worker.handle.stats().completed == 1).await;
    let report = worker.shutdown().await;
    assert_eq!((report.stats.completed, report.stats.lost), (1, 0));
    assert!(fixture.state.get(&fixture.queue, &id).await.unwrap().unwrap().result.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_is_given_up_when_its_lease_is_surely_over() {
    let fixture = Fixture::new();
    fixture.push(NewJob::new("")).await;
    fixture.store.fail(&[Op::QueueSettle], Fault::Away);
    let builder = fixture.worker().with_lease(Duration::from_millis(100));
    let worker = Running::start(builder.with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("given up", async || worker.handle.stats().lost == 1).await;
    fixture.store.heal();
    fixture.clock.advance(Duration::from_secs(1));
    fixture.push(NewJob::new("")).await;
    fixture.until("it came back and was done", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_is_refused_does_not_hold_up_the_others() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let refused = fixture.push(NewJob::new("")).await;
    fixture.push_many(20).await;
    fixture.store.refuse_to_settle(&refused);
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    turnstile.until_inside(21).await;
    turnstile.open();
    eventually("the others are done", async || worker.handle.stats().completed == 20).await;
    worker.handle.shutdown_now();
    assert!(!worker.report().await.clean);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_claim_was_not_heard_start_when_the_store_is_back_and_not_after_a_lease() {
    let fixture = Fixture::new();
    fixture.push_many(3).await;
    fixture.store.fail(&[Op::QueueClaim], Fault::ReplyLost);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    fixture.until("claimed by nobody", |counts| counts.running == 3).await;
    fixture.store.heal();
    // The store's clock stands still: no lease ends.
    fixture.until("done", |counts| counts.pending() == 0).await;
    let report = worker.shutdown().await;
    assert_eq!((report.stats.completed, report.stats.lost), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_not_heard_is_repeated_also_after_a_repetition_that_did_not_arrive() {
    let fixture = Fixture::new();
    fixture.push_many(3).await;
    fixture.store.fail(&[Op::QueueClaim], Fault::ReplyLost);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    fixture.until("claimed by nobody", |counts| counts.running == 3).await;
    fixture.store.fail(&[Op::QueueClaim], Fault::Away);
    let before = fixture.store.count(Op::QueueClaim);
    eventually("it is repeated", async || fixture.store.count(Op::QueueClaim) >= before + 3).await;
    fixture.store.heal();
    // The store's clock stands still: no lease ends.
    fixture.until("done", |counts| counts.pending() == 0).await;
    assert_eq!(worker.shutdown().await.stats.completed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_claim_was_not_heard_for_a_lease_come_back() {
    let fixture = Fixture::new();
    fixture.push_many(3).await;
    fixture.store.fail(&[Op::QueueClaim], Fault::ReplyLost);
    let builder = fixture.worker().with_lease(Duration::from_millis(100));
    let worker = Running::start(builder.with_queue("email", async |_: Job| Ok(Done::discard())));
    fixture.until("claimed by nobody", |counts| counts.running == 3).await;
    let requests = || fixture.store.claims().into_iter().map(|claim| claim.request).collect::<HashSet<_>>().len();
    eventually("the claim was given up", async || requests() > 1).await;
    fixture.clock.advance(Duration::from_secs(20));
    fixture.store.heal();
    fixture.until("done", |counts| counts.pending() == 0).await;
    assert_eq!(worker.shutdown().await.stats.completed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn settlements_that_are_too_many_for_one_call_are_delivered_in_several() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push_many(50).await;
    fixture.store.settles_at_most(3);
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    turnstile.until_inside(50).await;
    fixture.store.hold(Op::QueueSettle);
    turnstile.open();
    eventually("all have ended", async || worker.handle.stats().running == 0).await;
    fixture.store.let_go(Op::QueueSettle);
    eventually("delivered", async || worker.handle.stats().completed == 50).await;
    assert_eq!(worker.shutdown().await.stats.lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_reply_was_lost_is_sent_again_at_once_for_half_the_bytes() {
    let fixture = Fixture::new();
    fixture.push_many(3).await;
    fixture.store.fail(&[Op::QueueClaim], Fault::ReplyLost);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it is repeated", async || fixture.store.claims().len() >= 3).await;
    fixture.store.heal();
    let claims = fixture.store.claims();
    assert!(claims[..3].iter().all(|claim| claim.request == claims[0].request && claim.max == claims[0].max));
    assert_eq!(claims[..3].iter().map(|claim| claim.is_repeat).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(claims[..3].iter().map(|claim| claim.max_bytes).collect::<Vec<_>>(), [1 << 20, 1 << 19, 1 << 18]);
    worker.handle.shutdown_now();
    worker.report().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_sends_a_lost_claim_again_and_gives_its_jobs_back() {
    let fixture = Fixture::new();
    fixture.push_many(3).await;
    fixture.store.hold(Op::QueueClaim);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it claims", async || fixture.store.count(Op::QueueClaim) == 1).await;
    fixture.store.fail(&[Op::QueueClaim], Fault::Cut);
    worker.handle.shutdown();
    fixture.store.let_go(Op::QueueClaim);
    assert!(worker.report().await.clean);
    assert_eq!(fixture.store.claims().iter().map(|claim| claim.is_repeat).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_is_refused_after_a_lost_reply_is_unknown() {
    let fixture = Fixture::new();
    fixture.push(NewJob::new("")).await;
    fixture.store.fail(&[Op::QueueSettle], Fault::Cut);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("it settles", async || fixture.store.count(Op::QueueSettle) >= 1).await;
    worker.handle.pause();
    fixture.clock.advance(Duration::from_secs(60));
    fixture.store.heal();
    eventually("counted", async || worker.handle.stats().unknown == 1).await;
    assert_eq!((worker.handle.stats().lost, worker.handle.stats().completed), (0, 0));
    worker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_whose_replies_are_all_lost_until_its_lease_ends_is_unknown() {
    let fixture = Fixture::new();
    fixture.push(NewJob::new("")).await;
    fixture.store.fail(&[Op::QueueSettle], Fault::ReplyLost);
    let builder = fixture.worker().with_lease(Duration::from_millis(100));
    let worker = Running::start(builder.with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("given up", async || worker.handle.stats().unknown == 1).await;
    fixture.store.heal();
    assert_eq!(worker.shutdown().await.stats.lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_job_whose_outcome_the_store_does_not_know_is_unknown() {
    let fixture = Fixture::new();
    let forgotten = JobId::new("forgotten").unwrap();
    for job in [NewJob::new(""), NewJob::new("").with_id(forgotten.clone()), NewJob::new("")] {
        fixture.push(job).await;
    }
    fixture.store.forget(&forgotten);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    eventually("all are settled", async || worker.handle.stats().completed == 2).await;
    eventually("counted", async || worker.handle.stats().unknown == 1).await;
    assert_eq!(worker.shutdown().await.stats.lost, 0);
}

/// Jobs of two partitions end at the same time, and others later.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_cannot_be_reached_keeps_no_other_one_from_being_settled() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.store.divide(2);
    fixture.store.hold_settlements_of(Some(1));
    fixture.push_batch(4).await;
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    turnstile.until_inside(4).await;
    turnstile.open();
    eventually("those of one partition are settled", async || worker.handle.stats().completed == 2).await;
    fixture.push_batch(4).await;
    eventually("those that end later, too", async || worker.handle.stats().completed > 2).await;
    fixture.store.hold_settlements_of(None);
    eventually("all are settled", async || worker.handle.stats().completed == 8).await;
    assert_eq!(worker.shutdown().await.stats.lost, 0);
}

/// The lease of one of two jobs has ended, and another worker has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_does_not_reach_the_durability_is_not_counted_as_done() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    let lost = fixture.push(NewJob::new("")).await;
    let worker = Running::start(fixture.worker().with_queue("email", stays!(turnstile)));
    turnstile.until_inside(1).await;
    fixture.clock.advance(Duration::from_secs(20));
    let other = HolderName::new("other").unwrap();
    let request = ClaimRequest::new(fixture.queue.clone(), other, 1, Duration::from_secs(3600));
    assert_eq!(fixture.state.claim(&request).await.unwrap().jobs[0].id(), &lost);
    fixture.push(NewJob::new("")).await;
    turnstile.until_inside(2).await;
    fixture.store.fail(&[Op::QueueSettle], Fault::NotDurable);
    turnstile.open();
    eventually("both are counted", async || worker.handle.stats().unknown == 2).await;
    assert_eq!((worker.handle.stats().completed, fixture.counts().await.running), (0, 1));
    worker.shutdown().await;
}
