//! The golden file of retries: what it is written from, and what is read from it.

use std::time::Duration;

use state_store::StateStore;
use store_core::{
    Durability, Fence, Key, RequestId, Result, Retries, RetryBegun, RetryDecision, RetryPolicy, RetryRequest,
    RetryState, Timestamp, Ttl,
};

const MINUTE: Duration = Duration::from_secs(60);

fn retry_request(operation: &str) -> RetryRequest {
    let request = RetryRequest::new(Key::new(operation).unwrap(), RetryPolicy::never());
    request.with_lasting(MINUTE).with_ttl(Ttl::from_secs(3600)).with_request(RequestId::from_bytes([7; 16]))
}

/// Writes one of each form.
pub(crate) async fn write(store: &StateStore) {
    let accepted = Durability::Accepted;
    for (operation, decision) in
        [("exhausted", Some(RetryDecision::Fail)), ("running", None), ("waiting", Some(RetryDecision::Snooze(MINUTE)))]
    {
        let begun = Retries::begin(store, &retry_request(operation), accepted).await.unwrap().value;
        if let (Some(attempt), Some(decision)) = (begun.attempt(), decision) {
            let _ = Retries::fail(store, &attempt, "no such file", decision, accepted).await.unwrap();
        }
    }
    let begun = Retries::begin(store, &retry_request("succeeded"), accepted).await.unwrap().value;
    assert!(store.succeed(&begun.attempt().unwrap(), accepted).await.unwrap().value);
}

/// Reads what [`write()`] has written.
pub(crate) async fn read(store: &StateStore) {
    for (operation, state, attempts) in [
        ("exhausted", RetryState::Exhausted, 1),
        ("running", RetryState::Running, 1),
        ("waiting", RetryState::Waiting, 0),
        ("succeeded", RetryState::Succeeded, 1),
    ] {
        let info = Retries::get(store, &Key::new(operation).unwrap()).await.unwrap().unwrap();
        assert_eq!((info.state, info.attempts), (state, attempts));
        assert_eq!(info.began, Timestamp::from_millis(1_700_000_000_000));
        let has_failed = matches!(state, RetryState::Exhausted | RetryState::Waiting);
        assert_eq!(info.last_error.as_deref(), has_failed.then_some("no such file"));
    }
    let again = Retries::begin(store, &retry_request("running"), Durability::Accepted).await.unwrap().value;
    assert!(matches!(again, RetryBegun::Started(attempt) if attempt.fence == Fence::new(1_700_000_000_000_000)));
}

/// The answers of all calls.
pub(crate) async fn refusals(store: &StateStore) -> [Result<()>; 6] {
    let (running, accepted) = (retry_request("running"), Durability::Accepted);
    let attempt = running.attempt(1, Fence::new(1));
    [
        Retries::begin(store, &running, accepted).await.map(drop),
        Retries::fail(store, &attempt, "", RetryDecision::Fail, accepted).await.map(drop),
        store.succeed(&attempt, accepted).await.map(drop),
        Retries::get(store, &running.operation).await.map(drop),
        Retries::clear(store, &running.operation).await.map(drop),
        Retries::list(store, None).await.map(drop),
    ]
}
