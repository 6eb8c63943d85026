//! Scripts on batches that end after each of their writes, as `crashes` has it for single jobs: random queues, one call, each
//! number of writes. The link repeats the interrupted call, or gives it up; then a worker drains the queue.
//!
//! `TWINSTORE_INTERRUPTIONS` sets the number of interrupted scripts. Each queue is restored before each of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use store_core::{
    Backoff, ClaimRequest, Durability, Error, Extension, HolderName, JobId, JobLease, JobState, Kept, ManualClock,
    NewJob, Outcome, PageRequest, Priority, Queue, QueueControl, QueueInspect, QueueName, RequestId, Result,
    RetryPolicy, Settled, Settlement, Timestamp, Unique, UniqueKey, UniqueUntil,
};
use testkit::{Interrupted, RespConnection, Value, random_prefix};

use super::LEASE;
use super::crashes::{Fixture, fixture};
use super::partial_writes::Dice;

/// About 20 s.
const DEFAULT: usize = 4000;

const PARTS: [&str; 14] = [
    "jobs",
    "state",
    "ready0",
    "ready1",
    "ready2",
    "ready3",
    "due",
    "leased",
    "completed",
    "dead",
    "unique",
    "unique_until",
    "meta",
    "waiters",
];

/// KEYS: those of a queue. ARGV: the prefix of the keys of the one from which they are copied.
const COPY: &str = "for i, key in ipairs(KEYS) do
  redis.call('DEL', key)
  if redis.call('EXISTS', ARGV[i]) == 1 then redis.call('COPY', ARGV[i], key) end
end";

