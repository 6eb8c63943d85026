//! The load: actors that use the stores through `twinstore`, each with its own plan, determined by the seed.

mod backlog;
mod broadcasts;
pub(crate) mod commits;
pub(crate) mod contend;
mod control;
pub(crate) mod deliveries;
mod heartbeats;
mod idempotency;
mod ids;
mod leases;
mod opposites;
mod produce;
mod retries;
pub(crate) mod runs;
mod schedules;
pub(crate) mod topics;
mod work;

pub(crate) use backlog::Backlog;
pub(crate) use work::work;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use twinstore::Stores;
use twinstore::queue::{NewJob, QueueName};

use crate::history::Recorder;
use crate::recorded::Client;

/// The queues: whole batches of plain jobs; jobs of every kind; the same, paused and resumed again and again.
pub(crate) const QUEUES: [&str; 3] = ["plain", "mixed", "paused"];

/// The queue with one partition, some of whose handlers commit.
pub(crate) const PLAIN: &str = QUEUES[0];

/// The queue that has [`PARTITIONS`] on a cluster.
pub(crate) const PARTITIONED: &str = QUEUES[1];

/// The queue whose jobs are ended by commits. It is not drained: what commits push stays.
pub(crate) const COMMITS: &str = "commits";

/// How many partitions it has.
pub(crate) const PARTITIONS: u16 = 4;

/// The groups of actors. Each has its own connections, through its own proxy; the last is another process.
pub(crate) const GROUPS: [&str; 4] = ["clients", "workers", "holders", "process"];

/// How many pushed jobs are remembered for control.
const RECENT: usize = 300;

/// How many contenders for the resume token a group has, and how often each tries to get its lease.
pub(crate) const CONTENDERS: (u32, Duration) = (3, Duration::from_millis(150));

/// A queue's name.
pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a valid name")
}

/// The random numbers of one actor: the same for the same seed, independent of other actors.
pub(crate) fn random_of(seed: u64, name: &str) -> fastrand::Rng {
    let mut hasher = DefaultHasher::new();
    (seed, name).hash(&mut hasher);
    fastrand::Rng::with_seed(hasher.finish())
}

/// One actor: its stores, its random numbers, its pace.
pub(crate) struct Actor {
    pub(crate) client: Client,
    pub(crate) random: fastrand::Rng,
    pub(crate) shared: Arc<Shared>,
    pub(crate) times: Times,
    stop: watch::Receiver<bool>,
}

impl Actor {
    /// Pauses for a random time around `mean`. Returns whether to continue.
    pub(crate) async fn pause(&mut self, mean: Duration) -> bool {
        let time = mean.mul_f64(0.5 + self.random.f64());
        let mut stop = self.stop.clone();
        let _ = tokio::time::timeout(time, stop.wait_for(|stop| *stop)).await;
        !*self.stop.borrow()
    }

    /// True in this percentage of cases.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(0..100) < percent
    }

    /// How long something lasts: see [`Times::lasting`].
    pub(crate) fn lasting(&mut self, range: std::ops::Range<u64>) -> Duration {
        self.times.lasting(&mut self.random, range)
    }

    /// A random time.
    pub(crate) fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(range))
    }
}

/// In a soak nothing lasts longer than this, in milliseconds.
pub(crate) const LONGEST_MS: u64 = 5000;

/// How long leases last and results are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Everything lasts 1 to 5 s, so that memory reaches a steady state.
    pub(crate) is_soak: bool,
}

impl Times {
    /// How long a lease, a beat or an attempt lasts: in this range of milliseconds, unless it is a soak.
    pub(crate) fn lasting(self, random: &mut fastrand::Rng, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(random.u64(if self.is_soak { 1000..LONGEST_MS } else { range }))
    }

    /// How long results and responses are kept: longer than any run, unless it is a soak.
    pub(crate) fn kept(self, random: &mut fastrand::Rng) -> Duration {
        if self.is_soak { self.lasting(random, 0..1) } else { Duration::from_secs(3600) }
    }
}

/// The state that the actors share.
#[derive(Default)]
pub(crate) struct Shared {
    recent: Mutex<VecDeque<(QueueName, NewJob)>>,
    registers: Mutex<std::collections::HashMap<String, u64>>,
    /// How many commits each worker has sent.
    commits: Mutex<std::collections::BTreeMap<String, u64>>,
}

impl Shared {
    fn recent(&self) -> MutexGuard<'_, VecDeque<(QueueName, NewJob)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers pushed jobs.
    pub(crate) fn remember(&self, queue: &QueueName, jobs: &[NewJob]) {
        let mut recent = self.recent();
        recent.extend(jobs.iter().map(|job| (queue.clone(), job.clone())));
        let surplus = recent.len().saturating_sub(RECENT);
        recent.drain(..surplus);
    }

    /// A recently pushed job.
    pub(crate) fn recent_job(&self, random: &mut fastrand::Rng) -> Option<(QueueName, NewJob)> {
        let recent = self.recent();
        if recent.is_empty() { None } else { recent.get(random.usize(0..recent.len())).cloned() }
    }

