//! The writes of retries.

use std::time::Duration;

use store_core::{
    Backoff, Durability, Retries, RetryAttempt, RetryDecision, RetryFailed, RetryInfo, RetryPolicy, RetryRequest,
    RetryState,
};

use testkit::{DEADLINE, wait_until};

use super::World;

const ACCEPTED: Durability = Durability::Accepted;
/// Try again immediately.
const NOW: RetryDecision = RetryDecision::Snooze(Duration::ZERO);

impl World {
    fn retries(&self) -> &dyn Retries {
        self.stores.state.retries()
    }

    fn request(&self) -> RetryRequest {
        RetryRequest::new(self.key("operation"), RetryPolicy::new(9, Backoff::Fixed(Duration::ZERO)))
    }

    /// Begins an attempt, which may be due in the next millisecond.
    async fn running(&self) -> RetryAttempt {
        let mut attempt = None;
        wait_until("it is due", DEADLINE, async || {
            attempt = self.retries().begin(&self.request(), ACCEPTED).await.unwrap().value.attempt();
            attempt.is_some()
        })
        .await;
        attempt.unwrap()
    }

    async fn operation(&self) -> Option<RetryInfo> {
        self.retries().get(&self.key("operation")).await.unwrap()
    }
}

pub(super) async fn begin_then_fail(world: World) {
    let first = world.held(world.retries().begin(&world.request(), ACCEPTED)).await.value.attempt().unwrap();
    let failed = world.retries().fail(&first, "offline", RetryDecision::Retry, ACCEPTED).await.unwrap().value;
    assert!(matches!(failed, RetryFailed::Again { .. }));
    let before = world.operation().await;
    world.arrives().await;
    assert_eq!(world.operation().await, before);
}

pub(super) async fn begin_then_clear(world: World) {
    assert!(world.held(world.retries().begin(&world.request(), ACCEPTED)).await.value.attempt().is_some());
    assert!(world.retries().clear(&world.key("operation")).await.unwrap());
    world.arrives().await;
    assert_eq!(world.operation().await, None);
}

pub(super) async fn fail_then_begin(world: World) {
    let first = world.running().await;
    let _ = world.held(world.retries().fail(&first, "offline", NOW, ACCEPTED)).await;
    let second = world.running().await;
    world.arrives().await;
    assert_eq!(world.operation().await.map(|info| (info.state, info.fence)), Some((RetryState::Running, second.fence)));
}

pub(super) async fn succeed_then_begin(world: World) {
    let first = world.running().await;
    assert!(world.held(world.retries().succeed(&first, ACCEPTED)).await.value);
    let second = world.running().await;
    world.arrives().await;
    assert_eq!(world.operation().await.map(|info| (info.state, info.fence)), Some((RetryState::Running, second.fence)));
}

pub(super) async fn clear_then_begin(world: World) {
    world.running().await;
    assert!(world.held(world.retries().clear(&world.key("operation"))).await);
    let second = world.running().await;
    world.arrives().await;
    assert_eq!(world.operation().await.map(|info| info.fence), Some(second.fence));
}
