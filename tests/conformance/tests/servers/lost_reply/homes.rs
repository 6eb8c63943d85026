//! Commits.

use std::time::{Duration, Instant};

use store_core::{
    ClaimRequest, Commit, Committed, Delivered, Delivery, Durability, Fence, HolderName, JobLease, NewEvent, NewJob,
    NewRun, OutboxEntry, Outcome, QueueName, RunEvent, RunId, RunWrite, SaveRequest, StepAttempt, StepName, StreamName,
    TopicConfig, TopicName, UniqueKey, WorkflowRun,
};

use super::World;

const ACCEPTED: Durability = Durability::Accepted;

impl World {
    async fn claims(&self) -> JobLease {
        let request = ClaimRequest::new(self.queue(), HolderName::new("worker").unwrap(), 1, Duration::from_secs(60));
        self.stores.state.claim(&request).await.unwrap().jobs.remove(0).lease
    }
}

/// A commit of all parts, then one that is refused.
pub(super) async fn commit(world: World) {
    let (state, queue) = (&world.stores.state, world.queue());
    let home = state.home(&queue, &UniqueKey::new("shop").unwrap());
    assert!(state.push(&queue, &[NewJob::new("1")], ACCEPTED).await.unwrap().value[0].is_new());
    let lease = world.claims().await;
    let new = NewRun::new(RunId::new("run").unwrap(), "importer".try_into().unwrap());
    let run = home.runs().create(&new, ACCEPTED).await.unwrap().value.done().unwrap();
    let charge =
        StepAttempt::new(WorkflowRun::named("import").unwrap(), StepName::new("charge").unwrap(), Fence::new(1));
    assert!(home.steps().begin(&charge, ACCEPTED).await.unwrap().value.is_started());
    // Without a sequence and a version: only the identity shows that it was appended.
    let append = RunWrite::new(run.run.clone()).with_event(RunEvent::new("page", "1"));
    let token = SaveRequest::new(StreamName::new("orders").unwrap(), "page 1", Fence::new(1), None);
    let commit = Commit::new(lease, Outcome::Complete(None))
        .with_job(NewJob::new("2"))
        .with_step(charge, "paid")
        .with_run(append)
        .with_token(token);
    let parts = world.lost(home.commit(&commit, ACCEPTED)).await.unwrap().value.done().unwrap();
    assert_eq!((parts.pushed.len(), parts.step), (1, Some(true)));
    assert_eq!(state.counts(&queue).await.unwrap().pending(), 1);
    let events = home.runs().events(&run.run, 0, 10).await.unwrap().unwrap().events;
    assert_eq!(events.len(), 2, "the event was appended once");

    let late = SaveRequest::new(StreamName::new("orders").unwrap(), "another page", Fence::new(1), None);
    let next = Commit::new(world.claims().await, Outcome::Complete(None)).with_token(late);
    let refused = world.lost(home.commit(&next, ACCEPTED)).await.unwrap().value;
    assert!(matches!(refused, Committed::Refused(parts) if !parts.settled.is_lost()));
    assert_eq!(state.counts(&queue).await.unwrap().running, 1);
}

/// A job and an event, from an outbox.
pub(super) async fn deliver(world: World) {
    let (state, queue) = (&world.stores.state, world.queue());
    let (target, topic) = (QueueName::new("target").unwrap(), TopicName::new("orders").unwrap());
    let home = state.home(&queue, &UniqueKey::new("shop").unwrap());
    for queue in [&queue, &target] {
        assert!(state.push(queue, &[NewJob::new("1")], ACCEPTED).await.unwrap().value[0].is_new());
    }
    state.topics().declare(&topic, &TopicConfig::default()).await.unwrap();
    let before = state.counts(&target).await.unwrap().pending();
    let events = || async { state.topics().inspect(&topic).await.unwrap()[0].bytes };
    let bytes = events().await;
    let commit = Commit::new(world.claims().await, Outcome::Complete(None))
        .with_delivery(Delivery::job(target.clone(), NewJob::new("2")))
        .with_delivery(Delivery::event(topic.clone(), NewEvent::new("paid")));
    assert!(home.commit(&commit, ACCEPTED).await.unwrap().value.done().is_some());
    let (since, lease, outbox) = (Instant::now(), Duration::from_secs(60), queue.outbox());
    let request = ClaimRequest::new(outbox.clone(), HolderName::new("deliverer").unwrap(), 2, lease);
    for job in state.claim(&request).await.unwrap().jobs {
        let entry = OutboxEntry::new(outbox.clone(), job, since, lease);
        assert_eq!(world.lost(state.deliver(&entry, ACCEPTED)).await.unwrap(), Delivered::Done);
    }
    assert_eq!(state.counts(&target).await.unwrap().pending(), before + 1, "the job was pushed once");
    assert_eq!(events().await, bytes + 4, "the event was appended once");
    assert_eq!(state.counts(&outbox).await.unwrap().pending(), 0);
}
