//! Idle workers in processes of their own that are killed or stopped, beside another worker.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::{DEADLINE, RunningProgram, Value, wait_until};
use twinstore::name::HolderName;
use twinstore::page::PageRequest;
use twinstore::prelude::*;
use twinstore::queue::{Counts, JobState};
use twinstore::worker::WorkerHandle;

use crate::fixture::Fixture;

const QUEUE: &str = "notifications";

/// Much longer than a hand-over takes on a loaded machine, and much shorter than a lease or a registration.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What a hand-over after a killed worker takes at most, beyond the longest time for which the machine did nothing meanwhile: 3 ms
/// were measured.
const PROMPTLY: Duration = Duration::from_millis(50);

/// How many workers are killed. The server has noticed the death of all but one before the next push.
const KILLED: usize = 8;

/// How long a registration lasts. Another worker claims when its own ends, and learns then when the next lease ends.
const REGISTRATION: Duration = Duration::from_secs(10);

/// The name of the worker in this process.
const BESIDE: &str = "beside";

/// How a job started.
#[derive(Debug, Clone, Copy)]
struct Start {
    attempt: u32,
    at: Instant,
    /// How long after its push, by the server's clock.
    delay: Duration,
    fence: u64,
}

type Started = Arc<Mutex<BTreeMap<JobId, Start>>>;

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
            let start =
                Start { attempt: job.attempt(), at: Instant::now(), delay: job.since_push(), fence: job.fence().get() };
            seen.lock().unwrap().insert(job.id().clone(), start);
            async { Ok(Done::discard()) }
        });
        let worker = worker.with_name(HolderName::new(BESIDE).unwrap()).build().unwrap();
        let handle = worker.handle();
        tokio::spawn(worker.run());
        until_registered(fixture, 1).await;
        Self { stores, started, _worker: handle }
    }

    /// Pushes jobs in one call.
    async fn push(&self, count: usize) -> Vec<JobId> {
        let jobs: Vec<_> = (0..count).map(|_| NewJob::new("a")).collect();
        let pushed = self.stores.state().queue().push(&queue(), &jobs, Durability::Accepted).await.unwrap().value;
        pushed.iter().filter_map(|pushed| pushed.id().cloned()).collect()
    }

    async fn counts(&self) -> Counts {
        self.stores.state().inspect().counts(&queue()).await.unwrap()
    }

    /// The jobs that each of the other workers has leased.
    async fn leased(&self) -> BTreeMap<HolderName, BTreeSet<JobId>> {
        let mut leased = BTreeMap::<_, BTreeSet<_>>::new();
        let page = PageRequest::default();
        for job in self.stores.state().inspect().list(&queue(), JobState::Running, page).await.unwrap().items {
            if let Some(worker) = job.worker.filter(|worker| worker.as_str() != BESIDE) {
                leased.entry(worker).or_default().insert(job.id);
            }
        }
        leased
    }

    fn start_of(&self, job: &JobId) -> Option<Start> {
        self.started.lock().unwrap().get(job).copied()
    }

    async fn until_started(&self, jobs: &[JobId]) -> Vec<Start> {
        wait_until("the jobs start", DEADLINE, async || jobs.iter().all(|job| self.start_of(job).is_some())).await;
        jobs.iter().filter_map(|job| self.start_of(job)).collect()
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
    let before = registrations(fixture).await.len();
    let program = fixture.notifier(&[&["work"], flags].concat()).start().unwrap();
    until_registered(fixture, before + 1).await;
    program
}

/// Whether a claim leased a job with this fence, and not the push itself. A claim is remembered as long as its leases last: the entry
/// begins with the fence.
async fn was_claimed(fixture: &Fixture, fence: u64) -> bool {
    let calls = fixture.state.command(&["KEYS", "tw:{q.notifications.0}:call:*"]).await.unwrap().as_strings().unwrap();
    let fence = format!("{fence:016}");
    for call in calls {
        let entry = fixture.state.command(&["GET", &call]).await.unwrap();
        if entry.as_bytes().is_some_and(|entry| entry.starts_with(fence.as_bytes())) {
            return true;
        }
    }
    false
}

/// How many clients the server would send messages to.
async fn listening(fixture: &Fixture) -> usize {
    let clients = fixture.state.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).await.unwrap();
    String::from_utf8_lossy(clients.as_bytes().unwrap()).lines().count()
}

/// The longest time that a `PING` takes while `other` is under way: a machine that is busy with something else delays both. What
/// waits for a timer or for a message that does not come delays only `other`.
async fn probed<T>(fixture: &Fixture, other: impl Future<Output = T>) -> (T, Duration) {
    let mut probe = fixture.state.connect().await.unwrap();
    let (mut other, mut longest) = (pin!(other), Duration::ZERO);
    loop {
        let sent = Instant::now();
        let ping = async { probe.command(&["PING"]).await.unwrap() };
        tokio::select! {
            biased;
            done = &mut other => return (done, longest),
            _ = ping => longest = longest.max(sent.elapsed()),
        }
    }
}

