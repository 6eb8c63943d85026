//! The writes of steps.

use std::time::Duration;

use bytes::Bytes;
use store_core::{Durability, Fence, StepAttempt, StepBegun, StepInfo, StepName, StepState, WorkflowRun};

use super::World;

const SECOND: Duration = Duration::from_secs(1);

impl World {
    fn attempt(&self, step: &str, number: u64) -> StepAttempt {
        let run = WorkflowRun::named(self.place).unwrap();
        StepAttempt::new(run, StepName::new(step).unwrap(), Fence::new(number))
    }

    async fn begun(&self, number: u64) {
        let charge = self.attempt("charge", number);
        let begun = self.stores.state.steps().begin(&charge, Durability::Accepted).await.unwrap().value;
        assert_eq!(begun, StepBegun::Started);
    }

    async fn step(&self, step: &str) -> StepInfo {
        let attempt = self.attempt(step, 1);
        self.stores.state.steps().get(&attempt.run, &attempt.step).await.unwrap().unwrap()
    }
}

pub(super) async fn begin(world: World) {
    let steps = world.stores.state.steps();
    for number in [1, 2] {
        let charge = world.attempt("charge", number);
        let begun = world.lost(steps.begin(&charge, Durability::Accepted)).await.unwrap().value;
        assert_eq!(begun, StepBegun::Started);
        let info = world.step("charge").await;
        assert_eq!((info.attempt.get(), u64::from(info.attempts)), (number, number));
    }
    let refused = world.lost(steps.begin(&world.attempt("charge", 1), Durability::Accepted)).await.unwrap().value;
    assert_eq!(refused, StepBegun::Superseded { by: Fence::new(2) });
}

pub(super) async fn finish(world: World) {
    world.begun(1).await;
    let (steps, output) = (world.stores.state.steps(), Bytes::from_static(b"paid"));
    assert!(world.lost(steps.finish(&world.attempt("charge", 1), &output, Durability::Accepted)).await.unwrap().value);
    let late = Bytes::from_static(b"late");
    assert!(!world.lost(steps.finish(&world.attempt("charge", 2), &late, Durability::Accepted)).await.unwrap().value);
    assert_eq!(world.step("charge").await.output, Some(output));
}

pub(super) async fn fail(world: World) {
    world.begun(1).await;
    let steps = world.stores.state.steps();
    assert!(world.lost(steps.fail(&world.attempt("charge", 1), "closed", Durability::Accepted)).await.unwrap().value);
    let info = world.step("charge").await;
    assert_eq!((info.state, info.attempts, info.last_error.as_deref()), (StepState::Failed, 1, Some("closed")));
}

pub(super) async fn sleep(world: World) {
    let (steps, until) = (world.stores.state.steps(), world.clock.now().after(SECOND));
    let wait = world.attempt("wait", 1);
    for remaining in [SECOND, SECOND / 2] {
        let slept = world.lost(steps.sleep(&wait, SECOND, Durability::Accepted)).await.unwrap().value;
        assert_eq!(slept, StepBegun::Sleeping { until, remaining });
        world.clock.advance(SECOND / 2);
    }
}
