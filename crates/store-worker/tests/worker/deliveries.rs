//! Deliveries of outboxes whose destinations do not answer, and at a shutdown.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use embedded_store::EmbeddedState;
use store_core::{
    ClaimRequest, Commit, Delivered, Delivery, Durability, Home, Homes, JobState, NewJob, OutboxEntry, Outcome,
    PageRequest, Queue, QueueInspect, QueueName, Result, RunsRemoved, UniqueKey,
};
use store_worker::Worker;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::fixture::{Fixture, eventually};

const ACCEPTED: Durability = Durability::Accepted;

/// Homes that deliver nothing to one queue, and nothing at all before they are open.
#[derive(Debug)]
struct Slow {
    inner: EmbeddedState,
    to: Option<QueueName>,
    is_open: watch::Sender<bool>,
}

#[async_trait]
impl Homes for Slow {
    fn home(&self, queue: &QueueName, key: &UniqueKey) -> Arc<dyn Home> {
        self.inner.home(queue, key)
    }

    async fn deliver(&self, entry: &OutboxEntry, durability: Durability) -> Result<Delivered> {
        let is_open = self.is_open.subscribe().wait_for(|is_open| *is_open).await.map(|_| ());
        is_open.unwrap();
        if let Delivery::Job { queue, .. } = Delivery::decode(entry.job.payload.clone()).unwrap()
            && Some(queue) == self.to
        {
            return std::future::pending().await;
        }
        self.inner.deliver(entry, durability).await
    }

    async fn recorded(&self, queue: &QueueName) {
        self.inner.recorded(queue).await;
    }

    async fn sweep_homes(&self, queue: &QueueName) -> Result<RunsRemoved> {
        self.inner.sweep_homes(queue).await
    }
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// Commits so many deliveries to a queue.
async fn record(fixture: &Fixture, to: &str, count: usize) {
    let home = fixture.state.home(&fixture.queue, &UniqueKey::new("home").unwrap());
    for begin in (0..count).step_by(Commit::MAX_JOBS) {
        fixture.push(NewJob::new("")).await;
        let request = ClaimRequest::new(fixture.queue.clone(), "test".try_into().unwrap(), 1, Duration::from_secs(30));
        let lease = fixture.state.claim(&request).await.unwrap().jobs.remove(0).lease;
        let deliveries = begin..count.min(begin + Commit::MAX_JOBS);
        let one = |commit: Commit, _| commit.with_delivery(Delivery::job(queue(to), NewJob::new("")));
        let commit = deliveries.fold(Commit::new(lease, Outcome::Complete(None)), one);
        assert!(home.commit(&commit, ACCEPTED).await.unwrap().value.done().is_some());
    }
}

fn homes(fixture: &Fixture, to: Option<&str>, is_open: bool) -> Arc<Slow> {
    Arc::new(Slow { inner: fixture.state.clone(), to: to.map(queue), is_open: watch::Sender::new(is_open) })
}

/// Many entries, so that they are claimed one after the other.
#[tokio::test(start_paused = true)]
async fn a_destination_that_does_not_answer_holds_up_another_one_for_one_attempt() {
    let fixture = Fixture::new();
    record(&fixture, "a", 256).await;
    record(&fixture, "b", 1).await;
    let worker = Worker::new(fixture.store.clone()).with_outboxes(homes(&fixture, Some("a"), true));
    let worker = worker.with_queue(fixture.queue.clone(), async |_| Ok(())).build().unwrap();
    let begun = Instant::now();
    let running = tokio::spawn(worker.run());
    eventually("b has it", async || fixture.state.counts(&queue("b")).await.unwrap().ready == 1).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let outbox = fixture.queue.outbox();
    let are_later = async || fixture.state.counts(&outbox).await.unwrap().scheduled == 256;
    eventually("all others are tried later", are_later).await;
    let page = fixture.state.list(&outbox, JobState::Scheduled, PageRequest::first(1)).await.unwrap();
    let info = fixture.state.get(&outbox, &page.items[0].id).await.unwrap().unwrap();
    assert!(info.last_error.is_some_and(|error| error.contains("home.deliver")));
    running.abort();
}

#[tokio::test]
async fn a_shutdown_delivers_all_entries() {
    let fixture = Fixture::new();
    record(&fixture, "a", 200).await;
    let homes = homes(&fixture, None, false);
    let worker = Worker::new(fixture.store.clone()).with_outboxes(homes.clone());
    let worker = worker.with_queue(fixture.queue.clone(), async |_| Ok(())).build().unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    let outbox = fixture.queue.outbox();
    eventually("claimed", async || fixture.state.counts(&outbox).await.unwrap().running == 64).await;
    handle.shutdown();
    homes.is_open.send_replace(true);
    running.await.unwrap().unwrap();
    let counts = fixture.state.counts(&outbox).await.unwrap();
    assert_eq!((counts.pending(), counts.dead), (0, 0));
    assert_eq!(fixture.state.counts(&queue("a")).await.unwrap().ready, 200);
}
