//! Acknowledged writes of leases, tokens, steps, members, requests, schedules and topics that a failover has undone. A loss report names each.

use super::super::{Findings, Rule, Violation};
use super::Lost;
use crate::history::{Call, History, Operation};

/// A write that vanished, as loss reports name it.
struct Vanished<'a> {
    /// The beginning of the names of its operations: a report may name a later write that has replaced it.
    capability: &'static str,
    name: &'a str,
    write: &'a Operation,
}

/// Counts the vanished writes among the violations that a failover explains, and checks that reports name them.
pub(super) fn check(history: &History, explained: &[Violation], found: &mut Findings) -> Lost {
    let mut lost = Lost::default();
    for violation in explained {
        let Some(Vanished { capability, name, write }) = vanished(violation) else { continue };
        lost.lost += 1;
        let reports = history.losses.iter().filter(|loss| loss.at >= write.end);
        let mut named = reports.flat_map(|loss| loss.lost.iter().chain(&loss.unknown));
        if named.any(|other| other.op.starts_with(capability) && other.name == name) {
            lost.named += 1;
        } else {
            found.add(Rule::LossUnnamed, format!("{}: {}", violation.rule, violation.subject), &violation.evidence);
        }
    }
    let is_other = |op: &str| CAPABILITIES.iter().any(|capability| op.starts_with(capability));
    let reported = history.losses.iter().flat_map(|loss| loss.lost.iter().chain(&loss.unknown));
    lost.reported = reported.filter(|write| is_other(&write.op)).count() as u64;
    lost
}

const CAPABILITIES: [&str; 7] =
    ["lease.", "resume_token.", "step.", "heartbeat.", "idempotency.", "schedule.", "topic."];

/// The first operation of the evidence, if it was acknowledged and the rule shows that it vanished.
fn vanished(violation: &Violation) -> Option<Vanished<'_>> {
    let first = violation.evidence.iter().min_by_key(|operation| operation.start)?;
    let (capability, name) = match (violation.rule, &first.call) {
        (
            Rule::LeasesOverlap | Rule::LeaseLostEarly | Rule::LeaseFence,
            Call::Acquire { name, .. } | Call::Renew { name, .. },
        ) => (CAPABILITIES[0], name),
        (Rule::TokenLost, Call::Save { stream, .. }) => (CAPABILITIES[1], stream),
        (Rule::StepRepeated, Call::FinishStep { step, .. }) => (CAPABILITIES[2], step),
        (Rule::MemberMissing, Call::Beat { pool, .. }) => (CAPABILITIES[3], pool),
        (Rule::ResponseLost, Call::Finish { store, key, .. }) if store == "state" => (CAPABILITIES[4], key),
        (Rule::JobLost | Rule::FiringRepeated, Call::Advance { queue, .. }) => (CAPABILITIES[5], queue),
        (Rule::TopicEventLost, Call::Append { topic, .. }) => (CAPABILITIES[6], topic),
        _ => return None,
    };
    first.answer().is_some().then_some(Vanished { capability, name, write: first })
}
