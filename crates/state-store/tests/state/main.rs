//! The state store against real servers, broken in real ways.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod expired_runs;
mod failing_partitions;
mod golden_retries;
mod heartbeats;
mod idempotency;
mod interrupting;
mod layouts;
mod leases;
mod listings;
mod queue;
mod queue_layouts;
mod receipts;
mod refusals;
mod resume_tokens;
mod retries;
mod runs;
mod runs_interrupted;
mod schedule_layout;
mod schedules;
mod sessions;
mod steps;
mod topic_bounds;
mod topic_failovers;
mod topic_reads;
mod topics;
mod topics_interrupted;

use std::time::Duration;

use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{Clock, Error, ManualClock, Namespace, ServiceName, Timestamp};
use testkit::RedisServer;

/// A server that is configured for the role, and a store on it whose clock the test moves.
struct Fixture {
    server: RedisServer,
    store: StateStore,
    clock: ManualClock,
}

async fn fixture() -> Fixture {
    fixture_with(StateOptions::default()).await
}

async fn fixture_with(options: StateOptions) -> Fixture {
    let server = RedisServer::state().start().await.unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let options = options.with_clock(Clock::Manual(clock.clone()));
    let store = open(&server.url(None), options).await.unwrap();
    Fixture { server, store, clock }
}

fn namespace() -> Namespace {
    Namespace::new("test").unwrap()
}

fn service() -> ServiceName {
    ServiceName::new("orders").unwrap()
}

/// The command time-out is long: this machine may be slow.
async fn open(url: &str, options: StateOptions) -> Result<StateStore, Error> {
    open_within(url, options, Duration::from_secs(10)).await
}

/// For tests that lose replies: a repetition waits for the command time-out of the request before it.
async fn open_to_lose(url: &str, options: StateOptions) -> StateStore {
    open_within(url, options, Duration::from_secs(2)).await.unwrap()
}

async fn open_within(url: &str, options: StateOptions, command_timeout: Duration) -> Result<StateStore, Error> {
    let config = LinkConfig::new(ServerUrl::parse(url).unwrap(), "tests:state");
    let link = Link::connect(config.with_command_timeout(command_timeout)).await.unwrap();
    StateStore::open(link, namespace(), service(), options).await
}

#[tokio::test]
async fn a_namespace_of_a_newer_layout_is_refused_and_not_changed() {
    let fixture = fixture().await;
    fixture.server.command(&["SET", "test:layouts", "queue 9 lease 1"]).await.unwrap();
    let error = open(&fixture.server.url(None), StateOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
    assert!(error.to_string().contains("queue data has layout 9, and this process reads layout 4"), "{error}");
    let layouts = fixture.server.command(&["GET", "test:layouts"]).await.unwrap();
    assert_eq!(layouts.as_str(), Some("queue 9 lease 1"));
}