/// What is left of a queue without jobs: the names of keys and of fields of `meta`.
const AUDIT: &str = "local left = {}
for i, key in ipairs(KEYS) do
  if i ~= 13 and redis.call('EXISTS', key) == 1 then left[#left + 1] = ARGV[i] end
end
for _, field in ipairs({'moving', 'alive', 'scheduled', 'running'}) do
  local value = redis.call('HGET', KEYS[13], field)
  if value then left[#left + 1] = field .. ' ' .. value end
end
for _, field in ipairs({'dead_bytes', 'completed_bytes'}) do
  if (redis.call('HGET', KEYS[13], field) or '0') ~= '0' then left[#left + 1] = field end
end
return left";

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// A worker completed it while the queue was drained.
    Done,
    Dead,
    /// It was not there any more.
    Gone,
}

/// One call.
#[derive(Debug, Clone)]
enum Call {
    Push(Vec<NewJob>),
    Claim(ClaimRequest),
    Settle(Vec<Settlement>),
    Extend(Vec<Extension>),
    Cancel(JobId),
    Delete(Vec<JobId>),
    Promote(Vec<JobId>),
    Replay(Vec<JobId>),
}

/// A random queue.
struct Scenario<'f> {
    fixture: &'f Fixture,
    queue: QueueName,
    dice: Dice,
    /// The payload of each job, by its id.
    names: HashMap<JobId, String>,
    leases: Vec<JobLease>,
}

impl<'f> Scenario<'f> {
    async fn new(fixture: &'f Fixture, queue: QueueName, seed: u64) -> Self {
        let mut scenario = Self { fixture, queue, dice: Dice(seed), names: HashMap::new(), leases: Vec::new() };
        for _ in 0..1 + scenario.dice.roll(2) {
            let jobs = scenario.any_jobs();
            let pushed = fixture.store.push(&scenario.queue, &jobs, Durability::Accepted).await.unwrap().value;
            for (job, pushed) in jobs.iter().zip(pushed) {
                scenario.names.extend(pushed.id().map(|id| (id.clone(), name_of(job))));
            }
        }
        scenario.advance(&[0, 0, 2]);
        for _ in 0..scenario.dice.roll(3) {
            let request = scenario.any_claim();
            scenario.leases.extend(fixture.store.claim(&request).await.unwrap().jobs.into_iter().map(|job| job.lease));
            for _ in 0..scenario.dice.roll(3) {
                let call = if scenario.dice.roll(3) == 0 { scenario.any_control() } else { scenario.any_lease_call() };
                let _ = scenario.run(&call).await.unwrap();
            }
            scenario.advance(&[0, 0, 0, 2, 40]);
        }
        scenario
    }

    fn advance(&mut self, seconds: &[u64]) {
        self.fixture.clock.advance(Duration::from_secs(seconds[self.dice.roll(seconds.len())]));
    }

    /// Jobs of several batches, and single ones among them.
    fn any_jobs(&mut self) -> Vec<NewJob> {
        let mut jobs = Vec::new();
        for _ in 0..1 + self.dice.roll(3) {
            let (count, kind) = (1 + self.dice.roll(6), self.dice.roll(8));
            let priority = Priority::ALL[self.dice.roll(2)];
            for n in 0..count {
                let name = random_prefix();
                let mut job = NewJob::new(name.clone()).with_priority(priority);
                job.retry = RetryPolicy::new(1 + self.dice.roll(3) as u16, Backoff::Fixed(Duration::ZERO));
                match kind {
                    0 => job.delay = Duration::from_secs(1 + n as u64),
                    1 => job.delay = Duration::from_secs(2),
                    2 => job = job.with_id(JobId::new(name).unwrap()),
                    3 => job = job.with_start_within(Duration::from_secs(1)),
                    4 => {
                        let until = [UniqueUntil::Finished, UniqueUntil::Claimed][self.dice.roll(2)];
                        job = job.with_unique(Unique::new(UniqueKey::new(name).unwrap(), until));
                    }
                    _ => {}
                }
                jobs.push(job);
            }
        }
        jobs
    }

    fn any_claim(&mut self) -> ClaimRequest {
        let worker = HolderName::new(["worker-1", "worker-2"][self.dice.roll(2)]).unwrap();
        ClaimRequest::new(self.queue.clone(), worker, 1 + self.dice.roll(9), LEASE)
    }

    fn any_lease_call(&mut self) -> Call {
        let mut leases = self.leases.clone();
        let is_all = self.dice.roll(2) == 0;
        leases.retain(|_| is_all || self.dice.roll(2) == 0);
        if self.dice.roll(3) == 0 {
            let extensions = leases.into_iter().map(|lease| match self.dice.roll(3) {
                0 => Extension::new(lease).with_progress("half"),
                _ => Extension::new(lease),
            });
            return Call::Extend(extensions.collect());
        }
        let plain = self.dice.roll(3) == 0;
        let settlements = leases.into_iter().map(|lease| {
            let outcome = if plain { Outcome::Complete(None) } else { any_outcome(&mut self.dice) };
            Settlement::new(lease, outcome)
        });
        Call::Settle(settlements.collect())
    }

    fn any_control(&mut self) -> Call {
        let mut ids: Vec<JobId> = self.names.keys().cloned().collect();
        ids.sort_unstable();
        let first = ids[self.dice.roll(ids.len())].clone();
        ids.retain(|_| self.dice.roll(3) == 0);
        match self.dice.roll(4) {
            0 => Call::Cancel(first),
            1 => Call::Delete(ids),
            2 => Call::Promote(ids),
            _ => Call::Replay(ids),
        }
    }

    fn any_call(&mut self) -> Call {
        match self.dice.roll(7) {
            0 => Call::Push(self.any_jobs()),
            1 | 2 => Call::Claim(self.any_claim()),
            3 => self.any_control(),
            _ => self.any_lease_call(),
        }
    }

    /// Makes a call. Returns its answer, as far as a repetition has to give the same one.
    async fn run(&self, call: &Call) -> Result<String> {
        let (store, queue) = (&self.fixture.store, &self.queue);
        Ok(match call {
            Call::Push(jobs) => {
                let pushed = store.push(queue, jobs, Durability::Accepted).await?.value;
                format!("{:?}", pushed.iter().map(store_core::Pushed::is_new).collect::<Vec<_>>())
            }
            Call::Claim(request) => {
                // Nothing remembers an earlier run of it.
                let mut request = request.clone();
                request.request = RequestId::generate();
                store.claim(&request).await?;
                String::new()
            }
            Call::Settle(settlements) if settlements.is_empty() => String::new(),
            Call::Settle(settlements) => {
                format!("{:?}", store.settle(queue, settlements, Durability::Accepted).await?.value)
            }
            Call::Extend(extensions) if extensions.is_empty() => String::new(),
            Call::Extend(extensions) => format!("{:?}", store.extend(queue, extensions, LEASE * 2).await?),
            Call::Cancel(id) => {
                store.cancel(queue, id).await?;
                String::new()
            }
            Call::Delete(ids) | Call::Promote(ids) | Call::Replay(ids) if ids.is_empty() => String::new(),
            Call::Delete(ids) => store.delete(queue, ids).await.map(|_| String::new())?,
            Call::Promote(ids) => store.promote(queue, ids).await.map(|_| String::new())?,
            Call::Replay(ids) => store.replay(queue, ids).await.map(|_| String::new())?,
        })
    }

    #[allow(clippy::print_stdout, reason = "shown when it fails")]
    /// Completes each job once, and removes the dead ones. How each job ended, by its name.
    async fn drain(&self, control: &mut RespConnection, was_interrupted: bool) -> BTreeMap<String, End> {
        let (store, queue) = (&self.fixture.store, &self.queue);
        let mut ends = BTreeMap::new();
        let request = || ClaimRequest::new(queue.clone(), HolderName::new("drain").unwrap(), 100, LEASE);
        for calls in 0.. {
            assert!(calls < 40, "the queue does not become empty");
            let claim = store.claim(&request()).await.unwrap();
            for job in &claim.jobs {
                let name = String::from_utf8(job.payload.to_vec()).unwrap();
                assert_eq!(ends.insert(name, End::Done), None, "{} is delivered after it was completed", job.id());
            }
            let settlements: Vec<_> =
                claim.jobs.into_iter().map(|job| Settlement::new(job.lease, Outcome::Complete(None))).collect();
            if !settlements.is_empty() {
                let settled = store.settle(queue, &settlements, Durability::Accepted).await.unwrap().value;
                assert_eq!(settled, vec![Settled::Done; settled.len()]);
            }
            match claim.next {
                Some(next) => self.fixture.clock.advance(next),
                None => break,
            }
        }
        let dead = store.list(queue, JobState::Dead, PageRequest::first(1000)).await.unwrap().items;
        for info in &dead {
            println!("{} is dead: {:?}", info.id, info.last_error);
        }
        let ids: Vec<JobId> = dead.into_iter().map(|info| info.id).collect();
        for id in &ids {
            let name = self.names.get(id).cloned().unwrap_or_default();
            assert_eq!(ends.insert(name, End::Dead), None, "{id} is dead after it was completed");
        }
        if !ids.is_empty() {
            store.delete(queue, &ids).await.unwrap();
        }
        // Kept results end, and an idle queue is cleaned up.
        self.fixture.clock.advance(Duration::from_secs(32 * 24 * 3600));
        store.claim(&request()).await.unwrap();
        store.claim(&request()).await.unwrap();
        let mut left = on_keys(control, AUDIT, &self.queue, &PARTS.map(str::to_owned)).await.as_strings().unwrap();
        // The entry of a job that does not exist holds no key.
        left.retain(|part| !was_interrupted || part != "unique");
        assert_eq!(left, Vec::<String>::new(), "left in the empty queue");
        ends
    }

    /// The jobs that a call names.
    fn named(&self, call: &Call) -> BTreeSet<String> {
        let ids: Vec<&JobId> = match call {
            Call::Settle(settlements) => settlements.iter().map(|settlement| &settlement.lease.job).collect(),
            Call::Extend(extensions) => extensions.iter().map(|extension| &extension.lease.job).collect(),
            // One more delivery of a batch is unheard, if the first copy has leased some of its jobs.
            Call::Claim(_) => Vec::new(),
            _ => return self.names.values().cloned().collect(),
        };
        ids.into_iter().filter_map(|id| self.names.get(id).cloned()).collect()
    }

    /// The jobs that a call may remove, or not, if it is given up.
    fn may_end(&self, call: &Call) -> BTreeSet<String> {
        let name = |id: &JobId| self.names.get(id).cloned().unwrap_or_default();
        match call {
            Call::Push(jobs) => jobs.iter().map(name_of).collect(),
            Call::Settle(settlements) => {
                let ends = settlements.iter().filter(|settlement| {
                    matches!(settlement.outcome, Outcome::Complete(_) | Outcome::Cancelled | Outcome::Dead { .. })
                });
                ends.map(|settlement| name(&settlement.lease.job)).collect()
            }
            Call::Cancel(id) => [name(id)].into(),
            Call::Delete(ids) => ids.iter().map(name).collect(),
            _ => BTreeSet::new(),
        }
    }
}

fn name_of(job: &NewJob) -> String {
    String::from_utf8(job.payload.to_vec()).unwrap()
}

fn any_outcome(dice: &mut Dice) -> Outcome {
    let after = Duration::from_secs([0, 7][dice.roll(2)]);
    match dice.roll(9) {
        0..=2 => Outcome::Complete(None),
        3 => Outcome::Complete(Some(Kept::new("result", Duration::from_secs(10)))),
        4 => Outcome::Retry { after, error: "no".into() },
        5 => Outcome::Snooze { after },
        6 => Outcome::Dead { reason: "no".into() },
        7 => Outcome::Release,
        _ => Outcome::Cancelled,
    }
}

fn key(queue: &QueueName, part: &str) -> String {
    format!("test:{{q.{queue}.0}}:{part}")
}

/// Runs a script on the keys of a queue.
async fn on_keys(control: &mut RespConnection, script: &str, queue: &QueueName, args: &[String]) -> Value {
    let keys = PARTS.map(|part| key(queue, part));
    let command = ["EVAL", script, "14"].into_iter().map(str::to_owned).chain(keys).chain(args.iter().cloned());
    control.command(&command.collect::<Vec<_>>()).await.unwrap()
}

/// Whether the end of a job after an interrupted call that was given up is right. `expected`: its end if the call was not
/// interrupted.
fn is_right(expected: End, end: End, may_end: bool) -> bool {
    // Whether a delivery was heard decides whether it was the last attempt.
    expected == end || may_end || expected != End::Gone && end != End::Gone || expected == End::Gone && end == End::Done
}

/// Compares how jobs ended. `may_end`: the jobs that a call that was given up may have removed. `named`: those of a call that was
/// repeated; whether the others of their claim were heard of may depend on the interruption.
fn compare(
    expected: &BTreeMap<String, End>,
    ends: &BTreeMap<String, End>,
    names: &[&String],
    may_end: Option<&BTreeSet<String>>,
    named: &BTreeSet<String>,
) {
    for name in names {
        let end = |of: &BTreeMap<String, End>| of.get(*name).copied().unwrap_or(End::Gone);
        let (expected, end) = (end(expected), end(ends));
        let is_right = match may_end {
            Some(may_end) => is_right(expected, end, may_end.contains(*name)),
            None => expected == end || !named.contains(*name) && expected != End::Gone && end != End::Gone,
        };
        assert!(is_right, "{name} ended {end:?}, not {expected:?}");
    }
}

const SCRIPTS: [&str; 8] = [
    "queue/push",
    "queue/claim",
    "queue/settle",
    "queue/extend",
    "queue/cancel",
    "queue/delete",
    "queue/promote",
    "queue/replay",
];

impl Call {
    fn script(&self) -> &'static str {
        SCRIPTS[match self {
            Call::Push(_) => 0,
            Call::Claim(_) => 1,
            Call::Settle(_) => 2,
            Call::Extend(_) => 3,
            Call::Cancel(_) => 4,
            Call::Delete(_) => 5,
            Call::Promote(_) => 6,
            Call::Replay(_) => 7,
        }]
    }
}

