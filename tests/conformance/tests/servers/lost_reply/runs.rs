//! The writes of runs. A call of several scripts loses the reply to each of them in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use store_core::{
    AgentName, Durability, NewRun, PageRequest, Result, RunEvent, RunFilter, RunId, RunInfo, RunState, RunWrite, Runs,
    Ttl,
};
use testkit::FaultProxy;

use super::{World, is_of_a_store};

const ACCEPTED: Durability = Durability::Accepted;

impl World {
    fn runs(&self) -> &dyn Runs {
        self.stores.state.runs()
    }

    fn run(&self, name: &str) -> RunId {
        RunId::new(format!("{}-{name}", self.place)).unwrap()
    }

    fn new_run(&self, name: &str) -> NewRun {
        NewRun::new(self.run(name), self.agent()).with_ttl(Ttl::from_secs(60))
    }

    fn agent(&self) -> AgentName {
        AgentName::new(self.place).unwrap()
    }

    async fn run_created(&self, name: &str) -> RunInfo {
        self.runs().create(&self.new_run(name), ACCEPTED).await.unwrap().value.done().unwrap()
    }

    fn note(&self, name: &str) -> RunWrite {
        RunWrite::new(self.run(name)).with_event(RunEvent::new("note", ""))
    }

    async fn kinds(&self, name: &str) -> Vec<String> {
        let events = self.runs().events(&self.run(name), 0, 100).await.unwrap().unwrap().events;
        events.into_iter().map(|event| event.kind).collect()
    }

    async fn listed(&self) -> (usize, u64) {
        let filter = RunFilter::default().of_agent(self.agent());
        let page = self.runs().list(&filter, PageRequest::default()).await.unwrap();
        (page.items.len(), page.total)
    }

    /// Makes the call, and loses the reply to the request that follows the first `skipped` ones.
    pub(super) async fn lost_behind<T>(&self, skipped: usize, call: impl Future<Output = Result<T>>) -> T {
        if !self.loses {
            return call.await.unwrap();
        }
        let seen = Arc::new(AtomicUsize::new(0));
        let state = &self.proxies[1];
        let before = state.fired();
        state.cut_after_request(move |request| {
            is_of_a_store(request) && seen.fetch_add(1, Ordering::Relaxed) == skipped
        });
        let answer = call.await.unwrap();
        state.cut_after_request(|_| false);
        let fired: usize = self.proxies.iter().map(FaultProxy::fired).sum();
        assert_eq!(fired, before + 1, "no reply was lost");
        answer
    }
}

pub(super) async fn create(world: World) {
    for (number, skipped) in [0, 1].into_iter().enumerate() {
        let new = world.new_run(&skipped.to_string());
        let run = world.lost_behind(skipped, world.runs().create(&new, ACCEPTED)).await.value;
        assert_eq!(run.done().map(|run| run.next_event), Some(1));
        assert_eq!(world.listed().await, (number + 1, number as u64 + 1));
    }
    // One that was refused is refused again.
    let refused = world.lost_behind(1, world.runs().create(&world.new_run("0"), ACCEPTED)).await.value;
    assert!(refused.done().is_none());
    world.clock.advance(Duration::from_secs(100));
    world.runs().sweep().await.unwrap();
    assert_eq!(world.listed().await, (0, 0));
}

pub(super) async fn write(world: World) {
    let run = world.run_created("1").await;
    // An append that presents no sequence is found in the log.
    let append = world.note("1");
    assert!(world.lost_behind(0, world.runs().write(&append, ACCEPTED)).await.value.done().is_some());
    assert_eq!(world.kinds("1").await, ["run.created", "note"]);
    let at_sequence = world.note("1").at_sequence(2);
    assert!(world.lost_behind(0, world.runs().write(&at_sequence, ACCEPTED)).await.value.done().is_some());
    let begin = RunWrite::new(world.run("1")).to(RunState::InProgress, run.version);
    let begun = world.lost_behind(0, world.runs().write(&begin, ACCEPTED)).await.value.done().unwrap();
    assert_eq!(world.kinds("1").await, ["run.created", "note", "note", "run.in-progress"]);
    // One that was refused is refused again.
    assert!(
        world
            .lost_behind(0, world.runs().write(&world.note("1").at_sequence(2), ACCEPTED))
            .await
            .value
            .done()
            .is_none()
    );
    let end = RunWrite::new(world.run("1")).to(RunState::Completed, begun.version);
    assert!(world.lost_behind(0, world.runs().write(&end, ACCEPTED)).await.value.done().is_some());
}

pub(super) async fn delete(world: World) {
    // It reads the run, deletes it, and removes its entries.
    for skipped in [0, 1, 2] {
        let run = world.run_created("1").await;
        assert!(world.lost_behind(skipped, world.runs().delete(&run.run)).await);
        assert_eq!((world.runs().get(&run.run).await.unwrap(), world.listed().await), (None, (0, 0)));
    }
}

pub(super) async fn sweep(world: World) {
    // It finds the run, reads it, and removes its entries.
    for skipped in [0, 1, 2] {
        world.run_created("1").await;
        world.clock.advance(Duration::from_secs(71));
        assert_eq!(world.lost_behind(skipped, world.runs().sweep()).await.removed, 1);
        assert_eq!(world.listed().await, (0, 0));
    }
}

pub(super) async fn clear(world: World) {
    // It lists the run, and deletes it.
    for skipped in [0, 1, 2, 3] {
        world.run_created("1").await;
        assert_eq!(world.lost_behind(skipped, world.runs().clear(world.place, None)).await.removed, 1);
        assert_eq!(world.listed().await, (0, 0));
    }
}
