//! How long faults interrupt writes: through the library, and for an independent client.

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{Call, History, Micros};

/// A time without an acknowledged write is attributed to a fault that ended at most this long before.
const AFTER: Micros = 3_000_000;

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
    /// By how much the library's time was longer than that of the independent client, at most: in each fault for the queue for
    /// which the independent client's time was the longest.
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

/// The pauses by kind of fault, if acknowledged writes have this many replicas.
pub(super) fn pauses(history: &History, replicas: u32) -> BTreeMap<String, Pause> {
    let mut writes: BTreeMap<&str, Vec<Micros>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.answer().is_some()) {
        if let Call::Push { queue, .. } | Call::Settle { queue, .. } = &operation.call {
            writes.entry(queue).or_default().push(operation.end);
        }
    }
    // later, only what is left is worked off
    let produced = history.operations.iter().filter(|operation| operation.actor.starts_with(PRODUCERS));
    let over = produced.map(|operation| operation.start).max().unwrap_or(Micros::MAX);
    writes.values_mut().for_each(|times| times.retain(|at| *at <= over));
    let mut queues = Vec::new();
    for (queue, times) in &mut writes {
        times.sort_unstable();
        let probes = |least: u32| {
            let mut times = history.probes.get(*queue).cloned().unwrap_or_default();
            times.retain(|(at, reached)| *reached >= least && *at <= over);
            times.sort_unstable();
            times.into_iter().map(|(at, _)| at).collect::<Vec<_>>()
        };
        queues.push((&*times, probes(replicas), probes(1)));
    }
    let mut pauses: BTreeMap<String, Pause> = BTreeMap::new();
    for (name, begin, end) in history.faults.iter().filter(|(name, ..)| name != crate::KILL_CACHE) {
        let pause = pauses.entry(name.clone()).or_default();
        let gap = |times: &[Micros]| longest_gap(times, *begin, *end);
        for (times, at_level, to_one) in &queues {
            pause.load = pause.load.max(gap(times).unwrap_or(0));
            pause.probe = pause.probe.max(gap(at_level));
            pause.probe_one = pause.probe_one.max(gap(to_one));
        }
        // a fault in a cluster concerns the queues of one node
        let concerned = queues.iter().filter_map(|(times, at_level, _)| Some((gap(at_level)?, gap(times)?))).max();
        pause.behind = pause.behind.max(concerned.map(|(probe, load)| load.saturating_sub(probe)));
    }
    pauses
}

/// The longest time between two of `times` that overlaps the fault.
fn longest_gap(times: &[Micros], begin: Micros, end: Micros) -> Option<Micros> {
    let overlaps = |pair: &&[Micros]| pair[1] > begin && pair[0] < end + AFTER;
    times.windows(2).filter(overlaps).map(|pair| pair[1] - pair[0]).max()
}
