//! The writes of retries.

use std::time::Duration;

use store_core::{
    Backoff, Durability, Key, RetryAttempt, RetryBegun, RetryDecision, RetryFailed, RetryInfo, RetryPolicy,
    RetryRequest, RetryState,
};

use super::World;

const SECOND: Duration = Duration::from_secs(1);
const ACCEPTED: Durability = Durability::Accepted;

impl World {
    fn operation_key(&self) -> Key {
        Key::new(self.place).unwrap()
    }

    fn retry_request(&self) -> RetryRequest {
        RetryRequest::new(self.operation_key(), RetryPolicy::new(2, Backoff::Fixed(SECOND)))
    }

    async fn retry_attempt(&self) -> RetryAttempt {
        let begun = self.stores.state.retries().begin(&self.retry_request(), ACCEPTED).await.unwrap().value;
        begun.attempt().expect("it is due")
    }

    async fn operation(&self) -> RetryInfo {
        self.stores.state.retries().get(&self.operation_key()).await.unwrap().expect("it has begun")
    }
}

pub(super) async fn begin(world: World) {
    let retries = world.stores.state.retries();
    let begun = world.lost(retries.begin(&world.retry_request(), ACCEPTED)).await.unwrap().value;
    let attempt = begun.attempt().expect("it is due");
    let info = world.operation().await;
    assert_eq!((attempt.number, info.attempts, info.fence), (1, 1, attempt.fence));
    let refused = world.lost(retries.begin(&world.retry_request(), ACCEPTED)).await.unwrap().value;
    assert!(matches!(refused, RetryBegun::Wait { .. }), "{refused:?}");
}

pub(super) async fn fail(world: World) {
    let (retries, at) = (world.stores.state.retries(), world.clock.now().after(SECOND));
    let first = world.retry_attempt().await;
    let failed = world.lost(retries.fail(&first, "offline", RetryDecision::Retry, ACCEPTED)).await.unwrap().value;
    assert_eq!(failed, RetryFailed::Again { at });
    world.clock.advance(SECOND);
    let second = world.retry_attempt().await;
    let failed = world.lost(retries.fail(&second, "offline", RetryDecision::Retry, ACCEPTED)).await.unwrap().value;
    assert_eq!(failed, RetryFailed::Exhausted);
    assert_eq!(world.operation().await.attempts, 2);
}

pub(super) async fn succeed(world: World) {
    let retries = world.stores.state.retries();
    let first = world.retry_attempt().await;
    assert!(world.lost(retries.succeed(&first, ACCEPTED)).await.unwrap().value);
    assert_eq!(world.operation().await.state, RetryState::Succeeded);
}

pub(super) async fn clear(world: World) {
    let retries = world.stores.state.retries();
    world.retry_attempt().await;
    assert!(world.lost(retries.clear(&world.operation_key())).await.unwrap());
    assert_eq!(retries.get(&world.operation_key()).await.unwrap(), None);
}