/// If the server finds no receiver, another worker has the job within 50 ms. If the message is on its way when the process ends, the
/// job waits for its lease. Which of these a job is depends on the clients that the server knows, before and after the push.
#[tokio::test]
async fn a_job_that_is_pushed_after_its_waiting_worker_was_killed_starts_on_another_at_once() {
    const LEASE: Duration = Duration::from_secs(6);
    let fixture = Fixture::new().await;
    let beside = Beside::start(&fixture).await;
    let own = registrations(&fixture).await;
    let mut prompt = 0;
    for trial in 0..KILLED {
        let is_noticed = trial != 1;
        process(&fixture, &["--concurrency", "1", "--lease", "6s"]).await.kill().await;
        if is_noticed {
            wait_until("the server has noticed", DEADLINE, async || listening(&fixture).await == 1).await;
        }
        let is_registered = async || registrations(&fixture).await.iter().any(|token| !own.contains(token));
        assert!(is_registered().await, "the killed worker is still registered");
        // A push asks any of the two; the last one has asked the killed worker.
        while is_registered().await {
            let has_no_receiver = listening(&fixture).await == 1;
            let push = async {
                let began = Instant::now();
                (began, beside.push(1).await.remove(0), beside.leased().await)
            };
            let ((began, job, leased), while_pushed) = probed(&fixture, push).await;
            if leased.values().any(|jobs| jobs.contains(&job)) {
                assert!(!has_no_receiver, "the job is leased to a worker that the server knows to be gone");
                let start = beside.until_started(&[job]).await[0];
                assert!((LEASE..REGISTRATION + AT_ONCE).contains(&start.delay), "it waits for its lease: {start:?}");
                continue;
            }
            let (start, while_waiting) = probed(&fixture, async { beside.until_started(&[job]).await[0] }).await;
            assert!(!was_claimed(&fixture, start.fence).await, "the push has leased it to the other worker: {start:?}");
            assert_eq!(start.attempt, 1);
            let (took, stalled) = (start.at.duration_since(began), while_pushed.max(while_waiting));
            println!("trial {trial}, noticed: {is_noticed}: {took:?}, the longest PING {stalled:?}");
            assert!(took < PROMPTLY + stalled, "it started after {took:?}, the longest PING took {stalled:?}");
            prompt += 1;
        }
    }
    assert!(prompt >= KILLED - 1, "{prompt} jobs found no receiver");
}

/// A stopped process still receives. So does one that was killed when the message was already on its way. The jobs of one push are
/// leased for different times: to one stopped worker, to another one, and to one that works.
#[tokio::test]
async fn only_the_jobs_that_a_stopped_worker_has_reserved_wait_and_only_for_one_lease() {
    const LEASES: [(usize, Duration); 2] = [(4, Duration::from_secs(6)), (2, Duration::from_secs(13))];
    let fixture = Fixture::new().await;
    let beside = Beside::start(&fixture).await;
    let mut stopped = Vec::new();
    for (concurrency, lease) in LEASES {
        let (concurrency, lease) = (concurrency.to_string(), format!("{}s", lease.as_secs()));
        let process = process(&fixture, &["--concurrency", &concurrency, "--lease", &lease]).await;
        process.pause().unwrap();
        stopped.push(process);
    }
    let mut pushed = Vec::new();
    // Each push asks any of the workers, until the stopped ones have all that they have reserved.
    while registrations(&fixture).await.len() > 1 {
        pushed.extend(beside.push(3).await);
        assert!(pushed.len() < 3000, "a stopped worker is never asked");
    }
    for _ in 0..20 {
        pushed.extend(beside.push(1).await);
    }
    let leased = beside.leased().await;
    let sizes: BTreeSet<_> = leased.values().map(BTreeSet::len).collect();
    assert_eq!(sizes, LEASES.iter().map(|(reserved, _)| *reserved).collect(), "each has leased what it reserved");
    let shares_batch = |job: &JobId| {
        let batch = |job: &JobId| job.place().map(|(batch, _)| batch);
        pushed.iter().any(|other| batch(other) == batch(job) && !leased.values().any(|jobs| jobs.contains(other)))
            || leased.values().filter(|jobs| jobs.iter().any(|other| batch(other) == batch(job))).count() > 1
    };
    assert!(leased.values().flatten().any(shares_batch), "one batch has leases of different lengths");
    let others: Vec<_> = pushed.iter().filter(|job| !leased.values().any(|jobs| jobs.contains(job))).cloned().collect();
    let starts = beside.until_started(&others).await;
    assert!(starts.iter().all(|start| start.delay < AT_ONCE), "{starts:?}");
    let reserved: usize = LEASES.iter().map(|(reserved, _)| reserved).sum();
    wait_until("the others are done", DEADLINE, async || beside.counts().await.running == reserved as u64).await;

    for process in &mut stopped {
        process.kill().await;
    }
    for (reserved, lease) in LEASES {
        let jobs = leased.values().find(|jobs| jobs.len() == reserved).unwrap();
        let starts = beside.until_started(&jobs.iter().cloned().collect::<Vec<_>>()).await;
        let bound = lease.max(REGISTRATION) + AT_ONCE;
        let is_timely = |start: &Start| (lease..bound).contains(&start.delay);
        assert!(starts.iter().all(is_timely), "a lease of {lease:?}: {starts:?}");
        assert!(starts.iter().all(|start| start.attempt == 1), "nobody has heard of them: {starts:?}");
        assert!(was_claimed(&fixture, starts[0].fence).await, "another worker has claimed them: {starts:?}");
    }
}
