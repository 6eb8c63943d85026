//! Watches of runs, which are notified of events.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod service;

use std::time::{Duration, Instant};

use testkit::RedisServer;
use tokio::sync::mpsc;
use twinstore::prelude::*;
use twinstore::run::{NewRun, RunEvent, RunId, RunState, RunWrite};

/// How many events are appended, one after the other.
const EVENTS: u64 = 30;

/// Two processes on the same servers.
struct Fixture {
    _cache: RedisServer,
    state: RedisServer,
    writer: Stores,
    watcher: Stores,
    run: RunId,
}

impl Fixture {
    async fn new() -> Self {
        let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
        let (cache, state) = (cache.unwrap(), state.unwrap());
        state.command(&["CONFIG", "SET", "appendfsync", "always"]).await.unwrap();
        let environment = service::environment(&cache, &state, &[]);
        let writer = Stores::open(&environment).await.unwrap();
        let watcher = Stores::open(&environment).await.unwrap();
        let run = RunId::new("run-7").unwrap();
        let new = NewRun::new(run.clone(), "planner".try_into().unwrap());
        writer.state().runs().create(&new, Durability::Accepted).await.unwrap().value.done().unwrap();
        Self { _cache: cache, state, writer, watcher, run }
    }

    /// Appends an event, and returns its sequence.
    async fn append(&self) -> u64 {
        let write = RunWrite::new(self.run.clone()).with_event(RunEvent::new("note", "one"));
        let written = self.writer.state().runs().write(&write, Durability::Accepted).await.unwrap();
        written.value.done().unwrap().next_event - 1
    }

    /// The sequences of the events that a watch returns. It continues after each error.
    fn watch(&self) -> mpsc::UnboundedReceiver<u64> {
        let (sender, received) = mpsc::unbounded_channel();
        let mut watch = self.watcher.state().watch_run(self.run.clone(), 0);
        tokio::spawn(async move {
            loop {
                let events = match watch.next().await {
                    Ok(events) => events.expect("the run has not ended").events,
                    Err(error) if error.is_retryable() => Vec::new(),
                    Err(error) => panic!("{error}"),
                };
                for event in events {
                    sender.send(event.sequence).unwrap();
                }
            }
        });
        received
    }
}

/// A watch that only reads every 5 s would need minutes.
#[tokio::test]
async fn each_event_reaches_a_watch_by_a_notification() {
    let fixture = Fixture::new().await;
    let mut received = fixture.watch();
    assert_eq!(received.recv().await, Some(0));
    let scripts = async || fixture.state.command_calls().await.unwrap()["evalsha"];
    let (before, began) = (scripts().await, Instant::now());
    for _ in 0..EVENTS {
        let appended = fixture.append().await;
        assert_eq!(received.recv().await, Some(appended));
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(EVENTS), "{took:?}");
    let sent = scripts().await - before;
    assert!(sent <= 4 * EVENTS, "{sent} scripts; an append and three reads for each event are enough");
}

/// The new connection of the subscriptions is a notification.
#[tokio::test]
async fn a_watch_continues_after_a_restart_of_the_server() {
    let fixture = Fixture::new().await;
    let mut received = fixture.watch();
    assert_eq!(received.recv().await, Some(0));
    for _ in 0..3 {
        let appended = fixture.append().await;
        assert_eq!(received.recv().await, Some(appended));
        fixture.state.kill().await;
        fixture.state.start_again().await.unwrap();
        let appended = [fixture.append().await, fixture.append().await];
        assert_eq!([received.recv().await.unwrap(), received.recv().await.unwrap()], appended);
    }
}

/// A failover has lost events that the watch has returned, or the run is another one: their numbers are used again.
#[tokio::test]
async fn a_watch_begins_again_if_the_log_has_become_shorter() {
    let (stores, _) = twinstore::testing::stores();
    let (runs, run) = (stores.state().runs(), RunId::new("run-7").unwrap());
    let new = NewRun::new(run.clone(), "planner".try_into().unwrap());
    runs.create(&new, Durability::Accepted).await.unwrap().value.done().unwrap();
    let append = RunWrite::new(run.clone()).with_event(RunEvent::new("note", "one"));
    for _ in 0..9 {
        runs.write(&append, Durability::Accepted).await.unwrap().value.done().unwrap();
    }
    let mut watch = stores.state().watch_run(run.clone(), 0);
    assert_eq!((watch.next().await.unwrap().unwrap().events.len(), watch.position()), (10, 10));

    assert!(runs.delete(&run).await.unwrap());
    let new = runs.create(&new, Durability::Accepted).await.unwrap().value.done().unwrap();
    let end = RunWrite::new(run).to(RunState::Cancelled, new.version);
    runs.write(&end, Durability::Accepted).await.unwrap().value.done().unwrap();
    let again = watch.next().await.unwrap().expect("it has not returned the events of the new run");
    assert_eq!((again.truncated_before, again.events.len(), watch.position()), (Some(0), 2, 2));
    assert_eq!(watch.next().await.unwrap(), None);
}
