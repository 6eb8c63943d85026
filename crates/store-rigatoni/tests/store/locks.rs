//! What Rigatoni's own tests require of locks, and the defects of its Redis store.

use std::time::Duration;

use rigatoni_core::state::{StateStore, StateStoreError};
use testkit::{DEADLINE, FaultProxy, RedisServer, mentions, wait_until};

use crate::fixture::{Fixture, LONG, SHORT, USERS, on_both_engines, open, open_with_pool, position};

on_both_engines! {
    a_lock_is_acquired_and_released,
    one_owner_holds_a_lock_at_a_time,
    only_the_owner_refreshes_a_lock,
    only_the_owner_releases_a_lock,
    a_lock_expires,
    a_refresh_prolongs_a_lock,
    an_expired_lock_is_not_refreshed,
    a_lock_may_last_less_than_a_second,
    the_owner_of_a_lock_acquires_it_again,
    locks_of_instances_exclude_each_other,
    a_lock_of_another_database_is_refused,
}

async fn a_lock_is_acquired_and_released(fixture: Fixture) {
    let (store, key) = (fixture.instance(), "test:lock:acquire_release");
    assert!(store.try_acquire_lock(key, "test-owner-1", LONG).await.unwrap());
    assert!(store.is_locked(key).await.unwrap());
    assert!(store.release_lock(key, "test-owner-1").await.unwrap());
    assert!(!store.is_locked(key).await.unwrap());
    assert!(!store.release_lock(key, "test-owner-1").await.unwrap());
}

async fn one_owner_holds_a_lock_at_a_time(fixture: Fixture) {
    let (store, key) = (fixture.instance(), "test:lock:mutual_exclusion");
    assert!(store.try_acquire_lock(key, "owner-1", LONG).await.unwrap());
    assert!(!store.try_acquire_lock(key, "owner-2", LONG).await.unwrap());
    assert!(store.release_lock(key, "owner-1").await.unwrap());
    assert!(store.try_acquire_lock(key, "owner-2", LONG).await.unwrap());
    assert!(store.release_lock(key, "owner-2").await.unwrap());
}

async fn only_the_owner_refreshes_a_lock(fixture: Fixture) {
    let (store, key) = (fixture.instance(), "test:lock:refresh");
    assert!(store.try_acquire_lock(key, "test-owner-refresh", LONG).await.unwrap());
    assert!(store.refresh_lock(key, "test-owner-refresh", LONG).await.unwrap());
    assert!(!store.refresh_lock(key, "different-owner", LONG).await.unwrap());
    assert!(!fixture.instance().refresh_lock(key, "different-owner", LONG).await.unwrap());
}

async fn only_the_owner_releases_a_lock(fixture: Fixture) {
    let (store, key) = (fixture.instance(), "test:lock:wrong_owner");
    assert!(store.try_acquire_lock(key, "owner-correct", LONG).await.unwrap());
    for other in [&store, &fixture.instance()] {
        assert!(!other.release_lock(key, "owner-wrong").await.unwrap());
    }
    assert!(store.is_locked(key).await.unwrap());
    assert!(store.release_lock(key, "owner-correct").await.unwrap());
}

async fn a_lock_expires(fixture: Fixture) {
    let (store, key) = (fixture.instance(), "test:lock:expiry");
    assert!(store.try_acquire_lock(key, "owner-1", LONG).await.unwrap());
    assert!(!store.try_acquire_lock(key, "owner-2", LONG).await.unwrap());
    assert!(store.refresh_lock(key, "owner-1", SHORT).await.unwrap());
    let is_acquired = async || store.try_acquire_lock(key, "owner-2", LONG).await.unwrap();
    wait_until("the lock expires", DEADLINE, is_acquired).await;
    assert!(!store.refresh_lock(key, "owner-1", LONG).await.unwrap());
    assert!(!store.release_lock(key, "owner-1").await.unwrap());
    assert!(store.is_locked(key).await.unwrap(), "the second owner still holds it");
}

