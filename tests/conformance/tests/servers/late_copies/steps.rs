//! The writes of steps.

use std::time::Duration;

use bytes::Bytes;
use store_core::{Durability, Fence, StepAttempt, StepBegun, StepInfo, StepName, StepState, Steps, Ttl, WorkflowRun};
use testkit::{DEADLINE, wait_until};

use super::World;

impl World {
    fn steps(&self) -> &dyn Steps {
        self.stores.state.steps()
    }

    fn attempt(&self, number: u64) -> StepAttempt {
        let run = WorkflowRun::named(self.text("run")).unwrap();
        StepAttempt::new(run, StepName::new("charge").unwrap(), Fence::new(number))
    }

    /// An attempt whose run expires at once.
    fn brief(&self, number: u64) -> StepAttempt {
        self.attempt(number).with_ttl(Ttl::new(Duration::from_millis(1)).unwrap())
    }

    async fn begun(&self, attempt: &StepAttempt) {
        let begun = self.steps().begin(attempt, Durability::Accepted).await.unwrap().value;
        assert_eq!(begun, StepBegun::Started);
    }

    async fn step(&self) -> Option<StepInfo> {
        let attempt = self.attempt(1);
        self.steps().get(&attempt.run, &attempt.step).await.unwrap()
    }

    async fn expires(&self) {
        wait_until("the run expires", DEADLINE, async || self.step().await.is_none()).await;
    }
}

pub(super) async fn begin_then_fail(world: World) {
    let charge = world.attempt(1);
    let begun = world.held(world.steps().begin(&charge, Durability::Accepted)).await.value;
    assert_eq!(begun, StepBegun::Started);
    assert!(world.steps().fail(&charge, "closed", Durability::Accepted).await.unwrap().value);
    world.arrives().await;
    assert_eq!(world.step().await.map(|info| (info.state, info.attempts)), Some((StepState::Failed, 1)));
}

pub(super) async fn begin_then_expiry(world: World) {
    let begun = world.held(world.steps().begin(&world.brief(5), Durability::Accepted)).await.value;
    assert_eq!(begun, StepBegun::Started);
    world.expires().await;
    world.begun(&world.attempt(1)).await;
    world.arrives().await;
    assert_eq!(world.step().await.map(|info| info.attempt), Some(Fence::new(1)));
}

pub(super) async fn finish_then_expiry(world: World) {
    // Long enough for the second copy of the request.
    world.begun(&world.attempt(1).with_ttl(Ttl::from_secs(5))).await;
    let (brief, output) = (world.brief(1), Bytes::from_static(b"old"));
    assert!(world.held(world.steps().finish(&brief, &output, Durability::Accepted)).await.value);
    world.expires().await;
    world.begun(&world.attempt(1)).await;
    world.arrives().await;
    assert_eq!(world.step().await.map(|info| (info.state, info.output)), Some((StepState::Running, None)));
}

pub(super) async fn fail_then_begin(world: World) {
    let charge = world.attempt(1);
    world.begun(&charge).await;
    assert!(world.held(world.steps().fail(&charge, "closed", Durability::Accepted)).await.value);
    world.begun(&charge).await;
    world.arrives().await;
    assert_eq!(world.step().await.map(|info| (info.state, info.attempts)), Some((StepState::Running, 2)));
}

pub(super) async fn sleep_then_expiry(world: World) {
    let brief = world.brief(5);
    let slept = world.held(world.steps().sleep(&brief, Duration::from_millis(1), Durability::Accepted)).await.value;
    assert!(!slept.is_started());
    world.expires().await;
    world.begun(&world.attempt(1)).await;
    world.arrives().await;
    assert_eq!(world.step().await.map(|info| info.state), Some(StepState::Running));
}
