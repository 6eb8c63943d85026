//! Scripts that end after each of their writes, as `crashes` has it for few jobs: random queues, one call, each number of
//! writes. The link repeats the interrupted call, or gives it up; then a worker drains the queue.
//!
//! `TWINSTORE_INTERRUPTIONS` sets the number of interrupted scripts of each test. Each queue is restored before each of them.

mod call;
mod drain;
mod scenario;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_link::keys::QueueKeys;
use state_store::{StateOptions, StateStore};
use store_core::{
    ClaimRequest, Extension, HolderName, JobId, ManualClock, NewJob, Outcome, QueueName, RequestId, Settlement,
    Timestamp, Waiter,
};
use testkit::{Interrupted, RespConnection, Value};

use self::call::Call;
use self::scenario::Scenario;
use super::LEASE;
use super::crashes::{Fixture, fixture_with};
use crate::namespace;

/// How many scripts each of the tests interrupts: 20,000 together.
const EACH: usize = 5000;

/// Names of queues. Those that end so have two partitions.
const TWO: &str = "-2";

/// KEYS: those of a queue. ARGV: those of the one from which they are copied.
const COPY: &str = "for i, key in ipairs(KEYS) do
  redis.call('DEL', key)
  if redis.call('EXISTS', ARGV[i]) == 1 then redis.call('COPY', ARGV[i], key) end
end";

/// Counts the batches that differ. KEYS: the keys of a queue. ARGV: those of its copy.
const BATCHES: &str = "local n = 0
local function differing(one, other)
  local pairs_of = redis.call('HGETALL', one)
  for i = 1, #pairs_of, 2 do
    if pairs_of[i]:byte() == 2 and redis.call('HGET', other, pairs_of[i]) ~= pairs_of[i + 1] then n = n + 1 end
  end
end
for first = 0, #KEYS - 1, 14 do
  for i = 1, 2 do
    differing(KEYS[first + i], ARGV[first + i])
    differing(ARGV[first + i], KEYS[first + i])
  end
end
return n";

/// The calls that may change a batch. Dead jobs are never in a batch.
const CHANGE_BATCHES: [&str; 7] = ["push", "claim", "settle", "extend", "cancel", "delete", "promote"];

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// A worker completed it while the queue was drained.
    Done,
    Dead,
    /// It was not there any more.
    Gone,
}

/// A server, and two waiters that exist as long as it does: nobody gives back what they are handed.
struct Environment {
    fixture: Fixture,
    control: tokio::sync::Mutex<RespConnection>,
    waiters: [Arc<dyn Waiter>; 2],
    /// How often jobs were handed over.
    handed_over: AtomicUsize,
}

impl Environment {
    async fn new() -> Self {
        let queues = ["interrupted", "backup", "rehearsal"].map(|name| queue(name, 2));
        let options =
            queues.into_iter().fold(StateOptions::default(), |options, queue| options.with_partitions(queue, 2));
        let fixture = fixture_with(options).await;
        let waiter = |store: &StateStore| store_core::Queue::waiter(store);
        let waiters = [waiter(&fixture.store), waiter(&fixture.store)];
        let control = fixture.server.connect().await.unwrap().into();
        Self { fixture, control, waiters, handed_over: AtomicUsize::new(0) }
    }

    /// Runs a script on keys.
    async fn on_keys(&self, script: &str, keys: &[String], args: &[String]) -> Value {
        let count = keys.len().to_string();
        let command = ["EVAL", script, &count].into_iter().chain(keys.iter().chain(args).map(String::as_str));
        self.control.lock().await.command(&command.collect::<Vec<_>>()).await.unwrap()
    }
}

fn queue(name: &str, partitions: u16) -> QueueName {
    QueueName::new(format!("{name}{}", if partitions == 2 { TWO } else { "" })).unwrap()
}

/// The keys of a queue, 14 for each partition.
fn keys(queue: &QueueName) -> Vec<String> {
    let partitions = if queue.as_str().ends_with(TWO) { 2 } else { 1 };
    let of = |partition| {
        let keys = QueueKeys::new(&namespace(), queue, partition, partitions);
        let [a, b, c, d] = keys.ready;
        let (first, rest) = ([keys.jobs, keys.state, a, b, c, d], [keys.due, keys.leased, keys.completed, keys.dead]);
        let last = [keys.unique, keys.unique_until, keys.meta, keys.waiters];
        first.into_iter().chain(rest).chain(last)
    };
    (0..partitions).flat_map(of).collect()
}