async fn a_refresh_prolongs_a_lock(fixture: Fixture) {
    let (first, second) = (fixture.instance(), fixture.instance());
    assert!(first.try_acquire_lock(USERS, "pod-1", SHORT).await.unwrap());
    assert!(first.refresh_lock(USERS, "pod-1", LONG).await.unwrap());
    let lost = tokio::time::timeout(SHORT * 2, first.lost()).await;
    assert!(lost.is_err(), "the lock outlives its first time to live");
    assert!(!second.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
    first.save_resume_token("users", &position(1)).await.unwrap();
}

async fn an_expired_lock_is_not_refreshed(fixture: Fixture) {
    let store = fixture.instance();
    assert!(store.try_acquire_lock(USERS, "pod-1", SHORT).await.unwrap());
    let is_free = async || !store.is_locked(USERS).await.unwrap();
    wait_until("the lock expires", DEADLINE, is_free).await;
    assert!(!store.refresh_lock(USERS, "pod-1", LONG).await.unwrap());
    assert!(!store.is_locked(USERS).await.unwrap());
}

/// Rigatoni's Redis store counts seconds, so such a lock is an error there.
async fn a_lock_may_last_less_than_a_second(fixture: Fixture) {
    let store = fixture.instance();
    assert!(store.try_acquire_lock(USERS, "pod-1", Duration::from_millis(10)).await.unwrap());
    assert!(matches!(
        store.try_acquire_lock("other", "pod-1", Duration::ZERO).await,
        Err(StateStoreError::Other(text)) if text.contains("invalid argument")
    ));
}

async fn the_owner_of_a_lock_acquires_it_again(fixture: Fixture) {
    let (first, second) = (fixture.instance(), fixture.instance());
    assert!(first.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    assert!(first.try_acquire_lock(USERS, "pod-1", SHORT).await.unwrap());
    let is_acquired = async || second.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap();
    wait_until("the lock expires", DEADLINE, is_acquired).await;
    assert!(!first.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
}

/// The locks of Rigatoni's memory store exclude nobody, so tests pass and production fails.
async fn locks_of_instances_exclude_each_other(fixture: Fixture) {
    let (first, second) = (fixture.instance(), fixture.instance());
    assert!(first.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    assert!(second.is_locked(USERS).await.unwrap());
    assert!(!second.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
    assert!(second.try_acquire_lock("rigatoni:lock:shop:orders", "pod-2", LONG).await.unwrap());
    assert!(first.release_lock(USERS, "pod-1").await.unwrap());
    assert!(second.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
}

async fn a_lock_of_another_database_is_refused(fixture: Fixture) {
    let error = fixture.instance().try_acquire_lock("rigatoni:lock:other:users", "pod-1", LONG).await.unwrap_err();
    assert!(error.to_string().contains("shop"), "{error}");
}

/// Rigatoni's Redis store reports its own lock as that of another instance, until it expires.
#[tokio::test]
async fn a_lock_whose_reply_was_lost_is_acquired_by_the_same_owner() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let stores = open(&server.url_through(&proxy, None)).await;
    let config = crate::fixture::config(LONG);
    let store = store_rigatoni::RigatoniStore::new(stores.state(), &config);
    assert!(store.try_acquire_lock("other", "pod-1", LONG).await.unwrap(), "the server has the script");
    proxy.cut_after_request(mentions("rigatoni:lock:shop:users"));
    match store.try_acquire_lock(USERS, "pod-1", LONG).await {
        Err(StateStoreError::Connection(_)) => {}
        other => panic!("the reply was lost: {other:?}"),
    }
    assert!(store.is_locked(USERS).await.unwrap(), "the lost call acquired the lock");
    assert!(!store.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    store.save_resume_token("users", &position(1)).await.unwrap();
}

/// Rigatoni's Redis store ignores its pool size. Here a lock that is held occupies no connection.
#[tokio::test]
async fn many_locks_are_held_over_two_connections() {
    let server = RedisServer::state().start().await.unwrap();
    let stores = open_with_pool(&server.url(None), "2").await;
    let connections = async || {
        let clients = server.command(&["CLIENT", "LIST"]).await.unwrap();
        clients.as_str().unwrap().lines().filter(|line| line.contains("name=replicator")).count()
    };
    let store = store_rigatoni::RigatoniStore::new(stores.state(), &crate::fixture::config(LONG));
    let keys: Vec<_> = (0..50).map(|number| format!("rigatoni:lock:shop:collection-{number}")).collect();
    for key in &keys {
        assert!(store.try_acquire_lock(key, "pod-1", LONG).await.unwrap());
    }
    let opened = connections().await;
    let mut pipelines = tokio::task::JoinSet::new();
    for (number, key) in keys.into_iter().enumerate() {
        let store = store.clone();
        pipelines.spawn(async move {
            assert!(store.refresh_lock(&key, "pod-1", LONG).await.unwrap());
            store.save_resume_token(&format!("collection-{number}"), &position(1)).await.unwrap();
            assert!(store.release_lock(&key, "pod-1").await.unwrap());
        });
    }
    pipelines.join_all().await;
    assert_eq!(connections().await, opened);
    assert!((2..=4).contains(&opened), "{opened} connections");
}

/// For example by `select!` or a time-out.
#[tokio::test]
async fn a_lock_whose_acquisition_was_dropped_is_acquired_by_the_same_owner() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let stores = open(&server.url_through(&proxy, None)).await;
    let store = store_rigatoni::RigatoniStore::new(stores.state(), &crate::fixture::config(LONG));
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap(), "the server has the scripts");
    assert!(store.release_lock(USERS, "pod-1").await.unwrap());
    proxy.hold_at_request(mentions("}:token"));
    tokio::select! {
        acquired = store.try_acquire_lock(USERS, "pod-1", LONG) => panic!("its position is held back: {acquired:?}"),
        () = proxy.wait_fired(1) => {}
    }
    proxy.pass().await;
    assert!(store.is_locked(USERS).await.unwrap(), "the dropped call acquired the lease");
    assert!(!store.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    store.save_resume_token("users", &position(1)).await.unwrap();
}

#[tokio::test]
async fn no_output_of_the_store_contains_the_password() {
    let server = RedisServer::state().password("s3cret").start().await.unwrap();
    let stores = open(&server.url(None)).await;
    let store = store_rigatoni::RigatoniStore::new(stores.state(), &crate::fixture::config(LONG));
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    server.kill().await;
    let error = store.save_resume_token("users", &position(1)).await.unwrap_err();
    for text in [format!("{store:?}"), format!("{error:?}"), error.to_string()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}
