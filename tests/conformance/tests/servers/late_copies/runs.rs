//! The writes of runs. A call of several scripts has a late copy of one that writes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use conformance::{Engine, Options, Stores};
use store_core::{
    AgentName, Clock, Durability, ManualClock, NewRun, PageRequest, Result, RunEvent, RunFilter, RunId, RunInfo,
    RunState, RunWrite, Runs, Timestamp, Ttl,
};
use testkit::FaultProxy;

use super::{World, is_a_script};

const ACCEPTED: Durability = Durability::Accepted;

fn id() -> RunId {
    RunId::new("7").unwrap()
}

fn new() -> NewRun {
    NewRun::new(id(), AgentName::new("planner").unwrap()).with_ttl(Ttl::from_secs(60))
}

fn note() -> RunWrite {
    RunWrite::new(id()).with_event(RunEvent::new("note", ""))
}

impl World {
    fn runs(&self) -> &dyn Runs {
        self.stores.state.runs()
    }

    async fn run_created(&self) -> RunInfo {
        self.runs().create(&new(), ACCEPTED).await.unwrap().value.done().unwrap()
    }

    async fn run_written(&self, write: &RunWrite) -> RunInfo {
        self.runs().write(write, ACCEPTED).await.unwrap().value.done().unwrap()
    }

    async fn kinds(&self) -> Vec<String> {
        let events = self.runs().events(&id(), 0, 100).await.unwrap().map(|events| events.events);
        events.unwrap_or_default().into_iter().map(|event| event.kind).collect()
    }

    async fn listed(&self) -> (usize, u64) {
        let page = self.runs().list(&RunFilter::default(), PageRequest::default()).await.unwrap();
        (page.items.len(), page.total)
    }

    /// The same place with a clock that the case moves.
    pub(super) async fn on_manual_clock(self) -> (Self, ManualClock) {
        let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
        let options = Options { clock: Clock::Manual(clock.clone()), ..Options::default() };
        let stores: Stores = self.engine.open("late", &options).await.unwrap();
        (Self { stores, ..self }, clock)
    }

    /// Makes the call. The first copy of its script that follows the first `skipped` ones is held, and another one is answered.
    pub(super) async fn held_behind<T>(&self, skipped: usize, call: impl Future<Output = Result<T>>) -> T {
        if !self.holds {
            return call.await.unwrap();
        }
        let seen = AtomicUsize::new(0);
        let state = &self.proxies[1];
        state.hold_at_request(move |request| is_a_script(request) && seen.fetch_add(1, Ordering::Relaxed) == skipped);
        let answer = call.await.unwrap();
        state.disarm();
        let fired: usize = self.proxies.iter().map(FaultProxy::fired).sum();
        assert_eq!(fired, 1, "no request was held");
        answer
    }
}

pub(super) async fn create_then_delete(world: World) {
    let run = world.held_behind(1, world.runs().create(&new(), ACCEPTED)).await.value;
    assert!(run.done().is_some() && world.runs().delete(&id()).await.unwrap());
    world.arrives().await;
    assert_eq!((world.runs().get(&id()).await.unwrap(), world.listed().await), (None, (0, 0)));
}

pub(super) async fn index_then_delete(world: World) {
    let run = world.held_behind(0, world.runs().create(&new(), ACCEPTED)).await.value;
    assert!(run.done().is_some() && world.runs().delete(&id()).await.unwrap());
    world.arrives().await;
    assert_eq!(world.listed().await, (0, 0));
}

pub(super) async fn append_then_end(world: World) {
    let run = world.run_created().await;
    let append = note();
    assert!(world.held_behind(0, world.runs().write(&append, ACCEPTED)).await.value.done().is_some());
    world.run_written(&RunWrite::new(id()).to(RunState::Cancelled, run.version)).await;
    world.arrives().await;
    assert_eq!(world.kinds().await, ["run.created", "note", "run.cancelled"]);
}

pub(super) async fn begin_then_cancel(world: World) {
    let run = world.run_created().await;
    let begin = RunWrite::new(id()).to(RunState::InProgress, run.version);
    let begun = world.held_behind(0, world.runs().write(&begin, ACCEPTED)).await.value.done().unwrap();
    world.run_written(&RunWrite::new(id()).to(RunState::Cancelling, begun.version)).await;
    world.arrives().await;
    assert_eq!(world.kinds().await, ["run.created", "run.in-progress", "run.cancelling"]);
}

pub(super) async fn delete_then_create(world: World) {
    world.run_created().await;
    assert!(world.held_behind(1, world.runs().delete(&id())).await);
    world.run_created().await;
    world.arrives().await;
    assert_eq!((world.kinds().await, world.listed().await), (vec!["run.created".to_owned()], (1, 1)));
}

pub(super) async fn sweep_then_create(world: World) {
    let (world, clock) = world.on_manual_clock().await;
    world.run_created().await;
    clock.advance(Duration::from_secs(71));
    assert_eq!(world.held_behind(2, world.runs().sweep()).await.removed, 1);
    world.run_created().await;
    world.arrives().await;
    assert_eq!(world.listed().await, (1, 1));
}

pub(super) async fn clear_then_create(world: World) {
    world.run_created().await;
    assert_eq!(world.held_behind(2, world.runs().clear("", None)).await.removed, 1);
    world.run_created().await;
    world.arrives().await;
    assert_eq!((world.kinds().await, world.listed().await), (vec!["run.created".to_owned()], (1, 1)));
}
