//! Standing by for the lock of a pipeline.

use std::io;
use std::sync::{Arc, Mutex};

use rigatoni_core::state::StateStore;
use store_rigatoni::RigatoniStore;
use testkit::{DEADLINE, RedisServer, wait_until};
use tokio::time::timeout;
use twinstore::lease::Fence;
use twinstore::resume_token::StreamName;
use twinstore::time::Ttl;

use crate::fixture::{
    Fixture, LONG, SHORT, USERS, builder, config, lost, on_both_engines, open, position, refusal, with_locks,
};

on_both_engines! {
    a_running_standby_takes_over_from_a_killed_instance,
    a_standby_of_a_database_and_of_a_deployment_waits,
    the_pipeline_gets_the_lock_of_the_standby,
    a_pipeline_that_starts_too_late_does_not_get_the_lock,
    a_standby_that_is_superseded_waits,
    a_collection_that_was_never_watched_starts_as_configured,
    a_database_needs_no_position_in_its_configuration,
    several_collections_in_one_pipeline_are_refused,
    an_expired_position_is_an_error,
    a_pipeline_without_locks_does_not_wait,
    a_standby_that_started_no_pipeline_does_not_wait_for_itself,
}

/// Rigatoni never asks again for a lock that another instance holds.
async fn a_running_standby_takes_over_from_a_killed_instance(fixture: Fixture) {
    let (first, second) = (fixture.instance(), fixture.instance());
    assert!(first.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    first.save_resume_token("users", &position(1)).await.unwrap();
    let mut standby =
        tokio::spawn(async move { second.stand_by(&config(LONG)).await.unwrap().stream_config.resume_token });
    assert!(timeout(SHORT, &mut standby).await.is_err(), "the first instance holds the lock");
    first.save_resume_token("users", &position(2)).await.unwrap();
    assert!(first.refresh_lock(USERS, "pod-1", SHORT).await.unwrap());
    drop(first); // it neither refreshes nor releases
    assert_eq!(timeout(DEADLINE, standby).await.unwrap().unwrap(), Some(position(2)));
}

/// Rigatoni starts no pipeline of a database or a deployment that is locked: it returns an error.
async fn a_standby_of_a_database_and_of_a_deployment_waits(fixture: Fixture) {
    let database = with_locks(builder().watch_database(), LONG);
    let deployment = with_locks(builder().watch_deployment(), LONG);
    for (config, lock, saved, read) in [
        (database, "rigatoni:lock:shop:__database__", "__db:shop", "resume_token:database:shop"),
        (deployment, "rigatoni:lock:__deployment__", "__deployment__", "resume_token:deployment"),
    ] {
        let (first, second) = (fixture.instance(), fixture.instance());
        first.stand_by(&config).await.unwrap();
        assert!(first.try_acquire_lock(lock, "pod-1", LONG).await.unwrap());
        first.save_resume_token(saved, &position(1)).await.unwrap();
        assert!(!second.try_acquire_lock(lock, "pod-2", LONG).await.unwrap(), "its pipeline would return an error");
        let waiting = second.clone();
        let mut standby = tokio::spawn(async move { waiting.stand_by(&config).await });
        assert!(timeout(SHORT, &mut standby).await.is_err(), "the first instance holds {lock}");
        first.save_resume_token(saved, &position(2)).await.unwrap();
        assert!(first.refresh_lock(lock, "pod-1", SHORT).await.unwrap());
        drop(first); // it neither refreshes nor releases
        timeout(DEADLINE, standby).await.unwrap().unwrap().unwrap();
        assert!(second.try_acquire_lock(lock, "pod-2", LONG).await.unwrap());
        assert_eq!(second.get_resume_token(read).await.unwrap(), Some(position(2)));
        second.save_resume_token(saved, &position(3)).await.unwrap();
    }
}

async fn the_pipeline_gets_the_lock_of_the_standby(fixture: Fixture) {
    let (first, second) = (fixture.instance(), fixture.instance());
    first.stand_by(&config(LONG)).await.unwrap();
    assert!(!second.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
    assert!(!first.refresh_lock(USERS, "pod-1", LONG).await.unwrap(), "it has no owner yet");
    assert!(first.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    assert!(!first.try_acquire_lock(USERS, "pod-3", LONG).await.unwrap());
    first.save_resume_token("users", &position(1)).await.unwrap();
    assert!(first.refresh_lock(USERS, "pod-1", LONG).await.unwrap());
    assert!(first.release_lock(USERS, "pod-1").await.unwrap());
    assert!(second.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap());
}

/// Another instance may have saved since the standby read the position.
async fn a_pipeline_that_starts_too_late_does_not_get_the_lock(fixture: Fixture) {
    let (late, other) = (fixture.instance(), fixture.instance());
    late.stand_by(&config(SHORT)).await.unwrap();
    let is_acquired = async || other.try_acquire_lock(USERS, "pod-2", LONG).await.unwrap();
    wait_until("the lock expires", DEADLINE, is_acquired).await;
    other.save_resume_token("users", &position(1)).await.unwrap();
    assert!(other.release_lock(USERS, "pod-2").await.unwrap());
    assert!(!late.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    assert_eq!(lost(&late).await, USERS);
    let resumed = late.stand_by(&config(LONG)).await.unwrap();
    assert_eq!(resumed.stream_config.resume_token, Some(position(1)));
    assert!(late.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
}

/// Another instance acquires the lock and takes over between the two calls of this one.
async fn a_standby_that_is_superseded_waits(fixture: Fixture) {
    let stream = StreamName::new("rigatoni:shop:users").unwrap();
    let later = Fence::new(9_000_000_000_000_000);
    let _ = fixture.stores.state().resume_tokens().take_over(&stream, later).await.unwrap();
    let store = fixture.instance();
    assert!(!store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    assert!(!store.is_locked(USERS).await.unwrap(), "its lease was released");
    assert!(timeout(SHORT, store.stand_by(&config(LONG))).await.is_err(), "it waits");
}

async fn a_collection_that_was_never_watched_starts_as_configured(fixture: Fixture) {
    let mut config = config(LONG);
    config.stream_config.resume_token = Some(position(7));
    let store = fixture.instance();
    let resumed = store.stand_by(&config).await.unwrap();
    assert_eq!(resumed.stream_config.resume_token, Some(position(7)));
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    store.save_resume_token("users", &position(9)).await.unwrap();
    assert!(store.release_lock(USERS, "pod-1").await.unwrap());
    let resumed = store.stand_by(&config).await.unwrap();
    assert_eq!(resumed.stream_config.resume_token, Some(position(9)), "the stored position comes first");
}

async fn a_database_needs_no_position_in_its_configuration(fixture: Fixture) {
    fixture.without_locks().save_resume_token("__db:shop", &position(1)).await.unwrap();
    let store = fixture.instance();
    let resumed = store.stand_by(&builder().watch_database().build().unwrap()).await.unwrap();
    assert_eq!(resumed.stream_config.resume_token, None);
    assert!(store.try_acquire_lock("rigatoni:lock:shop:__database__", "pod-1", LONG).await.unwrap());
    assert_eq!(store.get_resume_token("resume_token:database:shop").await.unwrap(), Some(position(1)));
}

async fn several_collections_in_one_pipeline_are_refused(fixture: Fixture) {
    let store = fixture.instance();
    let collections = vec!["users".to_owned(), "orders".to_owned()];
    let mut config = builder().watch_collections(collections).build().unwrap();
    assert!(refusal(store.stand_by(&config).await).contains("2 collections"));
    config.database = "other".to_owned();
    assert!(refusal(store.stand_by(&config).await).contains("\"other\""));
}

async fn an_expired_position_is_an_error(fixture: Fixture) {
    let store = fixture.without_locks().with_token_ttl(Ttl::new(SHORT).unwrap());
    store.save_resume_token("users", &position(1)).await.unwrap();
    let is_gone = async || store.get_resume_token("users").await.unwrap().is_none();
    wait_until("the position expires", DEADLINE, is_gone).await;
    let (standby, operator) = (fixture.instance(), fixture.instance());
    assert!(refusal(standby.stand_by(&config(LONG)).await).contains("expired"));
    operator.delete_resume_token("users").await.unwrap();
    timeout(LONG / 3, operator.stand_by(&config(LONG))).await.expect("the lock was released").unwrap();
}

async fn a_pipeline_without_locks_does_not_wait(fixture: Fixture) {
    let (active, store) = (fixture.instance(), fixture.without_locks());
    assert!(active.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    active.save_resume_token("users", &position(1)).await.unwrap();
    let resumed = store.stand_by(&config(LONG)).await.unwrap();
    assert_eq!(resumed.stream_config.resume_token, Some(position(1)));
}

async fn a_standby_that_started_no_pipeline_does_not_wait_for_itself(fixture: Fixture) {
    let store = fixture.instance();
    for _ in 0..2 {
        timeout(LONG / 3, store.stand_by(&config(LONG))).await.expect("it holds the lock").unwrap();
    }
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
}

#[tokio::test]
async fn a_standby_survives_a_restart_of_the_server() {
    let server = RedisServer::state().start().await.unwrap();
    let store = RigatoniStore::new(open(&server.url(None)).await.state(), &config(LONG));
    server.kill().await;
    let mut standby = tokio::spawn(async move { store.stand_by(&config(LONG)).await });
    assert!(timeout(SHORT, &mut standby).await.is_err(), "it waits for the server");
    server.start_again().await.unwrap();
    timeout(DEADLINE, standby).await.expect("the server is back").unwrap().unwrap();
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Rigatoni reads the position of a collection and starts at its end.
#[tokio::test]
async fn a_pipeline_of_a_collection_that_does_not_stand_by_is_warned() {
    testkit::open_call_sites();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let warnings = || String::from_utf8_lossy(&log.0.lock().unwrap()).matches("call stand_by").count();
    let store = RigatoniStore::new(open("embedded:").await.state(), &config(LONG));
    assert!(store.try_acquire_lock(USERS, "pod-1", LONG).await.unwrap());
    store.get_resume_token("resume_token:shop:users").await.unwrap();
    assert_eq!(warnings(), 0, "it has no position yet");
    store.save_resume_token("users", &position(1)).await.unwrap();
    store.get_resume_token("resume_token:shop:users").await.unwrap();
    assert_eq!(warnings(), 1);
    assert!(store.release_lock(USERS, "pod-1").await.unwrap());
    store.stand_by(&config(LONG)).await.unwrap();
    store.get_resume_token("resume_token:shop:users").await.unwrap();
    assert_eq!(warnings(), 1);
}
