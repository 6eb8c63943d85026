//! Commits.

use std::sync::Arc;
use std::time::Duration;

use store_core::{
    ClaimRequest, Commit, Durability, Fence, Home, JobState, NewJob, Outcome, SaveRequest, StreamName, TokenOutcome,
    UniqueKey,
};

use super::{World, holder, never_repeated};

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
