//! The rules for schedules. Those of a run fire every second, and catch up what they have missed.

use std::collections::{BTreeMap, BTreeSet};

use super::job;
use super::{Findings, Rule};
use crate::FIRES_EVERY_MS;
use crate::history::{Answer, Call, Effect, History, Operation};

/// A firing that may have been executed. If the job of a superseded firing was delivered, an earlier copy of the call was executed.
struct Firing<'a> {
    job: &'a str,
    operation: &'a Operation,
    /// Whether an answer shows that it was executed: its own, or one that shows its job.
    is_shown: bool,
}

pub(super) fn check(history: &History, found: &mut Findings) {
    let jobs = job::collect(history);
    let mut schedules: BTreeMap<(&str, &str), BTreeMap<u64, Vec<Firing<'_>>>> = BTreeMap::new();
    for operation in &history.operations {
        let Call::Advance { queue, schedule, due_ms, jobs: pushed } = &operation.call else { continue };
        if operation.effect == Effect::None {
            continue;
        }
        let is_superseded = operation.answer() == Some(&Answer::One(false));
        for (due, job) in due_ms.iter().zip(pushed) {
            let id = job.id.as_str();
            let is_seen = jobs.get(&(queue, id)).is_some_and(|job| !job.claims.is_empty() || !job.listed.is_empty());
            if is_superseded && !is_seen {
                continue;
            }
            let is_shown = operation.answer().is_some() || is_seen;
            let firing = Firing { job: id, operation, is_shown };
            schedules.entry((queue, schedule)).or_default().entry(*due).or_default().push(firing);
        }
    }
    for ((queue, schedule), times) in &schedules {
        let subject = |due: u64| format!("{due} of {schedule} of {queue}");
        for (due, firings) in times {
            let mut shown = firings.iter().filter(|firing| firing.is_shown);
            let Some(first) = shown.next() else { continue };
            if let Some(other) = shown.find(|other| other.job != first.job) {
                found.add(Rule::FiringRepeated, subject(*due), [first.operation, other.operation]);
            }
        }
        check_missed(times, subject, found);
    }
}

/// Each time between the first firing and the last one has a firing.
fn check_missed(times: &BTreeMap<u64, Vec<Firing<'_>>>, subject: impl Fn(u64) -> String, found: &mut Findings) {
    let is_shown = |firings: &&Vec<Firing<'_>>| firings.iter().any(|firing| firing.is_shown);
    let shown: BTreeSet<u64> = times.iter().filter(|(_, firings)| is_shown(firings)).map(|(due, _)| *due).collect();
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return };
    let mut before = *first;
    for due in (*first..=*last).step_by(FIRES_EVERY_MS as usize) {
        if !times.contains_key(&due) {
            let after = shown.range(due..).next().unwrap_or(last);
            let of = |due: &u64| times[due].iter().map(|firing| firing.operation);
            found.add(Rule::FiringMissed, subject(due), of(&before).chain(of(after)));
            return;
        }
        before = due;
    }
}
