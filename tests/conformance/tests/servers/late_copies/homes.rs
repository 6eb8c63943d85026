//! Commits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store_core::{
    ClaimRequest, Commit, Delivered, Delivery, Durability, Error, Fence, Home, JobState, NewJob, OutboxEntry, Outcome,
    QueueExt, QueueName, SaveRequest, StreamName, TokenOutcome, UniqueKey,
};
use testkit::FaultProxy;

use super::{World, holder, is_a_script, never_repeated};

impl World {
    fn home(&self) -> Arc<dyn Home> {
        self.stores.state.home(&self.queue(), &UniqueKey::new("shop").unwrap())
    }

    /// A commit whose first copy is held back. It releases its job, pushes another one and saves a token.
    async fn commit_held(&self) -> Commit {
        let (state, queue) = (&self.stores.state, self.queue());
        assert!(state.push(&queue, &[NewJob::new("1")], Durability::Accepted).await.unwrap().value[0].is_new());
        let request = || ClaimRequest::new(queue.clone(), holder("worker"), 1, Duration::from_secs(60));
        let lease = never_repeated(async || state.claim(&request()).await).await.jobs.remove(0).lease;
        let token = SaveRequest::new(StreamName::new("orders").unwrap(), "page 1", Fence::new(1), None);
        let commit = Commit::new(lease, Outcome::Release).with_token(token).with_job(NewJob::new("2"));
        let committed = self.held(self.home().commit(&commit, Durability::Accepted)).await.value;
        assert!(committed.done().is_some());
        commit
    }
}

pub(super) async fn commit_then_clear(world: World) {
    let commit = world.commit_held().await;
    let (tokens, stream) = (world.home().resume_tokens(), commit.token.unwrap().stream);
    let version = tokens.load(&stream).await.unwrap().unwrap().info.version;
    assert_eq!(tokens.clear(&stream, version, None).await.unwrap(), TokenOutcome::Done(()));
    world.arrives().await;
    assert_eq!(tokens.load(&stream).await.unwrap(), None);
}

pub(super) async fn commit_then_delete(world: World) {
    let commit = world.commit_held().await;
    let (state, queue) = (&world.stores.state, world.queue());
    let page = state.list(&queue, JobState::Ready, Default::default()).await.unwrap();
    let ids: Vec<_> = page.items.into_iter().map(|job| job.id).collect();
    assert!(ids.len() == 2 && ids.contains(&commit.settlement.lease.job));
    state.delete(&queue, &ids).await.unwrap();
    world.arrives().await;
    assert_eq!(state.counts(&queue).await.unwrap().pending(), 0);
}

impl World {
    /// An entry of an outbox, and the queue for which it has a job.
    async fn entry(&self) -> (OutboxEntry, QueueName) {
        let (state, queue) = (&self.stores.state, self.queue());
        let (target, lasting) = (QueueName::new(self.text("target")).unwrap(), Duration::from_secs(60));
        for queue in [&queue, &target] {
            assert!(state.push(queue, &[NewJob::new("1")], Durability::Accepted).await.unwrap().value[0].is_new());
        }
        let request = |queue: &QueueName| ClaimRequest::new(queue.clone(), holder("worker"), 1, lasting);
        let lease = state.claim(&request(&queue)).await.unwrap().jobs.remove(0).lease;
        let delivery = Delivery::job(target.clone(), NewJob::new("2"));
        let commit = Commit::new(lease, Outcome::Complete(None)).with_delivery(delivery);
        assert!(self.home().commit(&commit, Durability::Accepted).await.unwrap().value.done().is_some());
        let (since, outbox) = (Instant::now(), queue.outbox());
        let claimed = state.claim(&request(&outbox)).await.unwrap().jobs.remove(0);
        (OutboxEntry::new(outbox, claimed, since, lasting), target)
    }

    /// The held copy arrives when both jobs of the queue are completed.
    async fn arrives_after_all(&self, target: &QueueName) {
        let state = &self.stores.state;
        let request = ClaimRequest::new(target.clone(), holder("worker"), 10, Duration::from_secs(60));
        let jobs = state.claim(&request).await.unwrap().jobs;
        assert_eq!(jobs.len(), 2);
        for job in jobs {
            state.settle_one(target, job.lease, Outcome::Complete(None)).await.unwrap();
        }
        self.arrives().await;
        assert_eq!(state.counts(target).await.unwrap().pending(), 0);
    }
}

pub(super) async fn deliver_then_complete(world: World) {
    let (entry, target) = world.entry().await;
    assert_eq!(world.held(world.stores.state.deliver(&entry, Durability::Accepted)).await, Delivered::Done);
    world.arrives_after_all(&target).await;
}

/// The first call ends with its lease. It sends no other copy, which would arrive after the second one was forgotten.
pub(super) async fn deliver_then_deliver_by_another(world: World) {
    let (entry, target) = world.entry().await;
    let (state, mut first) = (&world.stores.state, entry.clone());
    first.since -= first.lease - Duration::from_secs(1);
    if world.holds {
        world.proxies.iter().for_each(|proxy| proxy.hold_at_request(is_a_script));
        let failed = state.deliver(&first, Durability::Accepted).await;
        assert!(matches!(failed, Err(Error::Indeterminate { .. })), "{failed:?}");
        world.proxies.iter().for_each(FaultProxy::disarm);
    }
    assert_eq!(state.deliver(&entry, Durability::Accepted).await.unwrap(), Delivered::Done);
    world.arrives_after_all(&target).await;
}