/// Has the proxy learn all scripts.
async fn rehearse(fixture: &Fixture) {
    let scenario = Scenario {
        fixture,
        queue: QueueName::new("rehearsal").unwrap(),
        dice: Dice(0),
        names: HashMap::new(),
        leases: Vec::new(),
    };
    let job = NewJob::new("a").with_id(JobId::new("a").unwrap());
    scenario.run(&Call::Push(vec![job])).await.unwrap();
    let worker = HolderName::new("w").unwrap();
    let request = ClaimRequest::new(scenario.queue.clone(), worker, 1, LEASE);
    let lease = fixture.store.claim(&request).await.unwrap().jobs.remove(0).lease;
    let ids = vec![lease.job.clone()];
    scenario.run(&Call::Extend(vec![Extension::new(lease.clone())])).await.unwrap();
    scenario.run(&Call::Settle(vec![Settlement::new(lease.clone(), Outcome::Complete(None))])).await.unwrap();
    for call in [Call::Cancel(lease.job), Call::Delete(ids.clone()), Call::Promote(ids.clone()), Call::Replay(ids)] {
        scenario.run(&call).await.unwrap();
    }
}

/// Sets the clock to another time; it wraps.
fn set_back(clock: &ManualClock, to: Timestamp) {
    clock.advance(Duration::from_millis(to.as_millis().wrapping_sub(clock.now().as_millis())));
}

