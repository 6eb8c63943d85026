//! Handlers whose commit ends the lease.

use std::sync::Arc;
use std::time::Duration;

use store_core::{Durability, Home, Homes, NewJob, Op, Unique, UniqueKey, UniqueUntil};
use store_worker::{Done, Job, WorkerBuilder};

use crate::fixture::{Fixture, Running, Turnstile, eventually};

const SHORT: Duration = Duration::from_millis(300);

/// A worker whose handler commits, and then stays until the turnstile is open.
fn worker(fixture: &Fixture, turnstile: &Turnstile) -> WorkerBuilder {
    let home: Arc<dyn Home> = fixture.state.home(&fixture.queue, &key());
    let turnstile = turnstile.clone();
    let handler = move |job: Job| {
        let (home, turnstile) = (Arc::clone(&home), turnstile.clone());
        async move {
            let commit = home.commit(&job.commit(()), Durability::Accepted).await?.value;
            assert!(commit.done().is_some());
            let _inside = turnstile.pass().await;
            Ok(Done::committed())
        }
    };
    fixture.worker().with_lease(SHORT).with_queue("email", handler)
}

fn key() -> UniqueKey {
    UniqueKey::new("shop").unwrap()
}

fn keyed() -> NewJob {
    NewJob::new("").with_unique(Unique::new(key(), UniqueUntil::Finished))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_whose_commit_has_ended_the_lease_may_return() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push(keyed()).await;
    let worker = Running::start(worker(&fixture, &turnstile));
    turnstile.until_inside(1).await;
    // A second renewal is sent when the answer to the first was handled.
    eventually("renewed", async || fixture.store.count(Op::QueueExtend) >= 2).await;
    assert_eq!(turnstile.inside(), 1, "the handler was dropped after its commit");
    turnstile.open();
    eventually("completed", async || worker.handle.stats().completed == 1).await;
    let stats = worker.shutdown().await.stats;
    assert_eq!((stats.lost, stats.unknown), (0, 0));
    assert_eq!(fixture.counts().await.pending(), 0);
    assert!(fixture.store.sizes(Op::QueueSettle).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_return_after_its_commit_is_not_counted_as_lost() {
    let fixture = Fixture::new();
    let turnstile = Turnstile::new();
    fixture.push(keyed()).await;
    let worker = Running::start(worker(&fixture, &turnstile).with_cancel_grace(Duration::from_millis(50)));
    turnstile.until_inside(1).await;
    eventually("dropped", async || turnstile.inside() == 0).await;
    eventually("counted", async || worker.handle.stats().running == 0).await;
    let stats = worker.shutdown().await.stats;
    assert_eq!((stats.lost, stats.unknown, stats.completed), (0, 1, 0));
}
