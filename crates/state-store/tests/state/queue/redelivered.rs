//! Commits that are interrupted after each write, and whose job is delivered again to a handler that commits anew.

use store_core::{Committed, JobId, NewJob, Outcome, QueueExt, QueueName, RequestId, RunOutcome, TokenOutcome};
use testkit::{Interrupted, random_prefix};

use super::LEASE;
use super::commits::{Prepared, commit, delivering, prepare, pushed, recorded, records};
use super::crashes::fixture;

/// What a handler does that does not know what an earlier delivery has written: a commit with a new identity. If it is refused, one
/// without the parts that were there.
async fn handle(prepared: &mut Prepared) {
    prepared.commit = prepared.commit.clone().with_request(RequestId::generate());
    let Committed::Refused(parts) = commit(prepared).await.unwrap() else { return };
    assert!(!parts.settled.is_lost());
    let own = &mut prepared.commit;
    own.run.take_if(|_| matches!(parts.run, Some(RunOutcome::Conflict(_))));
    own.token.take_if(|_| matches!(parts.token, Some(TokenOutcome::Conflict(_))));
    own.jobs =
        own.jobs.drain(..).zip(&parts.pushed).filter(|(_, pushed)| pushed.is_new()).map(|(job, _)| job).collect();
    assert!(commit(prepared).await.unwrap().done().is_some());
}

/// The step, the run and the token are written once. A job with an id of its own is pushed once. Another job, and the deliveries, are
/// written twice if the first commit had written them.
#[tokio::test]
async fn a_redelivered_handler_after_an_interrupted_commit() {
    let fixture = fixture().await;
    let next = |id: Option<&str>| id.iter().fold(NewJob::new("next"), |job, id| job.with_id(JobId::new(*id).unwrap()));
    let prepared = async |queue: &QueueName, id: Option<&str>| {
        let Prepared { home, mut commit } = prepare(&fixture, queue, true).await;
        commit.jobs = vec![next(id)];
        Prepared { home, commit: delivering(queue, commit) }
    };
    let rehearsal = prepared(&QueueName::new(random_prefix()).unwrap(), None).await;
    assert!(commit(&rehearsal).await.unwrap().done().is_some());
    for id in [None, Some("page-2")] {
        let mut seen = std::collections::BTreeSet::new();
        for writes in 0.. {
            let queue = QueueName::new(random_prefix()).unwrap();
            let mut prepared = prepared(&queue, id).await;
            fixture.proxy.interrupt("home/commit", writes, Interrupted::Fails).await.unwrap();
            let outcome = commit(&prepared).await;
            let was_interrupted = fixture.proxy.heal().await.unwrap() || outcome.is_err();
            let job = prepared.commit.settlement.lease.job.clone();
            let is_settled = fixture.state(&queue, job.as_str()).await.is_none();
            let before = (pushed(&fixture, &queue).await, recorded(&fixture, &queue).await);
            if !is_settled {
                fixture.clock.advance(LEASE * 2);
                for claimed in fixture.claim(&queue, 10).await.unwrap() {
                    if *claimed.id() == job {
                        prepared.commit.settlement.lease = claimed.lease;
                    } else {
                        fixture.store.settle_one(&queue, claimed.lease, Outcome::Release).await.unwrap();
                    }
                }
                handle(&mut prepared).await;
            }
            assert_eq!(records(&*prepared.home).await, [true; 3]);
            let times = if is_settled || id.is_some() { 1 } else { 1 + before.0 };
            let delivered = fixture.drain(&queue).await;
            assert_eq!(delivered.len(), times, "{delivered:?}");
            assert_eq!(recorded(&fixture, &queue).await, if is_settled { 2 } else { 2 + before.1 });
            seen.insert((before, is_settled));
            if !was_interrupted {
                break;
            }
        }
        // Nothing, the job, the deliveries too, everything.
        assert_eq!(seen.len(), 4, "{seen:?}");
    }
}
