//! Which contradictions a failover explains.

use super::super::job::Job;
use super::super::{Rule, Violation};
use super::is_acknowledged;
use crate::history::{Answer, Call, History, Micros, Operation};

/// Whether a failover may have undone an operation of the evidence.
pub(super) fn is_explained(
    history: &History,
    violation: &Violation,
    job: Option<&Job<'_>>,
    is_replicated: bool,
) -> bool {
    if matches!(violation.rule, Rule::TopicEventSkipped | Rule::CommitPartial | Rule::CommitRefused) {
        // a replica has no acknowledgement of an event that it does not have, and a script as a whole or not at all
        return false;
    }
    let mut first = violation.evidence.iter().map(|operation| operation.start).min();
    let mut last = violation.evidence.iter().map(|operation| operation.latest().min(operation.end)).max();
    if violation.rule == Rule::JobLost {
        // from the last answer that shows it to the listing without it
        first = job.and_then(|job| job.last_seen()).map(|seen| seen.start).or(first);
        last = Some(Micros::MAX);
    }
    let (Some(first), Some(last)) = (first, last) else { return false };
    let mut failovers = history.faults.iter().filter(|(name, ..)| is_failover(name));
    let undone = failovers.any(|(_, begin, end)| *end > first && *begin < last);
    undone && (!is_replicated || may_be_unconfirmed(violation, job))
}

/// Whether this fault may replace a primary.
pub(in super::super) fn is_failover(name: &str) -> bool {
    ![crate::KILL_CACHE, crate::MOVE_SLOTS].contains(&name)
}

/// Whether the evidence has an operation that replicas may not have confirmed, although they confirm every push, settlement,
/// acquisition, renewal, beat and idempotent request.
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
        // a release, an abandonment or a leave may be lost
        Rule::LeaseUnknown => has(|call| matches!(call, Call::Release { .. })),
        Rule::InProgressOfNobody | Rule::MemberStale => true,
        // a take-over requests no durability, and what an answer shows need not have been acknowledged
        Rule::TokenFence
        | Rule::PositionRepeated
        | Rule::PositionSkipped
        | Rule::TokenUnknown
        | Rule::StepFence
        | Rule::OutputChanged => violation.evidence.iter().any(is_read),
        // a read requests no durability, and a replaced primary may still answer it
        Rule::TopicEventChanged
        | Rule::TopicEventRepeated
        | Rule::TopicEventAgain
        | Rule::TopicFence
        | Rule::TopicStale
        | Rule::TopicOverlap => has(|call| matches!(call, Call::ReadTopic { .. })),
        // the job of a firing that was not acknowledged was delivered
        Rule::FiringRepeated => violation.evidence.iter().any(|operation| operation.answer().is_none()),
        _ => false,
    }
}

fn is_settled(operation: &Operation) -> bool {
    matches!((&operation.call, operation.answer()), (Call::Settle { .. }, Some(Answer::Each(_))))
}

fn is_read(operation: &Operation) -> bool {
    matches!(
        operation.answer(),
        Some(Answer::Token(_) | Answer::Conflict(_) | Answer::Superseded(_) | Answer::Finished(_))
    )
}
