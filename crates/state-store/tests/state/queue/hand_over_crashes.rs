//! Pushes that hand a job over, interrupted between two of their writes; a `PUBLISH` counts as one.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use store_core::{ClaimRequest, HolderName, JobState, NewJob, Outcome, Queue, QueueExt, QueueName, Waiter, Wakeup};
use testkit::Interrupted;

use super::crashes::{Fixture, fixture, push};
use super::{LEASE, id, job};

/// Whose channel nobody has subscribed to.
const GONE: &[u8] = b"gone....";

/// Registers a worker that no longer listens, for up to five jobs, until long after the test. `key`: that of the registrations.
pub(super) async fn register_gone(fixture: &Fixture, key: &str, channel: &str) {
    let ends = fixture.clock.now().as_millis() + 1_000_000_000;
    let lease = LEASE.as_millis() as u64;
    let (ends, lease) = (ends.to_be_bytes(), lease.to_be_bytes());
    let begin = [&ends[2..], &[0, 5], &[0, 255, 255], &lease[2..], &[channel.len() as u8]].concat();
    let registration = [&begin, channel.as_bytes(), b"worker-2"].concat();
    fixture.server.command(&[b"HSET", key.as_bytes(), GONE, &registration]).await.unwrap();
}

async fn is_stored(fixture: &Fixture, queue: &QueueName) -> bool {
    let jobs = format!("test:{{q.{queue}.0}}:jobs");
    fixture.server.command(&["EXISTS", &jobs]).await.unwrap().as_integer() == Some(1)
}

/// The message is published before the script takes the lease back: wherever it ends, the job runs once, within a lease.
#[tokio::test]
async fn a_job_that_nobody_receives_is_delivered_once() {
    let fixture = fixture().await;
    for channel in ["test:wake:gone", "test:wake:gone{q.mail.0}"] {
        for then in [Interrupted::Fails, Interrupted::IsRepeated] {
            let prepare = async |queue: &QueueName| {
                register_gone(&fixture, &format!("test:{{q.{queue}.0}}:waiters"), channel).await;
            };
            let act = async |queue: &QueueName, (): &()| {
                let pushed = push(&fixture.store, queue, &[NewJob::new("a")]).await;
                let is_ok = pushed.is_ok();
                assert!(then == Interrupted::Fails || is_ok, "{pushed:?}");
                let was_stored = is_stored(&fixture, queue).await;
                let mut jobs = fixture.claim(queue, 9).await.unwrap();
                if jobs.is_empty() {
                    assert!(then == Interrupted::IsRepeated || !is_ok, "it is ready at once");
                    fixture.clock.advance(LEASE);
                    jobs = fixture.claim(queue, 9).await.unwrap();
                }
                assert_eq!(jobs.len(), usize::from(was_stored), "was it pushed: {pushed:?}");
                for job in jobs {
                    assert_eq!(job.attempt, 1);
                    fixture.clock.advance(LEASE / 2);
                    assert_eq!(fixture.claim(queue, 9).await.unwrap(), [], "it runs");
                    fixture.store.settle_one(queue, job.lease, Outcome::Complete(None)).await.unwrap();
                }
                pushed.map(drop)
            };
            let check = async |queue: &QueueName| {
                fixture.clock.advance(LEASE * 2);
                assert!(fixture.drain(queue).await.is_empty());
                fixture.assert_clean(queue).await;
            };
            fixture.interrupt_everywhere("queue/push", then, prepare, act, check).await;
        }
    }
}

/// An interrupted script leaves counters that do not show that a job is ready.
#[tokio::test]
async fn a_new_job_is_not_handed_over_before_one_that_is_ready() {
    let fixture = fixture().await;
    let prepare = async |queue: &QueueName| {
        let waiter = fixture.store.waiter();
        let request = ClaimRequest::new(queue.clone(), HolderName::new("waiter").unwrap(), 2, LEASE);
        assert!(waiter.claim(&request, 2).await.unwrap().jobs.is_empty());
        waiter
    };
    let hidden = Cell::new(0);
    let act = async |queue: &QueueName, waiter: &Arc<dyn Waiter>| {
        let first = push(&fixture.store, queue, &[job("a")]).await;
        let was_interrupted = fixture.proxy.heal().await.unwrap();
        let is_ready = fixture.state(queue, "a").await == Some(JobState::Ready);
        push(&fixture.store, queue, &[NewJob::new("b")]).await.unwrap();
        let mut handed = Vec::new();
        while let Some(wakeup) = waiter.next(Duration::from_millis(20)).await.unwrap() {
            let Wakeup::Claimed { claim, .. } = wakeup else { continue };
            handed.extend(claim.jobs.into_iter().map(|job| job.lease.job));
        }
        if is_ready && was_interrupted {
            assert_eq!(handed.first(), Some(&id("a")), "{handed:?}");
            hidden.set(hidden.get() + 1);
        }
        first.map(drop)
    };
    fixture.interrupt_everywhere("queue/push", Interrupted::Fails, prepare, act, async |_| ()).await;
    assert!(hidden.get() > 1, "the job was ready after some of the interruptions");
}
