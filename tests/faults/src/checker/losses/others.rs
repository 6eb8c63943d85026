//! Acknowledged writes that a failover has undone, other than pushes and settlements. A loss report of their process names each.

use super::super::job::Job;
use super::super::{Findings, Rule, Violation};
use super::{Lost, explained};
use crate::history::{Answer, Call, Destination, History, LostWrite, Operation};

/// What a write changed, as loss reports name it.
#[derive(PartialEq, Eq)]
struct Object<'a> {
    /// The beginning of the names of its operations: a report may name a later write that has replaced it.
    capability: &'static str,
    name: &'a str,
    part: Option<String>,
    job: Option<&'a str>,
}

const QUEUE: &str = "queue.";

/// The other capabilities.
const CAPABILITIES: [&str; 11] = [
    "home.",
    "lease.",
    "resume_token.",
    "step.",
    "heartbeat.",
    "idempotency.",
    "schedule.",
    "topic.",
    "run.",
    "session.",
    "retry.",
];

/// A violation that a failover explains. `job`: its queue, its id and the job, if it is one of a job.
pub(super) struct Explained<'a> {
    pub(super) violation: Violation,
    pub(super) job: Option<((&'a str, &'a str), &'a Job<'a>)>,
}

/// Counts the vanished writes among the violations that a failover explains, and checks that reports name them.
pub(super) fn check(history: &History, all: &[Explained<'_>], found: &mut Findings) -> Lost {
    let mut lost = Lost::default();
    for Explained { violation, job } in all {
        let is_lost_job = violation.rule == Rule::JobLost;
        if is_lost_job && !job.is_some_and(|(_, job)| job.is_fired()) {
            // pushes are counted apart
            continue;
        }
        let mut evidence: Vec<_> = violation.evidence.iter().collect();
        evidence.sort_by_key(|operation| operation.start);
        // what a firing or a commit has pushed is not named, but the firing and the commit are
        let is_of_job = !is_lost_job && violation.rule != Rule::CommitLost;
        let object = match job.filter(|_| is_of_job) {
            Some(((queue, id), _)) => Some(Object { capability: QUEUE, name: queue, part: None, job: Some(id) }),
            None => evidence.iter().find_map(|operation| object(operation)),
        };
        let (Some(first), Some(object)) = (evidence.first(), object) else { continue };
        let has_vanished = shows_loss(violation.rule, first);
        // a read may show the write of any process
        let is_of_evidence = has_vanished || !may_be_read(violation.rule);
        // what a commit has sent may be lost at its destination alone
        let delivered = evidence.iter().filter(|operation| matches!(operation.call, Call::Deliver { .. }));
        let of_evidence = is_of_evidence.then_some(evidence.as_slice());
        let is_named = std::iter::once(&object)
            .chain(&delivered.filter_map(|operation| self::object(operation)).collect::<Vec<_>>())
            .any(|object| is_named(history, object, of_evidence, first));
        lost.lost += u64::from(has_vanished);
        lost.named += u64::from(has_vanished && is_named);
        // without an acknowledged write that must have vanished, one without an answer may have taken effect and vanished
        if !is_named && (has_vanished || !may_be_unanswered(history, &object, &evidence)) {
            found.add(Rule::LossUnnamed, format!("{}: {}", violation.rule, violation.subject), &violation.evidence);
        }
    }
    let is_other = |op: &str| CAPABILITIES.iter().any(|capability| op.starts_with(capability));
    let reported = history.losses.iter().flat_map(|loss| loss.lost.iter().chain(&loss.unknown));
    lost.reported = reported.filter(|write| is_other(&write.op)).count() as u64;
    lost
}

/// Whether the rule shows that its first operation was acknowledged and vanished.
fn shows_loss(rule: Rule, first: &Operation) -> bool {
    let is_write = matches!(
        (rule, &first.call),
        (Rule::LeasesOverlap | Rule::LeaseLostEarly | Rule::LeaseFence, Call::Acquire { .. } | Call::Renew { .. })
            | (Rule::LeaseUnknown, Call::Release { .. })
            | (Rule::TokenLost, Call::Save { .. })
            | (Rule::StepRepeated, Call::FinishStep { .. })
            | (Rule::MemberMissing, Call::Beat { .. })
            | (Rule::ResponseLost, Call::Finish { .. })
            | (Rule::JobLost | Rule::FiringRepeated, Call::Advance { .. })
            | (Rule::JobLost | Rule::CommitLost | Rule::CommitTwice, Call::Commit { .. })
            | (Rule::TopicEventLost, Call::Append { .. } | Call::Commit { .. })
            | (Rule::TopicEventAgain, Call::Acknowledge { .. })
            | (Rule::EventLost | Rule::RunRevived, Call::WriteRun { .. })
            | (Rule::RunOverwritten | Rule::RunVersion, Call::WriteRun { .. } | Call::CreateRun { .. })
            | (Rule::TriesOverlap | Rule::StaleTry | Rule::TryFence, Call::BeginTry { .. })
            | (Rule::TryAfterExhausted, Call::FailTry { .. })
            | (Rule::StaleSettlement | Rule::JobLeasedTwice, Call::Claim { .. })
            | (Rule::Paused, Call::Pause { .. } | Call::Resume { .. })
    );
    is_write && first.answer().is_some()
}

/// Whether an answer of the evidence may show a write that is not in it.
fn may_be_read(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::TokenFence
            | Rule::PositionRepeated
            | Rule::PositionSkipped
            | Rule::TokenUnknown
            | Rule::StepFence
            | Rule::OutputChanged
            | Rule::OutputUnknown
            | Rule::TopicEventChanged
            | Rule::TopicEventRepeated
    )
}

