//! The rules for unique keys.

use std::collections::BTreeMap;

use super::job::{Job, Jobs, Push};
use super::{Findings, Rule, TOLERANCE};
use crate::history::{Call, Effect, History, Micros, Operation, PushAnswer, UniqueEnd};

/// With fewer attempts than this a job may die without an answer that shows it: each claim whose reply was lost can have been its
/// last attempt.
const SURE_ATTEMPTS: u32 = 10;

/// The time during which a job certainly held its unique key.
struct Held<'a> {
    job: &'a str,
    push: &'a Operation,
    from: Micros,
    until: Micros,
}

pub(super) fn check(history: &History, jobs: &Jobs<'_>, found: &mut Findings) {
    let mut keys: BTreeMap<(&str, &str), Vec<Held<'_>>> = BTreeMap::new();
    for ((queue, id), job) in jobs {
        for push in &job.pushes {
            let Some((key, end)) = &push.job.unique else { continue };
            // the same push again is acknowledged while the queue has the job, even if it has ended
            let again = job.pushes.iter().any(|first| {
                first.job.request == push.job.request
                    && first.operation.start < push.operation.start
                    && first.operation.effect != Effect::None
            });
            if push.answer == Some(&PushAnswer::Created) && !again {
                let until = held_until(history, queue, job, push, *end);
                let held = Held { job: id, push: push.operation, from: push.operation.end, until };
                keys.entry((queue, key)).or_default().push(held);
            }
            if let Some(PushAnswer::Held(holder)) = push.answer {
                check_holder(jobs, queue, key, holder, push.operation, found);
            }
        }
    }
    for ((queue, key), mut held) in keys {
        held.sort_by_key(|held| held.from);
        for (index, one) in held.iter().enumerate() {
            for other in held[index + 1..].iter().take_while(|other| other.from < one.until) {
                // the other may have ended before this one was pushed, and its own reply have come later
                if other.job != one.job && (other.push.start >= one.from || other.until > other.from) {
                    found.add(Rule::UniqueKeyShared, format!("{key} of {queue}"), [one.push, other.push]);
                }
            }
        }
    }
}

/// Until when no operation can have ended the job, or claimed it if the claim frees its key.
fn held_until(history: &History, queue: &str, job: &Job<'_>, push: &Push<'_>, end: UniqueEnd) -> Micros {
    if job.max_attempts() < SURE_ATTEMPTS {
        return 0;
    }
    let since = push.operation.start;
    let mut possible: Vec<&Operation> = Vec::new();
    possible.extend(job.settlements.iter().filter(|settlement| job.is_end(settlement)).map(|end| end.operation));
    possible.extend(job.cancels.iter().chain(&job.deletes).map(|control| control.operation));
    let last = |attempt: u32| attempt + 1 >= job.max_attempts();
    possible.extend(job.claims.iter().filter(|claim| last(claim.attempt)).map(|claim| claim.operation));
    if end == UniqueEnd::Claimed {
        possible.extend(job.claims.iter().map(|claim| claim.operation));
        possible.extend(history.operations.iter().filter(|operation| {
            matches!(&operation.call, Call::Claim { queue: of, .. } if of == queue) && operation.is_unknown()
        }));
        // A hand-over whose message was lost is in no history; but the job was not claimed again before its lease was over.
        let claimed = job.claims.iter().map(|claim| claim.operation.end).min().unwrap_or(Micros::MAX);
        if shortest_hand_over(history, queue).is_some_and(|lease| since + lease <= claimed.saturating_add(TOLERANCE)) {
            return 0;
        }
    }
    let possible = possible.into_iter().filter(|operation| operation.latest() >= since);
    possible.map(|operation| operation.start).min().unwrap_or(Micros::MAX)
}

/// The shortest lease with which a job of the queue can have been handed over.
fn shortest_hand_over(history: &History, queue: &str) -> Option<Micros> {
    let leases = history.operations.iter().filter_map(|operation| match &operation.call {
        Call::Claim { queue: of, reserve: 1.., lease_ms, .. } if of == queue => Some(lease_ms * 1000),
        _ => None,
    });
    leases.min()
}

/// If a push is refused because of a holder, the holder was pushed with this key and has not ended before.
fn check_holder(jobs: &Jobs<'_>, queue: &str, key: &str, holder: &str, refused: &Operation, found: &mut Findings) {
    let subject = || format!("{key} of {queue}, held by {holder}");
    let Some(job) = jobs.get(&(queue, holder)) else {
        return found.add(Rule::UniqueKeyHeldByNobody, subject(), [refused]);
    };
    let pushed = job.pushes.iter().any(|push| {
        push.job.unique.as_ref().is_some_and(|(of, _)| of == key)
            && push.operation.effect != Effect::None
            && push.operation.start < refused.end
    });
    let ended = job.settlements.iter().find(|settlement| {
        settlement.counts == Some(true)
            && job.is_end(settlement)
            && settlement.operation.end < refused.start
            && !job.may_be_made_anew(settlement.operation.start, refused.end, true)
    });
    if !pushed {
        found.add(Rule::UniqueKeyHeldByNobody, subject(), [refused]);
    }
    if let Some(settlement) = ended {
        found.add(Rule::UniqueKeyHeldByNobody, subject(), [settlement.operation, refused]);
    }
}
