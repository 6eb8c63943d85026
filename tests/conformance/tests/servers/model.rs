//! Random sequences of operations have the same outcomes on the embedded engine, which is the model, and on Redis.
//!
//! The seeds are fixed. `CONFORMANCE_SEED=7 CONFORMANCE_SEQUENCES=1` runs the sequence of one seed; a larger number
//! runs that many seeds from it on. A difference is reported with its seed and a sequence without the steps that it does not
//! need.

mod generate;
mod play;
mod play_commit;
mod play_queue;
mod play_wait;
mod step;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use conformance::{EmbeddedMemory, Engine, Options, RedisEngine};
use store_core::{Clock, ManualClock, REGISTRATION, Retention, Timestamp};
use testkit::RedisServer;
use tokio::task::JoinSet;

use play::World;
use step::Step;

/// How many steps a sequence has.
const STEPS: usize = 60;

/// How many sequences are played at a time: most of their time is round trips.
const TASKS: usize = 4;

/// A difference between two engines.
struct Difference {
    /// After how many steps.
    after: usize,
    model: String,
    other: String,
}

struct Pair {
    model: Arc<dyn Engine>,
    other: Arc<dyn Engine>,
    /// Whether the queues of both engines have one order.
    is_ordered: bool,
    /// How many jobs the other one has handed over.
    handed_over: AtomicUsize,
}

impl Pair {
    /// Plays a sequence on both engines, each at a new place, until they differ.
    async fn difference(&self, steps: &[Step]) -> Option<Difference> {
        let place = testkit::random_prefix();
        let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
        let open = async |engine| open(engine, &place, &clock, self.is_ordered).await;
        let (mut model, mut other) = (open(&self.model).await, open(&self.other).await);
        let (due, retired) = (HashSet::new(), HashSet::new());
        let mut referee = Referee { clock, due, retired, is_ordered: self.is_ordered };
        for (index, step) in steps.iter().chain(&[Step::LookAtAll]).enumerate() {
            let step = referee.settle_details(step);
            let outcome = (model.play(&step).await, other.play(&step).await);
            if outcome.0 != outcome.1 {
                return Some(Difference { after: index + 1, model: outcome.0, other: outcome.1 });
            }
            referee.learn(&step, &outcome.0, &model);
        }
        self.handed_over.fetch_add(other.handed_over, Ordering::Relaxed);
        None
    }

    /// Plays the sequence of a seed.
    async fn play(&self, seed: u64) {
        let steps = generate::sequence(seed, STEPS, !self.is_ordered);
        let Some(found) = self.difference(&steps).await else { return };
        let (steps, found) = self.shrink(steps, found).await;
        let steps: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
        panic!("seed {seed}:\n{}\nembedded: {}\nredis:    {}", steps.join("\n"), found.model, found.other);
    }

    /// Removes every step without which the engines still differ.
    async fn shrink(&self, mut steps: Vec<Step>, mut difference: Difference) -> (Vec<Step>, Difference) {
        steps.truncate(difference.after);
        for index in (0..steps.len()).rev() {
            if index >= steps.len() {
                continue; // a shorter sequence differs earlier
            }
            let mut fewer = steps.clone();
            fewer.remove(index);
            if let Some(found) = self.difference(&fewer).await {
                fewer.truncate(found.after);
                (steps, difference) = (fewer, found);
            }
        }
        (steps, difference)
    }
}

/// State that both engines share, and data on what the contract does not define.
struct Referee {
    clock: ManualClock,
    /// When jobs were due: the contract does not define the order of two jobs that are due in one millisecond.
    due: HashSet<u64>,
    /// The ids of jobs that were removed while they were ready: pushed again, they may take their old place.
    retired: HashSet<u8>,
    is_ordered: bool,
}

impl Referee {
    fn settle_details(&mut self, step: &Step) -> Step {
        let mut step = step.clone();
        if let Step::Advance(time) = &step {
            self.clock.advance(*time);
        }
        for delay in step.delays() {
            while !delay.is_zero() && !self.due.insert(self.clock.now().after(*delay).as_millis()) {
                *delay += std::time::Duration::from_millis(1);
            }
        }
        step.without_ids(&self.retired);
        if !self.is_ordered {
            step.settle_partitions();
        }
        step
    }

    fn learn(&mut self, step: &Step, outcome: &str, model: &World) {
        if let (Step::Cancel(id) | Step::Delete(id), "Removed" | "[Deleted]") = (step, outcome) {
            self.retired.insert(model.number(*id));
        }
        if let Step::StopWaiting { is_dropped: true } = step {
            self.clock.advance(REGISTRATION);
        }
    }
}

async fn open(engine: &Arc<dyn Engine>, place: &str, clock: &ManualClock, is_ordered: bool) -> World {
    // Partitions share the bounds: which jobs are removed depends on where they are.
    let most = if is_ordered { 4 } else { 1000 };
    let retention = Retention::default().with_dead_count(most).with_completed_count(most);
    let options = Options { clock: Clock::Manual(clock.clone()), retention, ..Options::default() };
    World::new(place, engine.open(place, &options).await.unwrap(), clock.clone(), is_ordered)
}

pub(crate) fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn random_sequences_have_the_same_outcomes() {
    compare(1).await;
}

/// The partitions have no common order: each step claims all ready jobs, and jobs are compared by their ids. That also allows
/// batches, because it is not defined which jobs of a batch a claim takes. Pushes hand jobs over to waiters in both tests.
#[tokio::test(flavor = "multi_thread")]
async fn random_sequences_have_the_same_outcomes_in_three_partitions() {
    compare(3).await;
}

async fn compare(partitions: u16) {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let mut redis = RedisEngine::connect("redis", &cache.url(None), &state.url(None)).await.unwrap();
    let is_ordered = partitions == 1;
    if !is_ordered {
        redis = redis.with_partitions(partitions);
    }
    let handed_over = AtomicUsize::new(0);
    let pair =
        Arc::new(Pair { model: Arc::new(EmbeddedMemory::new()), other: Arc::new(redis), is_ordered, handed_over });
    let first = number("CONFORMANCE_SEED", 1);
    let end = first + number("CONFORMANCE_SEQUENCES", if is_ordered { 1000 } else { 2000 });
    let next = Arc::new(AtomicU64::new(first));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (pair, next) = (Arc::clone(&pair), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end {
                    break;
                }
                pair.play(seed).await;
            }
        });
    }
    tasks.join_all().await;
    let handed_over = pair.handed_over.load(Ordering::Relaxed);
    assert!(handed_over as u64 >= (end - first) / 2, "only {handed_over} jobs were handed over");
}
