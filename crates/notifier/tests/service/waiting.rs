//! Idle workers in processes of their own that are killed or stopped, beside another worker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::{DEADLINE, RunningProgram, Value, wait_until};
use twinstore::prelude::*;
use twinstore::queue::Counts;
use twinstore::worker::WorkerHandle;

use crate::fixture::Fixture;

const QUEUE: &str = "notifications";

/// Much longer than a hand-over takes on a loaded machine, and much shorter than a lease or a registration.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What a hand-over after a killed worker takes at most while the machine has time for it: 3 ms were measured.
const PROMPTLY: Duration = Duration::from_millis(50);

/// For each job, its attempt and how long after its push it started.
type Started = Arc<Mutex<BTreeMap<JobId, (u32, Duration)>>>;

/// The stores in this process, and a worker on them that does nothing with the jobs.
struct Beside {
    stores: Stores,
    started: Started,
    _worker: WorkerHandle,
}

impl Beside {
    async fn start(fixture: &Fixture) -> Self {
        let environment = Environment::from_variables([
            ("SERVICE_NAME", "notifier".to_owned()),
            ("REDIS_CONN_BASE_URL", fixture.cache.url(None)),
            ("REDIS_CACHE_DB", "3".to_owned()),
            ("REDIS_WORKERCACHE_CONN_URL", fixture.state.url(None)),
        ]);
        let stores = Stores::open(&environment).await.unwrap();
        let started = Started::default();
        let seen = Arc::clone(&started);
        let worker = stores.state().worker().with_queue(QUEUE, move |job: Job| {
            seen.lock().unwrap().insert(job.id().clone(), (job.attempt(), job.since_push()));
            async { Ok(Done::discard()) }
        });
        let worker = worker.build().unwrap();
        let handle = worker.handle();
        tokio::spawn(worker.run());
        until_registered(fixture, 1).await;
        Self { stores, started, _worker: handle }
    }

    /// Pushes one job in a call of its own.
    async fn push(&self) {
        self.stores.state().queue().push_one(&queue(), NewJob::new("a")).await.unwrap();
    }

    async fn counts(&self) -> Counts {
        self.stores.state().inspect().counts(&queue()).await.unwrap()
    }

    async fn until_started(&self, jobs: usize) {
        wait_until("the jobs start", DEADLINE, async || self.started.lock().unwrap().len() == jobs).await;
    }

    /// How long after their pushes jobs started, the latest first.
    fn delays(&self) -> Vec<Duration> {
        let mut delays: Vec<_> = self.started.lock().unwrap().values().map(|(_, delay)| *delay).collect();
        delays.sort_by(|one, other| other.cmp(one));
        delays
    }
}

fn queue() -> QueueName {
    QueueName::new(QUEUE).unwrap()
}

/// The tokens of the registrations. Each worker keeps its own.
async fn registrations(fixture: &Fixture) -> Vec<Value> {
    fixture.state.command(&["HKEYS", "tw:{q.notifications.0}:waiters"]).await.unwrap().as_array().unwrap().to_vec()
}

async fn until_registered(fixture: &Fixture, workers: usize) {
    wait_until("registered", DEADLINE, async || registrations(fixture).await.len() == workers).await;
}

/// Another worker, in a process, that is registered.
async fn process(fixture: &Fixture, flags: &[&str]) -> RunningProgram {
    let program = fixture.notifier(&[&["work"], flags].concat()).start().unwrap();
    until_registered(fixture, 2).await;
    program
}

#[tokio::test]
async fn a_job_that_is_pushed_after_its_waiting_worker_was_killed_starts_on_another_at_once() {
    let fixture = Fixture::new().await;
    let beside = Beside::start(&fixture).await;
    let own = registrations(&fixture).await;
    let mut delays = Vec::new();
    let mut pushed = 0;
    // One of five is in time unless the code is slow: a loaded machine may delay some of them.
    while delays.iter().all(|delay| *delay >= PROMPTLY) && delays.len() < 5 {
        process(&fixture, &[]).await.kill().await;
        // Before the server has noticed, the message is on its way: see below.
        wait_until("the server has noticed", DEADLINE, async || {
            let listening = fixture.state.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).await.unwrap();
            String::from_utf8_lossy(listening.as_bytes().unwrap()).lines().count() == 1
        })
        .await;
        let is_registered = async || registrations(&fixture).await.iter().any(|token| !own.contains(token));
        assert!(is_registered().await, "the killed worker is still registered");
        // A push asks any of the two; the last one has asked the killed worker.
        let mut delay = Duration::ZERO;
        while is_registered().await {
            let began = Instant::now();
            beside.push().await;
            pushed += 1;
            beside.until_started(pushed).await;
            delay = began.elapsed();
            assert!(delay < AT_ONCE, "{delay:?}, by the server {:?}", beside.delays());
        }
        delays.push(delay);
    }
    assert!(delays.iter().any(|delay| *delay < PROMPTLY), "{delays:?}, by the server {:?}", beside.delays());
}

/// A stopped process still receives. So does one that was killed when the message was already on its way.
#[tokio::test]
async fn only_the_jobs_that_a_stopped_worker_has_reserved_wait_and_only_for_one_lease() {
    const RESERVED: usize = 4;
    const LEASE: Duration = Duration::from_secs(6);
    let fixture = Fixture::new().await;
    let beside = Beside::start(&fixture).await;
    let mut stopped = process(&fixture, &["--concurrency", "4", "--lease", "6s"]).await;
    stopped.pause().unwrap();
    let mut pushed = 0;
    // Each push asks any of the two, until the stopped one has all that it has reserved.
    while registrations(&fixture).await.len() == 2 {
        beside.push().await;
        pushed += 1;
        assert!(pushed < 1000, "the stopped worker is never asked");
    }
    for _ in 0..20 {
        beside.push().await;
        pushed += 1;
    }
    beside.until_started(pushed - RESERVED).await;
    wait_until("the others are done", DEADLINE, async || beside.counts().await.running == RESERVED as u64).await;
    let delays = beside.delays();
    assert!(delays[0] < AT_ONCE, "{delays:?}");

    stopped.kill().await;
    beside.until_started(pushed).await;
    let delays = beside.delays();
    // Another worker claims when its registration ends.
    let latest = LEASE + Duration::from_secs(10) + AT_ONCE;
    assert!(delays[..RESERVED].iter().all(|delay| (LEASE..latest).contains(delay)), "{delays:?}");
    assert!(delays[RESERVED] < AT_ONCE, "{delays:?}");
    assert!(beside.started.lock().unwrap().values().all(|(attempt, _)| *attempt == 1), "nobody has heard of them");
}