/// What a write of the state store changed. For a read and a hand-over `None`: they have no receipts.
fn object(operation: &Operation) -> Option<Object<'_>> {
    let of = |capability, name| Some(Object { capability, name, part: None, job: None });
    let part = |capability, name, part: String| Some(Object { capability, name, part: Some(part), job: None });
    match &operation.call {
        Call::Pause { queue } | Call::Resume { queue } => of(QUEUE, queue),
        Call::Acquire { name, .. } | Call::Renew { name, .. } | Call::Release { name, .. } => of("lease.", name),
        Call::Begin { store, key, .. } | Call::Finish { store, key, .. } | Call::Abandon { store, key, .. } => {
            of("idempotency.", key).filter(|_| store == "state")
        }
        Call::TakeOver { stream, .. } | Call::Save { stream, .. } => of("resume_token.", stream),
        Call::BeginStep { run, step, .. } | Call::FinishStep { run, step, .. } | Call::FailStep { run, step, .. } => {
            part("step.", run, step.clone())
        }
        Call::CreateRun { run } | Call::WriteRun { run, .. } => match run.strip_prefix(crate::SESSION) {
            Some(session) => of("session.", session),
            None => of("run.", run),
        },
        Call::BeginTry { operation, .. }
        | Call::FailTry { operation, .. }
        | Call::SucceedTry { operation, .. }
        | Call::ClearTries { operation } => of("retry.", operation),
        Call::Beat { pool, member, .. } | Call::Leave { pool, member } => part("heartbeat.", pool, member.clone()),
        Call::Advance { queue, schedule, .. } => part("schedule.", queue, schedule.clone()),
        Call::Commit { queue, job, .. } => {
            Some(Object { capability: "home.", name: queue, part: None, job: Some(job) })
        }
        Call::Deliver { to: Destination::Job { queue, job }, .. } => {
            Some(Object { capability: QUEUE, name: queue, part: None, job: Some(&job.id) })
        }
        Call::Deliver { to: Destination::Event { topic, .. }, .. } => of("topic.", topic),
        Call::Append { topic, .. } => match operation.answer() {
            Some(Answer::Appended { partition, .. }) => part("topic.", topic, partition.to_string()),
            _ => of("topic.", topic),
        },
        Call::ReadTopic { topic, partition, .. }
        | Call::Acknowledge { topic, partition, .. }
        | Call::ReleasePartition { topic, partition, .. } => part("topic.", topic, partition.to_string()),
        _ => None,
    }
}

