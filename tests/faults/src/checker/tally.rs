//! Counts of a history: operations, lost replies, repeated deliveries, faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::job;
use crate::history::{Call, Effect, History, Micros, Operation, Outcome, PushAnswer, Reply};

/// Counts of a history.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// By operation.
    pub operations: BTreeMap<&'static str, OpTally>,
    /// How many errors of each kind there were.
    pub errors: BTreeMap<String, u64>,
    /// How many faults of each kind there were.
    pub faults: BTreeMap<String, u64>,
    /// For each kind of fault, the longest time in microseconds from its end to the first answer of an operation that began
    /// after the fault did.
    pub recovery: BTreeMap<String, Micros>,
    /// Acknowledged calls to the state store, without reads and claims.
    pub writes: u64,
    /// Jobs of which a push was acknowledged.
    pub pushed: u64,
    /// Jobs of which a completion was acknowledged.
    pub completed: u64,
    /// Jobs that were dead after the drain.
    pub dead: u64,
    /// Jobs of which a cancellation or deletion was acknowledged.
    pub removed: u64,
    /// Deliveries to handlers.
    pub handled: u64,
    /// Deliveries of a job under one fence after it had been delivered under another and no settlement of that was
    /// acknowledged. At-least-once delivery permits these.
    pub redelivered: u64,
}

/// Counts of one operation.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpTally {
    /// How often it was answered.
    pub acknowledged: u64,
    /// How often it was answered with an error that states that it was not executed.
    pub not_executed: u64,
    /// How often it may have been executed: the reply was lost, or its process was killed.
    pub unknown: u64,
}

impl Tally {
    pub(super) fn of(history: &History) -> Self {
        let mut tally = Self::default();
        for operation in &history.operations {
            let counts = tally.operations.entry(operation.call.name()).or_default();
            match (&operation.reply, operation.effect) {
                (Some(Reply::Ok(_)), _) => {
                    counts.acknowledged += 1;
                    tally.writes += u64::from(operation.call.is_write());
                }
                (_, Effect::None) => counts.not_executed += 1,
                _ => counts.unknown += 1,
            }
            if let Some(Reply::NotExecuted(kind) | Reply::Unknown(kind)) = &operation.reply {
                *tally.errors.entry(kind.clone()).or_default() += 1;
            }
        }
        tally.count_jobs(history);
        tally.count_faults(history);
        tally
    }

    fn count_jobs(&mut self, history: &History) {
        for job in job::collect(history).values() {
            self.pushed += u64::from(job.pushes.iter().any(|push| push.answer == Some(&PushAnswer::Created)));
            self.completed += u64::from(job.settlements.iter().any(|settlement| {
                matches!(settlement.outcome, Outcome::Complete | Outcome::CompleteKept)
                    && settlement.counts == Some(true)
            }));
            self.dead += u64::from(job.listed.iter().any(|(state, _)| *state == "dead"));
            let removed = |word: Option<&str>| matches!(word, Some("removed" | "deleted"));
            self.removed += u64::from(job.cancels.iter().chain(&job.deletes).any(|control| removed(control.word)));
            self.handled += job.handlers.len() as u64;
            let settled: BTreeSet<u64> =
                job.settlements.iter().filter(|end| end.counts == Some(true)).map(|end| end.fence).collect();
            let fences: BTreeSet<u64> = job.handlers.iter().map(|(fence, _)| *fence).collect();
            let unsettled = fences.iter().rev().skip(1).filter(|fence| !settled.contains(fence)).count();
            self.redelivered += unsettled as u64;
        }
    }

    fn count_faults(&mut self, history: &History) {
        let answered = |operation: &&Operation| {
            operation.answer().is_some() && !matches!(operation.call, Call::Handle { .. } | Call::Write { .. })
        };
        let mut ends: Vec<_> = history.operations.iter().filter(answered).collect();
        ends.sort_by_key(|operation| operation.end);
        for (name, begin, end) in &history.faults {
            *self.faults.entry(name.clone()).or_default() += 1;
            // the part after the kind names the target of the fault
            let concerned = name.split_once(' ').map_or("", |(_, concerned)| concerned);
            let first = ends[ends.partition_point(|operation| operation.end < *end)..].iter().find(|operation| {
                operation.start >= *begin && (operation.actor.starts_with(concerned) || is_state(concerned, operation))
            });
            if let Some(first) = first {
                let longest = self.recovery.entry(name.clone()).or_default();
                *longest = (*longest).max(first.end - end);
            }
        }
    }
}

fn is_state(concerned: &str, operation: &Operation) -> bool {
    match concerned {
        "state" => !operation.call.is_of_cache(),
        "cache" => operation.call.is_of_cache(),
        _ => false,
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<22}{:>14}{:>14}{:>14}", "operation", "acknowledged", "not executed", "unknown")?;
        for (name, counts) in &self.operations {
            let OpTally { acknowledged, not_executed, unknown } = counts;
            writeln!(f, "{name:<22}{acknowledged:>14}{not_executed:>14}{unknown:>14}")?;
        }
        let errors: Vec<_> = self.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        writeln!(f, "errors: {}", if errors.is_empty() { "none".to_owned() } else { errors.join(", ") })?;
        writeln!(
            f,
            "jobs: {} pushed, {} completed, {} dead, {} cancelled or deleted; {} deliveries, {} of them again before an \
             end was acknowledged",
            self.pushed, self.completed, self.dead, self.removed, self.handled, self.redelivered
        )?;
        writeln!(f, "\n{:<34}{:>6}{:>20}", "fault", "times", "longest recovery")?;
        for (name, times) in &self.faults {
            let recovery = self.recovery.get(name).map_or_else(|| "-".to_owned(), |time| format!("{} ms", time / 1000));
            writeln!(f, "{name:<34}{times:>6}{recovery:>20}")?;
        }
        write!(f, "{} faults", self.faults.values().sum::<u64>())
    }
}