/// Interrupts the call of one scenario after each number of writes. Returns how often.
#[allow(clippy::print_stdout, reason = "shown when it fails")]
async fn interrupt_everywhere(fixture: &Fixture, control: &mut RespConnection, seed: u64, then: Interrupted) -> usize {
    let queue = QueueName::new("interrupted").unwrap();
    let backup = PARTS.map(|part| key(&QueueName::new("backup").unwrap(), part));
    for part in PARTS {
        control.command(&["DEL", &key(&queue, part)]).await.unwrap();
    }
    set_back(&fixture.clock, Timestamp::from_millis(1_800_000_000_000));
    let mut scenario = Scenario::new(fixture, queue.clone(), seed).await;
    let call = scenario.any_call();
    let began = fixture.clock.now();
    on_keys(control, COPY, &QueueName::new("backup").unwrap(), &PARTS.map(|part| key(&queue, part))).await;
    let answer = scenario.run(&call).await.unwrap();
    let expected = scenario.drain(control, false).await;
    let may_end = (then == Interrupted::Fails).then(|| scenario.may_end(&call));
    let named = scenario.named(&call);
    let names: BTreeSet<&String> = expected.keys().chain(scenario.names.values()).collect();
    let names: Vec<&String> = names.into_iter().collect();
    for writes in 0.. {
        on_keys(control, COPY, &queue, &backup).await;
        set_back(&fixture.clock, began);
        println!("seed {seed}: {} ends after {writes} writes, then {then:?}: {call:?}", call.script());
        fixture.proxy.interrupt(call.script(), writes, then).await.unwrap();
        let outcome = scenario.run(&call).await;
        let was_interrupted = fixture.proxy.heal().await.unwrap();
        match &outcome {
            Ok(repeated) => assert_eq!(*repeated, answer, "the answer of the repetition"),
            Err(Error::Indeterminate { .. }) if matches!(call, Call::Settle(_)) => {}
            Err(error) => assert!(then == Interrupted::Fails, "{error}"),
        }
        let ends = scenario.drain(control, true).await;
        compare(&expected, &ends, &names, may_end.as_ref(), &named);
        let unknown: Vec<_> = ends.keys().filter(|name| !names.contains(name)).collect();
        assert!(unknown.is_empty(), "jobs that nobody pushed: {unknown:?}");
        if !was_interrupted {
            return writes;
        }
    }
    0
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the number of interruptions is the result")]
async fn batches_survive_scripts_that_end_after_any_write() {
    let wanted =
        std::env::var("TWINSTORE_INTERRUPTIONS").ok().and_then(|number| number.parse().ok()).unwrap_or(DEFAULT);
    let first = std::env::var("TWINSTORE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let fixture = fixture().await;
    rehearse(&fixture).await;
    let mut control = fixture.server.connect().await.unwrap();
    let mut done = 0;
    for seed in first.. {
        for then in [Interrupted::IsRepeated, Interrupted::Fails] {
            done += interrupt_everywhere(&fixture, &mut control, seed, then).await;
        }
        if done >= wanted {
            println!("{done} interrupted scripts, seeds {first} to {seed}; TWINSTORE_INTERRUPTIONS sets how many");
            return;
        }
    }
}
