//! Which operations failovers may undo, and which jobs the loss reports must name.
//!
//! A failover may lose writes that a replica has not confirmed: they took effect and vanish with the old primary. So a
//! contradiction between an operation before a failover and one after it is no violation if the first was not confirmed. Such
//! contradictions are counted. A loss report must name each job whose acknowledged push vanished.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use super::job::{self, Job};
use super::{Findings, Rule, Violation, jobs};
use crate::history::{Answer, Call, History, Micros, Operation, PushAnswer};

/// Each write that a loss report names was acknowledged at most this long before the fault.
const EARLY: Micros = 1_000_000;

/// The effects of failovers.
#[derive(Debug, Clone, Default)]
pub struct LossTally {
    /// The number of contradictions that a failover explains, by rule.
    pub explained: BTreeMap<Rule, u64>,
    /// The number of jobs whose acknowledged push vanished.
    pub lost: u64,
    /// How many of them a loss report names.
    pub named: u64,
    /// The number of pushed jobs that loss reports name.
    pub reported: u64,
    /// For each kind of fault, the longest time around it in which no push or settlement of one queue was acknowledged.
    pub longest_gap: BTreeMap<String, Micros>,
}

impl fmt::Display for LossTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, named, reported, .. } = self;
        write!(
            f,
            "acknowledged pushes that vanished: {lost}, {named} of them named by loss reports, which name {reported}"
        )?;
        for (rule, count) in &self.explained {
            write!(f, "\n{count:>6} {rule} explained by a failover")?;
        }
        for (name, gap) in &self.longest_gap {
            write!(f, "\n{name:<34}{:>6} ms without an acknowledged write to one queue", gap / 1000)?;
        }
        Ok(())
    }
}

/// Removes the contradictions that a failover explains from the findings, and checks the loss reports.
pub(super) fn check(history: &History, found: &mut Findings) -> LossTally {
    let mut tally = LossTally::default();
    let Some(run) = history.run.as_ref().filter(|run| run.has_failovers) else { return tally };
    let reported: HashSet<(&str, &str)> = history
        .losses
        .iter()
        .flat_map(|loss| loss.lost.iter().chain(&loss.unknown))
        .filter(|write| write.is_push)
        .flat_map(|write| write.jobs.iter().map(|job| (write.name.as_str(), job.as_str())))
        .collect();
    tally.longest_gap = longest_gaps(history);
    tally.reported = reported.len() as u64;
    let by_name = job::collect(history);
    let subjects: HashMap<String, (&str, &str)> =
        by_name.keys().map(|(queue, id)| (format!("{id} of {queue}"), (*queue, *id))).collect();
    let mut unnamed = Vec::new();
    found.violations.retain(|violation| {
        let job = subjects.get(&violation.subject).and_then(|name| Some((*name, by_name.get(name)?)));
        if !is_explained(history, violation, job.map(|(_, job)| job), run.is_replicated) {
            return true;
        }
        *tally.explained.entry(violation.rule).or_default() += 1;
        if let (Rule::JobLost, Some((name, _))) = (violation.rule, job.filter(|(_, job)| is_acknowledged(job))) {
            tally.lost += 1;
            if reported.contains(&name) {
                tally.named += 1;
            } else {
                unnamed.push(violation.clone());
            }
        }
        false
    });
    for Violation { subject, evidence, .. } in unnamed {
        found.add(Rule::LossUnnamed, subject, &evidence);
    }
    check_reports(history, found);
    tally
}

/// A time without an acknowledged write is attributed to a fault that ended at most this long before.
const AFTER: Micros = 3_000_000;

fn longest_gaps(history: &History) -> BTreeMap<String, Micros> {
    let mut writes: BTreeMap<&str, Vec<Micros>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.answer().is_some()) {
        if let Call::Push { queue, .. } | Call::Settle { queue, .. } = &operation.call {
            writes.entry(queue).or_default().push(operation.end);
        }
    }
    let mut longest = BTreeMap::new();
    for times in writes.values_mut() {
        times.sort_unstable();
        for (name, begin, end) in history.faults.iter().filter(|(name, ..)| name != crate::KILL_CACHE) {
            let overlaps = |pair: &&[Micros]| pair[1] > *begin && pair[0] < end + AFTER;
            let gap = times.windows(2).filter(overlaps).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
            let known = longest.entry(name.clone()).or_insert(0);
            *known = gap.max(*known);
        }
    }
    longest
}

/// A report names no write that was acknowledged long before the fault.
fn check_reports(history: &History, found: &mut Findings) {
    for loss in &history.losses {
        let before = history.faults.iter().filter(|(_, begin, _)| *begin < loss.at).map(|(_, begin, _)| *begin);
        let Some(fault) = before.max() else { continue };
        for write in loss.lost.iter().filter(|write| write.at + EARLY < fault) {
            let early = fault - write.at;
            let subject = format!("{} of {}, {early} us before the fault, to {}", write.op, write.name, loss.actor);
            found.add(Rule::LossTooOld, subject, []);
        }
    }
}

/// Whether a failover may have undone an operation of the evidence.
fn is_explained(history: &History, violation: &Violation, job: Option<&Job<'_>>, is_replicated: bool) -> bool {
    let first = violation.evidence.iter().map(|operation| operation.start).min();
    let last = violation.evidence.iter().map(|operation| operation.latest().min(operation.end)).max();
    let (Some(first), Some(mut last)) = (first, last) else { return false };
    if violation.rule == Rule::JobLost {
        // the listing without the job is the last operation
        last = Micros::MAX;
    }
    let failovers = history.faults.iter().filter(|(name, ..)| name != crate::KILL_CACHE);
    let undone = failovers.clone().any(|(_, begin, end)| *end > first && *begin < last);
    undone && (!is_replicated || may_be_unconfirmed(violation, job))
}

/// Whether the evidence has an operation that replicas may not have confirmed, although they confirm every push, settlement,
/// acquisition, beat and idempotent request.
fn may_be_unconfirmed(violation: &Violation, job: Option<&Job<'_>>) -> bool {
    let has = |matches: fn(&Call) -> bool| violation.evidence.iter().any(|operation| matches(&operation.call));
    match violation.rule {
        // the push was not acknowledged, although the job was delivered
        Rule::JobLost => job.is_some_and(|job| !is_acknowledged(job)),
        Rule::JobRevived | Rule::HandledAfterEnd => {
            has(|call| matches!(call, Call::Cancel { .. } | Call::Delete { .. }))
                && !violation.evidence.iter().any(is_settled)
        }
        Rule::StaleSettlement | Rule::JobLeasedTwice | Rule::Paused => true,
        // a renewal, a release, an abandonment or a leave may be lost
        Rule::LeasesOverlap | Rule::LeaseLostEarly | Rule::RegisterRefused => true,
        Rule::LeaseUnknown => has(|call| matches!(call, Call::Release { .. })),
        Rule::InProgressOfNobody | Rule::MemberStale => true,
        _ => false,
    }
}

/// Whether the last push of the job was acknowledged, and nothing can have removed the job since.
fn is_acknowledged(job: &Job<'_>) -> bool {
    let created = job.pushes.iter().filter(|push| push.answer == Some(&PushAnswer::Created));
    let last = created.map(|push| push.operation.start).max();
    last.is_some_and(|last| !jobs::removals(job).any(|until| until >= last))
}

fn is_settled(operation: &Operation) -> bool {
    matches!((&operation.call, operation.answer()), (Call::Settle { .. }, Some(Answer::Each(_))))
}
