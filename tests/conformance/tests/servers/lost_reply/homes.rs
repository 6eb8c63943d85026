//! Commits.

use std::time::Duration;

use store_core::{
    ClaimRequest, Commit, Committed, Durability, Fence, HolderName, JobLease, NewJob, NewRun, Outcome, RunEvent, RunId,
    RunWrite, SaveRequest, StepAttempt, StepName, StreamName, UniqueKey, WorkflowRun,
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
