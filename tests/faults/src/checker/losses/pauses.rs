//! How long faults interrupt writes: through the library, and for an independent client.

use std::collections::BTreeMap;
use std::fmt;

use super::super::{Findings, Rule};
use crate::history::{Call, History, Micros};
use crate::topology::PrimaryFault;

/// A time without an acknowledged write is attributed to a fault that ended at most this long before.
const AFTER: Micros = 3_000_000;

/// A longer time without a success of the independent client is an interruption.
const INTERRUPTED: Micros = 500_000;

/// How much later than the independent client the library may succeed again.
const BEHIND: Micros = 2_000_000;

/// Within this time after the begin of a failover, writes with at most one replica succeed again, if those of the independent client
/// do.
const RECOVERED: Micros = 5_000_000;

/// What the names of the actors begin with that push until the load ends.
const PRODUCERS: &str = "clients/producer";

/// The longest interruptions of writes to one queue during faults of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pause {
    /// The longest time without an acknowledged push or settlement.
    pub load: Micros,
    /// The longest time in which no write of an independent client, directly to the servers, reached as many replicas.
    pub probe: Option<Micros>,
    /// The longest time in which no such write reached one replica.
    pub probe_one: Option<Micros>,
    /// How much later than those of the independent client the library's writes succeeded again, at most.
    pub behind: Option<Micros>,
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |time: Option<Micros>| time.map_or_else(|| "-".to_owned(), |time| format!("{} ms", time / 1000));
        let Self { load, probe, probe_one, behind } = self;
        write!(f, "{:>6} ms without an acknowledged write to one queue", load / 1000)?;
        write!(f, "; an independent client: {}, to one replica {}", millis(*probe), millis(*probe_one))?;
        write!(f, "; the library later by at most {}", millis(*behind))
    }
}

/// The times of the successes of one queue.
struct Queue<'a> {
    name: &'a str,
    writes: Vec<Micros>,
    /// Of the independent client, with as many replicas.
    at_level: Vec<Micros>,
    /// The same, with one replica.
    to_one: Vec<Micros>,
}

/// The pauses by kind of fault, if acknowledged writes have this many replicas. Reports those that are too long.
pub(super) fn pauses(history: &History, replicas: u32, found: &mut Findings) -> BTreeMap<String, Pause> {
    let queues = queues(history, replicas);
    let mut pauses: BTreeMap<String, Pause> = BTreeMap::new();
    for (name, begin, end) in history.faults.iter().filter(|(name, ..)| name != crate::KILL_CACHE) {
        let pause = pauses.entry(name.clone()).or_default();
        let longest = |times: &[Micros]| gaps(times, *begin, *end).map(|(from, until)| until - from).max();
        for queue in &queues {
            pause.load = pause.load.max(longest(&queue.writes).unwrap_or(0));
            pause.probe = pause.probe.max(longest(&queue.at_level));
            pause.probe_one = pause.probe_one.max(longest(&queue.to_one));
            // without an independent client there is nothing to compare with
            for gap in gaps(&queue.writes, *begin, *end).filter(|_| !queue.at_level.is_empty()) {
                let back = back(&queue.at_level, gap);
                let behind = gap.1 - back;
                pause.behind = pause.behind.max(Some(behind));
                let what = |time: Micros| format!("{}, {} ms, {name} at {begin}", queue.name, time / 1000);
                if behind > BEHIND {
                    found.add(Rule::WritesBehind, what(behind), []);
                }
                let since = gap.0.max(*begin);
                let is_prompt = back.saturating_sub(since) <= RECOVERED;
                if is_failover(name) && replicas <= 1 && is_prompt && gap.1 - since > RECOVERED {
                    found.add(Rule::WritesLate, what(gap.1 - since), []);
                }
            }
        }
    }
    pauses
}

/// Whether the fault replaces a healthy primary immediately.
fn is_failover(name: &str) -> bool {
    [PrimaryFault::Kill, PrimaryFault::Stop, PrimaryFault::Failover].iter().any(|fault| fault.name() == name)
}

fn queues(history: &History, replicas: u32) -> Vec<Queue<'_>> {
    let mut writes: BTreeMap<&str, Vec<Micros>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.answer().is_some()) {
        if let Call::Push { queue, .. } | Call::Settle { queue, .. } = &operation.call
            // the entries of an outbox are settled only after a delivery that failed
            && !queue.ends_with(crate::OUTBOX)
        {
            writes.entry(queue).or_default().push(operation.end);
        }
    }
    let produced = history.operations.iter().filter(|operation| operation.actor.starts_with(PRODUCERS));
    let probed = history.probes.values().flatten().map(|(at, _)| *at);
    // later, only what is left is worked off
    let over = produced.map(|operation| operation.start).chain(probed).max();
    let until_then = |mut times: Vec<Micros>| {
        times.retain(|at| over.is_none_or(|over| *at <= over));
        times.sort_unstable();
        // what is interrupted at the end was interrupted at least so long
        if let (Some(over), false) = (over, times.is_empty()) {
            times.push(over);
        }
        times
    };
    let probes = |name: &str, least: u32| {
        let all = history.probes.get(name).into_iter().flatten();
        until_then(all.filter(|(_, reached)| *reached >= least).map(|(at, _)| *at).collect())
    };
    let all = writes.into_iter().map(|(name, times)| Queue {
        name,
        writes: until_then(times),
        at_level: probes(name, replicas),
        to_one: probes(name, 1),
    });
    all.collect()
}

/// The times between two of `times` that overlap the fault.
fn gaps(times: &[Micros], begin: Micros, end: Micros) -> impl Iterator<Item = (Micros, Micros)> {
    let overlaps = move |pair: &&[Micros]| pair[1] > begin && pair[0] < end + AFTER;
    times.windows(2).filter(overlaps).map(|pair| (pair[0], pair[1]))
}

/// Since when the independent client's writes succeed without an interruption, within an interruption of the library's writes.
fn back(probes: &[Micros], (from, until): (Micros, Micros)) -> Micros {
    let interruptions = probes.windows(2).filter(|pair| pair[1] - pair[0] > INTERRUPTED && pair[0] < until);
    interruptions.map(|pair| pair[1]).max().unwrap_or(from).clamp(from, until)
}
