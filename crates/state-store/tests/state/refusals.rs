//! A durable call that writes nothing returns its answer, also if the server reaches no durability: `NotDurable` would say that a
//! write was executed.

use std::time::Duration;

use bytes::Bytes;
use state_store::StateOptions;
use store_core::{
    AcquireRequest, Acquired, Begun, Durabilities, Durability, Error, Fence, Fingerprint, Finished, HolderName,
    Idempotency, IdempotentRequest, Key, LeaseName, Leases, StepAttempt, StepBegun, StepName, Steps, Ttl, WorkflowRun,
};

use crate::{Fixture, fixture_with};

const MINUTE: Ttl = Ttl::from_secs(60);
/// The server has no replica.
const REFUSED: Durability = Durability::Replicated { replicas: 1, within: Duration::from_millis(10) };

fn is_not_durable<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::NotDurable { .. }))
}

#[tokio::test]
async fn of_a_lease_that_is_taken() {
    let Fixture { server: _server, store, .. } = fixture_with(StateOptions::default()).await;
    let request = |holder: &str| {
        AcquireRequest::new(LeaseName::new("leader").unwrap(), HolderName::new(holder).unwrap(), MINUTE.as_duration())
    };
    assert!(is_not_durable(&store.acquire(&request("one"), REFUSED).await));
    let taken = store.acquire(&request("two"), REFUSED).await.unwrap().value;
    assert!(matches!(&taken, Acquired::Taken(held) if held.holder.as_str() == "one"), "{taken:?}");
}

#[tokio::test]
async fn of_an_idempotent_request() {
    let options = StateOptions::default().with_durabilities(Durabilities::default().with_idempotency(REFUSED));
    let Fixture { server: _server, store, .. } = fixture_with(options).await;
    let store: &dyn Idempotency = &store;
    let request = |body: &str| IdempotentRequest::new(Key::new("order 42").unwrap(), Fingerprint::of(body.as_bytes()));
    let (mine, other, response) = (request("body"), request("body"), Bytes::from_static(b"done"));
    assert!(is_not_durable(&store.begin(&mine, MINUTE).await));
    assert!(matches!(store.begin(&other, MINUTE).await.unwrap(), Begun::InProgress { .. }));
    assert_eq!(store.begin(&request("another body"), MINUTE).await.unwrap(), Begun::Mismatch);
    assert!(!store.prolong(&other, MINUTE).await.unwrap());
    assert_eq!(store.finish(&other, &response, MINUTE).await.unwrap(), Finished::Lost);
    assert!(is_not_durable(&store.prolong(&mine, MINUTE).await));
    assert!(is_not_durable(&store.finish(&mine, &response, MINUTE).await));
    assert_eq!(store.begin(&other, MINUTE).await.unwrap(), Begun::Finished(response));
}

#[tokio::test]
async fn of_a_step() {
    let Fixture { server: _server, store, .. } = fixture_with(StateOptions::default()).await;
    let store: &dyn Steps = &store;
    let run = WorkflowRun::named("import").unwrap();
    let attempt = |step: &str, number| {
        StepAttempt::new(run.clone(), StepName::new(step).unwrap(), Fence::new(number)).with_ttl(MINUTE)
    };
    let (old, new, output) = (attempt("read", 1), attempt("read", 2), Bytes::from_static(b"12"));
    assert!(is_not_durable(&store.begin(&old, REFUSED).await));
    assert!(is_not_durable(&store.begin(&new, REFUSED).await));
    let superseded = store.begin(&old, REFUSED).await.unwrap().value;
    assert_eq!(superseded, StepBegun::Superseded { by: Fence::new(2) });
    assert!(!store.finish(&old, &output, REFUSED).await.unwrap().value);
    assert!(!store.fail(&old, "offline", REFUSED).await.unwrap().value);
    assert!(is_not_durable(&store.finish(&new, &output, REFUSED).await));
    assert_eq!(store.begin(&new, REFUSED).await.unwrap().value, StepBegun::Finished(output));
}
