//! Idempotent requests in the state store: the scripts are the cache store's, the keys are the namespace's.

use std::time::Duration;

use bytes::Bytes;
use store_core::{Begun, Error, Fingerprint, Finished, Idempotency, IdempotentRequest, Key, Ttl};
use testkit::{FaultProxy, mentions};

use crate::{Fixture, fixture, open_to_lose};
use state_store::StateOptions;

const MINUTE: Ttl = Ttl::from_secs(60);
const KEY: &str = "test:orders:{i.order 42}:idempotency";

fn request() -> IdempotentRequest {
    IdempotentRequest::new(Key::new("order 42").unwrap(), Fingerprint::of(b"body"))
}

#[tokio::test]
async fn an_entry_has_a_ttl_and_the_namespace() {
    let Fixture { server, store, .. } = fixture().await;
    let first = request();
    let ttl = async || server.command(&["PTTL", KEY]).await.unwrap().as_integer().unwrap();
    store.begin(&first, MINUTE).await.unwrap();
    assert!(ttl().await > 0);
    store.finish(&first, &Bytes::from_static(b"done"), Ttl::from_secs(86_400)).await.unwrap();
    assert!(ttl().await > 86_000_000);
}

#[tokio::test]
async fn a_full_server_begins_nothing_and_finishes_what_was_begun() {
    let Fixture { server, store, .. } = fixture().await;
    let (first, second) = (request(), IdempotentRequest::new(Key::new("b").unwrap(), Fingerprint::of(b"body")));
    store.begin(&first, MINUTE).await.unwrap();
    store.begin(&second, MINUTE).await.unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await.unwrap();
    let third = IdempotentRequest::new(Key::new("c").unwrap(), Fingerprint::of(b"body"));
    let error = store.begin(&third, MINUTE).await.unwrap_err();
    assert!(matches!(error, Error::Limit { .. }) && error.is_retryable(), "{error:?}");
    assert_eq!(store.finish(&first, &Bytes::from_static(b"done"), MINUTE).await.unwrap(), Finished::Stored);
    assert!(store.abandon(&second).await.unwrap());
}

#[tokio::test]
async fn a_late_finish_loses_to_the_new_owner_of_the_key() {
    let Fixture { server: _server, store, clock } = fixture().await;
    let (slow, other) = (request(), request());
    store.begin(&slow, MINUTE).await.unwrap();
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.begin(&other, MINUTE).await.unwrap(), Begun::Started);
    let response = Bytes::from_static(b"slow");
    assert_eq!(store.finish(&slow, &response, MINUTE).await.unwrap(), Finished::Lost);
    assert!(!store.abandon(&slow).await.unwrap());
    clock.advance(Duration::from_secs(60));
    assert_eq!(store.finish(&slow, &response, MINUTE).await.unwrap(), Finished::Stored, "nobody holds it any more");
    assert_eq!(store.begin(&other, MINUTE).await.unwrap(), Begun::Finished(response));
    let changed = IdempotentRequest::new(other.key.clone(), Fingerprint::of(b"another body"));
    assert_eq!(store.begin(&changed, MINUTE).await.unwrap(), Begun::Mismatch);
}

#[tokio::test]
async fn a_lost_reply_changes_nothing() {
    let Fixture { server, .. } = fixture().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open_to_lose(&server.url_through(&proxy, None), StateOptions::default()).await;
    let warm = IdempotentRequest::new(Key::new("warm").unwrap(), Fingerprint::of(b"body"));
    store.begin(&warm, MINUTE).await.unwrap();
    store.abandon(&warm).await.unwrap();
    store.finish(&warm, &Bytes::new(), MINUTE).await.unwrap();

    let (first, second) = (request(), request());
    proxy.cut_after_request(mentions(KEY));
    assert_eq!(store.begin(&first, MINUTE).await.unwrap(), Begun::Started);
    proxy.cut_after_request(mentions(KEY));
    store.abandon(&first).await.unwrap();
    assert_eq!(proxy.fired(), 2);
    assert_eq!(store.begin(&second, MINUTE).await.unwrap(), Begun::Started);
    proxy.cut_after_request(mentions(KEY));
    let response = Bytes::from_static(b"message");
    assert_eq!(store.finish(&second, &response, MINUTE).await.unwrap(), Finished::Stored);
    assert_eq!(proxy.fired(), 3);
    assert_eq!(store.begin(&first, MINUTE).await.unwrap(), Begun::Finished(response));
}

#[tokio::test]
async fn the_size_of_a_response_is_bounded() {
    let Fixture { server: _server, store, .. } = fixture().await;
    let first = request();
    store.begin(&first, MINUTE).await.unwrap();
    let response = Bytes::from(vec![7; IdempotentRequest::MAX_RESPONSE_BYTES]);
    let larger = Bytes::from(vec![7; IdempotentRequest::MAX_RESPONSE_BYTES + 1]);
    assert!(matches!(store.finish(&first, &larger, MINUTE).await, Err(Error::InvalidArgument { .. })));
    assert_eq!(store.finish(&first, &response, MINUTE).await.unwrap(), Finished::Stored);
    assert_eq!(store.begin(&request(), MINUTE).await.unwrap(), Begun::Finished(response));
}
