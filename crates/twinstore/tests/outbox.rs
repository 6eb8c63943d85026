//! Workers deliver what commits of their queues send elsewhere.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a process reports to the test")]

mod service;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis_link::{Link, LinkConfig, ServerUrl};
use state_store::{StateOptions, StateStore};
use store_core::{
    ClaimRequest, ClaimedJob, Clock, Counts, Delivered, Durability, Homes, ManualClock, Namespace, OutboxEntry,
    Outcome, Queue, QueueInspect, RunsRemoved, ServiceName, Timestamp, Topics,
};
use testkit::{DEADLINE, FaultProxy, Program, RedisServer, mentions, wait_until};
use tokio::signal::unix::{SignalKind, signal};
use twinstore::home::{Commit, Committed, Delivery, Home};
use twinstore::name::HolderName;
use twinstore::page::PageRequest;
use twinstore::prelude::*;
use twinstore::queue::{JobState, Unique, UniqueKey, UniqueUntil};
use twinstore::topic::{GroupName, NewEvent, ReadOutcome, ReadRequest, TopicConfig, TopicName};

fn orders() -> QueueName {
    QueueName::new("orders").unwrap()
}

fn letters() -> QueueName {
    QueueName::new("letters").unwrap()
}

fn placed() -> TopicName {
    TopicName::new("placed").unwrap()
}

fn shop() -> UniqueKey {
    UniqueKey::new("shop").unwrap()
}

fn order() -> NewJob {
    NewJob::new("tea").with_unique(Unique::new(shop(), UniqueUntil::Finished))
}

/// Ends the job, and sends a job to another queue and an event to a topic.
async fn place(home: Arc<dyn Home>, job: Job) -> HandlerResult {
    let letter = Delivery::job(letters(), NewJob::new("a letter"));
    let commit: Commit = job.commit(()).with_delivery(letter);
    let commit = commit.with_delivery(Delivery::event(placed(), NewEvent::new("tea")));
    match home.commit(&commit, Durability::Accepted).await?.value {
        Committed::Done(_) => Ok(Done::committed()),
        Committed::Refused(parts) => Err(JobError::dead(format!("{parts:?}"))),
    }
}

fn worker(state: &State) -> twinstore::worker::WorkerBuilder {
    let home = state.home(&orders(), &shop());
    state.worker().with_queue(orders(), move |job: Job| place(Arc::clone(&home), job))
}

/// The payloads of the events of the topic.
async fn events(topics: &dyn Topics) -> Vec<String> {
    let request = ReadRequest::new(placed(), 0, GroupName::new("test").unwrap(), HolderName::new("test").unwrap());
    let ReadOutcome::Events(batch) = topics.read(&request).await.unwrap() else { panic!("another consumer reads") };
    batch.events.iter().map(|event| String::from_utf8(event.payload.to_vec()).unwrap()).collect()
}

/// Waits until nothing is left in the outbox, and checks that everything has arrived `times` times.
async fn arrived(inspect: &dyn QueueInspect, topics: &dyn Topics, times: usize) {
    let is_delivered = async || {
        let outbox = inspect.counts(&orders().outbox()).await.unwrap();
        let jobs = inspect.counts(&letters()).await.unwrap().ready;
        outbox.pending() + outbox.dead == 0 && jobs >= times as u64
    };
    wait_until("the outbox is delivered", DEADLINE, is_delivered).await;
    assert_eq!(inspect.counts(&letters()).await.unwrap().ready, times as u64);
    assert_eq!(events(topics).await, vec!["tea"; times]);
}

async fn a_commit_arrives_once(state: &State) {
    state.topics().declare(&placed(), &TopicConfig::default()).await.unwrap();
    state.queue().push_one(&orders(), order()).await.unwrap();
    let worker = worker(state).build().unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    arrived(state.inspect().as_ref(), state.topics().as_ref(), 1).await;
    handle.shutdown();
    let stats = running.await.unwrap().unwrap().stats;
    assert_eq!((stats.completed, stats.failed, stats.lost, stats.unknown), (1, 0, 0, 0));
}

#[tokio::test]
async fn a_commit_arrives_once_on_the_embedded_engine() {
    let (stores, _) = twinstore::testing::stores();
    a_commit_arrives_once(stores.state()).await;
}

