//! What commits send elsewhere. A job that a commit sends, and its entry in the outbox, are jobs that the commit has pushed; an event
//! that it sends is one that it has appended. So the rules for jobs and topics apply: what an acknowledged commit sends is there after the
//! run, or was there once, and what a refused one sends is not. After the run the outboxes are empty.

use super::job::{Job, Jobs, Settlement};
use super::jobs::undone_settlement;
use super::losses::is_failover;
use crate::history::{Answer, Call, Destination, History, Micros, Operation, PushedJob, Sent};

/// The jobs of a delivery: its entry, and what it pushes.
pub(super) fn jobs(sent: &Sent) -> impl Iterator<Item = (&str, &PushedJob)> {
    let pushed = match &sent.to {
        Destination::Job { queue, job } => Some((queue.as_str(), job)),
        Destination::Event { .. } => None,
    };
    [(sent.outbox.as_str(), &sent.entry)].into_iter().chain(pushed)
}

/// The deliveries that may arrive twice: the acknowledged removal of their entries was undone, which is a violation unless a failover has
/// done so.
pub(super) fn arriving_again<'a>(history: &'a History, jobs: &Jobs<'a>) -> Vec<&'a Sent> {
    let is_undone = |sent: &&Sent| {
        let entry = jobs.get(&(sent.outbox.as_str(), sent.entry.id.as_str()));
        entry.is_some_and(|entry| undone_settlement(entry).is_some())
    };
    all(history).filter(is_undone).collect()
}

/// If the reply to the settlement of an entry is lost and the entry is gone, it counts as delivered, also if another process removed it. So a
/// delivery that lasts until a holder with a newer fence delivers the entry may not have removed it.
pub(super) fn admit_removals_by_others(job: &mut Job<'_>) {
    let newer = |settlement: &Settlement<'_>| {
        job.settlements.iter().any(|newer| {
            newer.fence > settlement.fence
                && newer.counts != Some(false)
                && newer.operation.start < settlement.operation.end
                && newer.operation.latest() > settlement.operation.start
        })
    };
    let is_delivery = |settlement: &Settlement<'_>| matches!(settlement.operation.call, Call::Deliver { .. });
    let by_others: Vec<bool> =
        job.settlements.iter().map(|settlement| is_delivery(settlement) && newer(settlement)).collect();
    for (settlement, _) in job.settlements.iter_mut().zip(by_others).filter(|(_, by_others)| *by_others) {
        settlement.counts = settlement.counts.filter(|counts| !counts);
    }
}

/// Whether a commit may have been done, or was not executed. If it is refused during a failover, the primary that was replaced may have
/// done an earlier copy of it.
pub(super) fn may_be_done(history: &History, commit: &Operation) -> bool {
    let is_during =
        |(name, begin, end): &(String, Micros, Micros)| is_failover(name) && *begin < commit.end && *end > commit.start;
    let has_failovers = history.run.as_ref().is_some_and(|run| run.has_failovers);
    commit.answer() != Some(&Answer::One(false)) || has_failovers && history.faults.iter().any(is_during)
}

/// The deliveries of commits that may have been executed.
fn all(history: &History) -> impl Iterator<Item = &Sent> {
    let sent = history.operations.iter().filter_map(|operation| match &operation.call {
        Call::Commit { sent, .. } if operation.latest() > 0 && may_be_done(history, operation) => Some(sent),
        _ => None,
    });
    sent.flatten()
}