/// Whether a report after `first` names a write of the object, or does not know writes as old. With `evidence`, a report of a process that
/// made one of its operations.
fn is_named(history: &History, object: &Object<'_>, evidence: Option<&[&Operation]>, first: &Operation) -> bool {
    let names = |write: &LostWrite| {
        let is_end = object.job.is_some() && write.op == "home.commit";
        (write.op.starts_with(object.capability) || is_end)
            && write.name == object.name
            && (object.part.is_none() || write.part == object.part)
            && match object.job {
                Some(job) => write.jobs.iter().any(|named| named == job),
                // pauses have no jobs
                None => object.capability != QUEUE || write.jobs.is_empty(),
            }
    };
    let is_of_process = |actor: &str| {
        evidence.is_none_or(|evidence| evidence.iter().any(|operation| process_of(&operation.actor) == actor))
    };
    history.losses.iter().filter(|loss| loss.at >= first.end && is_of_process(&loss.actor)).any(|loss| {
        let mut writes = loss.lost.iter().chain(&loss.unknown);
        let is_older = || loss.lost.iter().chain(&loss.unknown).all(|write| write.at > first.end);
        writes.any(names) || loss.has_older && is_older()
    })
}

/// The group of actors whose stores this actor uses.
fn process_of(actor: &str) -> &str {
    let group = actor.split('/').next().unwrap_or(actor);
    if group == crate::RUN { crate::workload::GROUPS[0] } else { group }
}

/// Whether a write of the object without an answer may have taken effect shortly before a failover or during it, until the last
/// operation of the evidence. A hand-over has no receipt: the push that made it has one.
fn may_be_unanswered(history: &History, object: &Object<'_>, evidence: &[&Operation]) -> bool {
    let Some(last) = evidence.last() else { return false };
    let is_job = |operation: &Operation, id: &str| match (&operation.call, operation.answer()) {
        (Call::Push { jobs, .. }, _) => jobs.iter().any(|job| job.id == id),
        (Call::Settle { settlements, .. }, _) => settlements.iter().any(|settlement| settlement.job == id),
        (Call::Extend { leases, .. }, _) => leases.iter().any(|lease| lease.job == id),
        (Call::Delete { jobs, .. } | Call::Promote { jobs, .. } | Call::Replay { jobs, .. }, _) => {
            jobs.iter().any(|job| job == id)
        }
        (Call::Cancel { job, .. } | Call::Commit { job, .. }, _) => job == id,
        (Call::Deliver { entry, .. }, _) if entry == id => true,
        (Call::Deliver { to: Destination::Job { job, .. }, .. }, _) => job.id == id,
        // a claim without an answer may have leased any job
        (Call::Claim { queue, .. }, None) => queue == object.name,
        _ => false,
    };
    let touches = |operation: &Operation| match object.job {
        Some(id) => is_job(operation, id),
        // an append without an answer may be in any partition
        None => self::object(operation)
            .is_some_and(|of| Object { part: of.part.clone().or_else(|| object.part.clone()), ..of } == *object),
    };
    let is_hand_over = |operation: &&Operation| matches!(operation.call, Call::HandOver { .. });
    let near = |operation: &Operation| {
        let mut failovers = history.faults.iter().filter(|(name, ..)| explained::is_failover(name));
        failovers.any(|(_, begin, end)| operation.start < *end && operation.end.saturating_add(BEFORE) > *begin)
    };
    evidence.iter().any(is_hand_over)
        || history.operations.iter().any(|operation| {
            operation.is_unknown() && operation.start < last.end && near(operation) && touches(operation)
        })
}

/// A write that is older than this when a fault begins does not vanish.
const BEFORE: u64 = 2_000_000;