#[tokio::test]
async fn a_commit_arrives_once_on_a_server() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let stores = Stores::open(&service::environment(&cache, &state, &[])).await.unwrap();
    a_commit_arrives_once(stores.state()).await;
    stores.close().await;
}

/// The worker is shut down as soon as the handler has returned.
#[tokio::test]
async fn a_shutdown_delivers_what_was_recorded() {
    let (stores, _) = twinstore::testing::stores();
    let state = stores.state();
    state.topics().declare(&placed(), &TopicConfig::default()).await.unwrap();
    state.queue().push_one(&orders(), order()).await.unwrap();
    let worker = worker(state).build().unwrap();
    let report = twinstore::testing::run_until_empty(worker, state).await.unwrap();
    assert_eq!(report.stats.completed, 1);
    arrived(state.inspect().as_ref(), state.topics().as_ref(), 1).await;
}

#[tokio::test]
async fn a_delivery_to_an_unavailable_target_arrives_once_when_it_is_back() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let (direct, _) = open(&server.url(None)).await;
    let (through, clock) = open(&server.url_through(&proxy, None)).await;
    direct.declare(&placed(), &TopicConfig::default()).await.unwrap();
    proxy.cut_before_request(mentions("{q.letters.0}"));
    direct.push_one(&orders(), order()).await.unwrap();
    let home = through.home(&orders(), &shop());
    let worker = Worker::new(through.clone()).with_outboxes(through.clone());
    let worker = worker.with_queue(orders(), move |job: Job| place(Arc::clone(&home), job)).build().unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());
    // Nothing is executed; then it is executed, and the reply is lost.
    proxy.wait_fired(1).await;
    proxy.cut_after_request(mentions("{q.letters.0}"));
    let is_executed = async || {
        // The next attempt becomes due.
        clock.advance(Duration::from_secs(1));
        direct.counts(&letters()).await.unwrap().ready == 1
    };
    wait_until("the delivery is executed", DEADLINE, is_executed).await;
    proxy.wait_fired(2).await;
    clock.advance(Duration::from_secs(60));
    arrived(direct.as_ref(), direct.as_ref(), 1).await;
    handle.shutdown();
    assert_eq!(running.await.unwrap().unwrap().stats.failed, 0);
}

#[tokio::test]
async fn what_is_refused_for_good_is_a_dead_entry_and_can_be_replayed() {
    let (stores, _) = twinstore::testing::stores();
    let (state, outbox) = (stores.state(), orders().outbox());
    state.queue().push_one(&orders(), order()).await.unwrap();
    let running = tokio::spawn(worker(state).build().unwrap().run());
    let is_dead = async || state.inspect().counts(&outbox).await.unwrap().dead == 1;
    wait_until("the entry is dead", DEADLINE, is_dead).await;
    let dead = state.inspect().list(&outbox, JobState::Dead, PageRequest::first(10)).await.unwrap().items;
    assert!(dead[0].last_error.as_deref().is_some_and(|reason| reason.contains("placed")), "{dead:?}");
    state.topics().declare(&placed(), &TopicConfig::default()).await.unwrap();
    let _ = state.control().replay(&outbox, &[dead[0].id.clone()]).await.unwrap();
    arrived(state.inspect().as_ref(), state.topics().as_ref(), 1).await;
    running.abort();
}

async fn open(url: &str) -> (Arc<StateStore>, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    (open_with(url, Clock::Manual(clock.clone())).await, clock)
}

async fn open_with(url: &str, clock: Clock) -> Arc<StateStore> {
    let config = LinkConfig::new(ServerUrl::parse(url).unwrap(), "tests:outbox").with_max_retries(0);
    let link = Link::connect(config.with_command_timeout(Duration::from_millis(500))).await.unwrap();
    let options = StateOptions::default().with_clock(clock);
    let (namespace, service) = (Namespace::new("test").unwrap(), ServiceName::new("orders").unwrap());
    Arc::new(StateStore::open(link, namespace, service, options).await.unwrap())
}

/// Homes whose deliveries do not end.
#[derive(Debug)]
struct Hanging(Arc<StateStore>);

#[async_trait]
impl Homes for Hanging {
    fn home(&self, queue: &QueueName, key: &UniqueKey) -> Arc<dyn Home> {
        self.0.home(queue, key)
    }