    /// Remembers that a worker has sent so many commits.
    pub(crate) fn remember_commit(&self, worker: &str, count: u64) {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).insert(worker.to_owned(), count);
    }

    /// How many commits each worker has sent.
    pub(crate) fn commits(&self) -> std::collections::BTreeMap<String, u64> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A write into a register that refuses older fences.
    pub(crate) fn write(&self, name: &str, fence: u64) -> bool {
        let mut registers = self.registers.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = registers.entry(name.to_owned()).or_default();
        let accepted = *newest <= fence;
        *newest = (*newest).max(fence);
        accepted
    }
}

/// Starts the deliverer of a process with a worker. It ends when `stop` is true.
pub(crate) fn start_deliverer(
    seed: u64,
    stores: &Stores,
    recorder: &Recorder,
    times: Times,
    stop: &watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let name = format!("{}/deliverer", GROUPS[3]);
    let (client, random) = (Client::new(stores, recorder.actor(&name)), random_of(seed, &name));
    deliveries::deliver(Actor { client, random, shared: Arc::default(), times, stop: stop.clone() })
}

/// Starts the actors of the groups `clients` and `holders`, and the careless worker. They end when `stop` is true. With `is_steady`,
/// each queue has a producer of its own, which shows when its pushes succeed again. Also returns what the actors share.
pub(crate) fn start(
    seed: u64,
    [clients, workers, holders]: [&Stores; 3],
    recorder: &Recorder,
    times: Times,
    is_steady: bool,
    stop: &watch::Receiver<bool>,
) -> (JoinSet<()>, Arc<Shared>) {
    let shared = Arc::new(Shared::default());
    let actor = |stores: &Stores, name: &str| Actor {
        client: Client::new(stores, recorder.actor(name)),
        random: random_of(seed, name),
        shared: shared.clone(),
        times,
        stop: stop.clone(),
    };
    // in a soak, steps and runs would accumulate
    let contenders = if times.is_soak { (0, CONTENDERS.1) } else { CONTENDERS };
    let mut actors = contend::start(seed, holders, recorder, GROUPS[2], contenders, stop);
    for name in QUEUES.iter().filter(|_| is_steady) {
        actors.spawn(produce::produce_steadily(actor(clients, &format!("clients/producer-of-{name}")), name));
    }
    for number in 0..2 {
        actors.spawn(produce::produce(actor(clients, &format!("clients/producer-{number}"))));
    }
    actors.spawn(control::control(actor(clients, "clients/control")));
    actors.spawn(control::pause(actor(clients, "clients/pauses")));
    actors.spawn(work::work_carelessly(actor(workers, "workers/careless")));
    for number in 0..4 {
        actors.spawn(leases::hold(actor(holders, &format!("holders/lease-{number}"))));
        actors.spawn(idempotency::request(actor(holders, &format!("holders/request-{number}")), "state"));
    }
    for number in 0..if times.is_soak { 0 } else { 3 } {
        actors.spawn(runs::carry_out(actor(clients, &format!("clients/agent-{number}"))));
    }
    for (number, (stores, group)) in [(clients, GROUPS[0]), (holders, GROUPS[2])].into_iter().enumerate() {
        actors.spawn(schedules::fire(actor(stores, &format!("{group}/scheduler"))));
        actors.spawn(topics::append(actor(clients, &format!("clients/events-{number}"))));
        for group in topics::READERS {
            actors.spawn(topics::consume(actor(holders, &format!("holders/{group}-{number}")), group));
        }
    }
    for number in 0..2 {
        actors.spawn(idempotency::request(actor(holders, &format!("holders/cache-{number}")), "cache"));
        actors.spawn(heartbeats::beat(actor(holders, &format!("holders/member-{number}"))));
        actors.spawn(retries::try_again(actor(holders, &format!("holders/tries-{number}"))));
        actors.spawn(opposites::oppose(actor(holders, &format!("holders/opposites-{number}"))));
    }
    for (number, (stores, group)) in [(workers, GROUPS[1]), (holders, GROUPS[2])].into_iter().enumerate() {
        actors.spawn(commits::commit(actor(stores, &format!("{group}/committer-{number}"))));
        actors.spawn(deliveries::deliver(actor(stores, &format!("{group}/deliverer-{number}"))));
    }
    for (number, (stores, group)) in [(clients, GROUPS[0]), (workers, GROUPS[1])].into_iter().enumerate() {
        actors.spawn(broadcasts::publish(actor(stores, &format!("{group}/publisher-{number}"))));
    }
    for (number, (stores, group)) in [(workers, GROUPS[1]), (holders, GROUPS[2])].into_iter().enumerate() {
        actors.spawn(broadcasts::listen(actor(stores, &format!("{group}/listener-{number}"))));
    }
    actors.spawn(heartbeats::watch(actor(holders, "holders/watcher")));
    (actors, shared)
}