fn name_of(job: &NewJob) -> String {
    String::from_utf8(job.payload.to_vec()).unwrap()
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

/// Has the proxy learn all scripts.
async fn rehearse(environment: &Environment) {
    let scenario = Scenario::empty(environment, queue("rehearsal", 1), 0);
    let job = NewJob::new("a").with_id(JobId::new("a").unwrap());
    scenario.run(&Call::Push(vec![job])).await.unwrap();
    let request = ClaimRequest::new(scenario.queue.clone(), HolderName::new("w").unwrap(), 1, LEASE);
    let lease = scenario.claim(&request, None).await.unwrap().jobs.remove(0).lease;
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

/// Whether settlements have the same outcomes, as far as they are known when they are repeated.
fn is_as_known(answer: &str, repeated: &str) -> bool {
    let words = |text: &str| text.trim_matches(['[', ']']).split(", ").map(str::to_owned).collect::<Vec<_>>();
    let (answer, repeated) = (words(answer), words(repeated));
    let is_same = |(one, other): (&String, &String)| other == "Unknown" || one == other;
    answer.len() == repeated.len() && answer.iter().zip(&repeated).all(is_same)
}

/// Interrupts the call of one scenario after each number of writes. Returns the script, the number of interruptions, and whether
/// the script changes batches.
#[allow(clippy::print_stdout, reason = "shown when it fails")]
async fn interrupt_everywhere(
    environment: &Environment,
    seed: u64,
    partitions: u16,
    then: Interrupted,
) -> (&'static str, usize, bool) {
    let Environment { fixture, .. } = environment;
    let queue_name = queue("interrupted", partitions);
    let (own, backup) = (keys(&queue_name), keys(&queue("backup", partitions)));
    environment.on_keys("redis.call('DEL', unpack(KEYS))", &own, &[]).await;
    set_back(&fixture.clock, Timestamp::from_millis(1_800_000_000_000));
    let mut scenario = Scenario::new(environment, queue_name, seed).await;
    let mut call = scenario.any_call();
    let began = fixture.clock.now();
    environment.on_keys(COPY, &backup, &own).await;
    let answer = scenario.run(&call).await.unwrap();
    let changes_batches = environment.on_keys(BATCHES, &own, &backup).await.as_integer() > Some(0);
    let expected = scenario.drain(BTreeMap::new()).await;
    let may_end = (then == Interrupted::Fails).then(|| scenario.may_end(&call));
    // Which jobs are leased to which waiter is random, and so is whether their deliveries count.
    let named = if scenario.has_waiters { BTreeSet::new() } else { scenario.named(&call) };
    let names: BTreeSet<&String> = expected.keys().chain(scenario.names.values()).collect();
    let names: Vec<&String> = names.into_iter().collect();
    for writes in 0.. {
        environment.on_keys(COPY, &own, &backup).await;
        set_back(&fixture.clock, began);
        if let Call::Claim(request, _) = &mut call {
            // Nothing remembers an earlier run of it.
            request.request = RequestId::generate();
        }
        println!("seed {seed}: {} ends after {writes} writes, then {then:?}: {call:?}", call.script());
        fixture.proxy.interrupt(call.script(), writes, then).await.unwrap();
        let outcome = scenario.run(&call).await;
        let was_interrupted = fixture.proxy.heal().await.unwrap();
        let mut ends = BTreeMap::new();
        match (&outcome, &call) {
            // Of a job that is gone, it may be unknown whether the interrupted copy settled it.
            (Ok(repeated), Call::Settle(_)) => {
                assert!(is_as_known(&answer, repeated), "{repeated} instead of {answer}")
            }
            (Ok(repeated), _) => assert_eq!(*repeated, answer, "the answer of the repetition"),
            (Err(error), _) if then == Interrupted::IsRepeated => panic!("{error}"),
            // Some workers repeat their claims.
            (Err(_), Call::Claim(request, by)) if writes % 2 == 0 => {
                let claim = scenario.claim(&request.clone().repeated(), *by).await.unwrap();
                scenario.complete(claim.jobs, &mut ends).await;
            }
            (Err(_), _) => {}
        }
        let ends = scenario.drain(ends).await;
        compare(&expected, &ends, &names, may_end.as_ref(), &named);
        let unknown: Vec<_> = ends.keys().filter(|name| !names.contains(name)).collect();
        assert!(unknown.is_empty(), "jobs that nobody pushed: {unknown:?}");
        if !was_interrupted {
            return (call.name(), writes, changes_batches);
        }
    }
    (call.name(), 0, false)
}

/// Interrupts scripts on queues of so many partitions.
#[allow(clippy::print_stdout, reason = "the number of interruptions is the result")]
async fn interrupt_all(then: Interrupted, partitions: u16) {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let (wanted, first) = (number("TWINSTORE_INTERRUPTIONS").unwrap_or(EACH), number("TWINSTORE_SEED").unwrap_or(1));
    let environment = Environment::new().await;
    rehearse(&environment).await;
    let (mut done, mut of_batches): (BTreeMap<&str, usize>, BTreeMap<&str, usize>) = Default::default();
    for seed in first as u64.. {
        let (script, interruptions, changes_batches) = interrupt_everywhere(&environment, seed, partitions, then).await;
        *done.entry(script).or_default() += interruptions;
        *of_batches.entry(script).or_default() += if changes_batches { interruptions } else { 0 };
        let total: usize = done.values().sum();
        if total >= wanted {
            let handed_over = environment.handed_over.load(Ordering::Relaxed);
            println!("{total} interrupted scripts, seeds {first} to {seed}: {done:?}; {handed_over} hand-overs");
            println!("those that change batches: {of_batches:?}");
            let least = done.values().min().copied().unwrap_or(0);
            assert!(wanted < EACH || done.len() == 8 && least > 50 && handed_over > 100, "{done:?}");
            let least = CHANGE_BATCHES.map(|script| of_batches.get(script).copied().unwrap_or(0)).into_iter().min();
            assert!(wanted < EACH || least > Some(50), "{of_batches:?}");
            return;
        }
    }
}

#[tokio::test]
async fn repeated_scripts_lead_where_they_would_have_led_after_any_write() {
    interrupt_all(Interrupted::IsRepeated, 1).await;
}

#[tokio::test]
async fn no_job_is_lost_when_a_script_ends_after_any_write() {
    interrupt_all(Interrupted::Fails, 1).await;
}

#[tokio::test]
async fn repeated_scripts_lead_where_they_would_have_led_in_two_partitions() {
    interrupt_all(Interrupted::IsRepeated, 2).await;
}

#[tokio::test]
async fn no_job_is_lost_in_two_partitions() {
    interrupt_all(Interrupted::Fails, 2).await;
}