    async fn deliver(&self, _: &OutboxEntry, _: Durability) -> twinstore::Result<Delivered> {
        println!("claimed");
        std::future::pending().await
    }

    async fn recorded(&self, queue: &QueueName) {
        self.0.recorded(queue).await;
    }

    async fn sweep_homes(&self, queue: &QueueName) -> twinstore::Result<RunsRemoved> {
        self.0.sweep_homes(queue).await
    }
}

/// Not a test: what the process does that a test kills. It commits, claims the entries, and delivers none.
#[tokio::test]
async fn process() {
    let Ok(url) = std::env::var("TEST_OUTBOX_URL") else { return };
    let (store, _) = open(&url).await;
    let home = store.home(&orders(), &shop());
    let worker = Worker::new(store.clone()).with_outboxes(Arc::new(Hanging(store.clone())));
    let worker = worker.with_queue(orders(), move |job: Job| place(Arc::clone(&home), job));
    worker.build().unwrap().run().await.unwrap();
}

#[tokio::test]
async fn what_a_killed_process_has_recorded_is_delivered_by_another_worker() {
    let server = RedisServer::state().start().await.unwrap();
    let url = server.url(None);
    let (store, clock) = open(&url).await;
    store.declare(&placed(), &TopicConfig::default()).await.unwrap();
    store.push_one(&orders(), order()).await.unwrap();
    let program = Program::new(std::env::current_exe().unwrap()).args(["--exact", "process", "--nocapture"]);
    let mut process = program.env("TEST_OUTBOX_URL", &url).start().unwrap();
    process.wait_line(|line| line.contains("claimed")).await;
    let worker = Worker::new(store.clone()).with_outboxes(store.clone());
    let worker = worker.with_queue(orders(), async |_: Job| Ok(())).build().unwrap();
    let running = tokio::spawn(worker.run());
    process.kill().await;
    assert_eq!(store.counts(&orders().outbox()).await.unwrap().running, 2);
    // The leases of the entries.
    clock.advance(Duration::from_secs(30));
    arrived(store.as_ref(), store.as_ref(), 1).await;
    running.abort();
}

/// How far a process has come with the entries that it holds when it is killed or suspended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    /// It has sent nothing.
    Claimed,
    /// The push of the letter is on its way.
    Pushing,
    /// The letter has arrived, and the settlement of an entry is on its way.
    Settling,
}

/// Not a test: a process that a test suspends or kills. It claims the entries for 1 s, and delivers them after SIGINT.
#[tokio::test]
async fn deliverer() {
    let Ok(url) = std::env::var("TEST_DELIVERER_URL") else { return };
    let mut interrupts = signal(SignalKind::interrupt()).unwrap();
    let store = open_with(&url, Clock::Server).await;
    let entries = claim_entries(&store).await;
    assert_eq!(entries.len(), 2);
    println!("claimed");
    interrupts.recv().await;
    let [one, other] = [&entries[0], &entries[1]].map(|entry| store.deliver(entry, Durability::Accepted));
    let (one, other) = tokio::join!(one, other);
    println!("ended: {one:?}, {other:?}");
}

async fn claim(store: &StateStore, queue: QueueName) -> Vec<ClaimedJob> {
    let worker = HolderName::new("test").unwrap();
    store.claim(&ClaimRequest::new(queue, worker, 10, Duration::from_secs(1))).await.unwrap().jobs
}

async fn claim_entries(store: &StateStore) -> Vec<OutboxEntry> {
    let (outbox, since) = (orders().outbox(), Instant::now());
    let jobs = claim(store, outbox.clone()).await.into_iter();
    jobs.map(|job| OutboxEntry::new(outbox.clone(), job, since, Duration::from_secs(1))).collect()
}

/// Completes the letters that are there, and returns how many.
async fn read_letters(store: &StateStore) -> usize {
    let jobs = claim(store, letters()).await;
    let count = jobs.len();
    for job in jobs {
        store.settle_one(&letters(), job.lease, Outcome::Complete(None)).await.unwrap();
    }
    count
}

/// Whether a destination remembers an entry for seconds. If the process has removed an entry, and was killed before the destination was
/// told, that remembers it for days.
async fn remembers(server: &RedisServer) -> bool {
    for pattern in ["*{q.letters.0}*:call:*", "*{e.placed.0}*:call:*"] {
        for key in server.command(&["KEYS", pattern]).await.unwrap().as_strings().unwrap() {
            let left = server.command(&["TTL", &key]).await.unwrap().as_integer().unwrap();
            if (0..60).contains(&left) {
                return true;
            }
        }
    }
    false
}

/// A process is killed or suspended while it holds two entries. Another one delivers them after their leases. What the first one has
/// sent arrives when the destinations have forgotten the entries, and then it wakes up.
async fn another_delivers(stage: Stage, is_killed: bool) {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let store = open_with(&server.url(None), Clock::Server).await;
    store.declare(&placed(), &TopicConfig::default()).await.unwrap();
    store.push_one(&orders(), order()).await.unwrap();
    let lease = claim(&store, orders()).await.remove(0).lease;
    let letter = Delivery::job(letters(), NewJob::new("a letter"));
    let commit = Commit::new(lease, Outcome::Complete(None)).with_delivery(letter);
    let commit = commit.with_delivery(Delivery::event(placed(), NewEvent::new("tea")));
    let committed = store.home(&orders(), &shop()).commit(&commit, Durability::Accepted).await.unwrap().value;
    assert!(committed.done().is_some());

    let program = Program::new(std::env::current_exe().unwrap()).args(["--exact", "deliverer", "--nocapture"]);
    let url = server.url_through(&proxy, None);
    let mut process = program.env("TEST_DELIVERER_URL", &url).start().unwrap();
    process.wait_line(|line| line.contains("claimed")).await;
    match stage {
        Stage::Claimed => {}
        Stage::Pushing => proxy.hold_at_request(mentions("a letter")),
        Stage::Settling => proxy.hold_at_request(mentions("{q.orders.0}:outbox:")),
    }
    let mut read = 0;
    if stage != Stage::Claimed {
        process.interrupt().unwrap();
        proxy.wait_fired(1).await;
    }
    if stage == Stage::Settling {
        wait_until("the letter arrives", DEADLINE, async || {
            read += read_letters(&store).await;
            read == 1
        })
        .await;
    }
    if is_killed {
        process.kill().await;
    } else {
        process.pause().unwrap();
    }

    let mut delivered = 0;
    wait_until("another one delivers", DEADLINE, async || {
        for entry in claim_entries(&store).await {
            assert_eq!(store.deliver(&entry, Durability::Accepted).await.unwrap(), Delivered::Done);
            delivered += 1;
        }
        store.counts(&orders().outbox()).await.unwrap() == Counts::default()
    })
    .await;
    read += read_letters(&store).await;
    assert!(read == 1 && delivered > 0, "{stage:?}: {read} letters, {delivered} entries");

    wait_until("the destinations have forgotten the entries", DEADLINE, async || !remembers(&server).await).await;
    let bytes = proxy.bytes_down();
    proxy.pass().await;
    if !is_killed {
        if stage == Stage::Claimed {
            process.interrupt().unwrap();
        } else {
            wait_until("what it has sent is answered", DEADLINE, async || proxy.bytes_down() > bytes).await;
        }
        process.resume().unwrap();
        let line = process.wait_line(|line| line.contains("ended:")).await;
        // The process may have delivered an entry whose requests were not held, before it was suspended.
        assert!(line.matches("Ok(Done)").count() + delivered <= 2, "{stage:?}: {line}");
    }
    assert_eq!(read_letters(&store).await, 0, "{stage:?}: the letter arrived twice");
    assert_eq!(events(store.as_ref()).await, ["tea"], "{stage:?}");
    assert_eq!(store.counts(&orders().outbox()).await.unwrap(), Counts::default());
}

const STAGES: [Stage; 3] = [Stage::Claimed, Stage::Pushing, Stage::Settling];

#[tokio::test]
async fn what_a_killed_deliverer_held_is_delivered_once_by_another() {
    for stage in STAGES {
        another_delivers(stage, true).await;
    }
}

#[tokio::test]
async fn a_deliverer_that_was_suspended_delivers_nothing_twice() {
    for stage in STAGES {
        another_delivers(stage, false).await;
    }
}
