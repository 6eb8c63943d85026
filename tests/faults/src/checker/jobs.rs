//! The rules for jobs.

use super::job::{self, Job, Push};
use super::{Findings, Rule, TOLERANCE, unique};
use crate::history::{Effect, History, Micros, Operation, Outcome, PushAnswer};

pub(super) fn check(history: &History, found: &mut Findings) {
    let jobs = job::collect(history);
    for ((queue, id), job) in &jobs {
        let subject = format!("{id} of {queue}");
        check_known(job, &subject, found);
        check_lost(job, &subject, found);
        check_revived(job, &subject, found);
        check_settlements(job, &subject, found);
        check_leases(job, &subject, found);
        check_pushes(job, &subject, found);
    }
    unique::check(history, &jobs, found);
}

/// Every job was pushed.
fn check_known(job: &Job<'_>, subject: &str, found: &mut Findings) {
    let pushed = job.pushes.iter().filter(|push| push.operation.effect != Effect::None);
    let first = pushed.map(|push| push.operation.start).min().unwrap_or(Micros::MAX);
    let seen = job.claims.iter().map(|claim| claim.operation).chain(job.listed.iter().map(|(_, operation)| *operation));
    if let Some(operation) = seen.into_iter().find(|operation| operation.end < first) {
        found.add(Rule::JobUnknown, subject, job.pushes.iter().map(|push| push.operation).chain([operation]));
    }
}

/// A job that was present must be ended by an operation that may have been executed since, or still be present.
fn check_lost(job: &Job<'_>, subject: &str, found: &mut Findings) {
    if !job.listed.is_empty() {
        return;
    }
    let Some(there) = job.last_seen() else { return };
    if !removals(job).any(|(_, until)| until >= there.start) {
        found.add(Rule::JobLost, subject, operations(job));
    }
}

fn within(operation: &Operation) -> (Micros, Micros) {
    (operation.start, operation.latest())
}

/// From when and until when each operation that may have removed the job can have done so. A dead job is not removed.
pub(super) fn removals(job: &Job<'_>) -> impl Iterator<Item = (Micros, Micros)> {
    let settled = job.settlements.iter().filter(|settlement| {
        let removes = matches!(settlement.outcome, Outcome::Complete | Outcome::CompleteKept | Outcome::Cancelled);
        // "lost" is also answered to a copy when an earlier copy counted, but only once the lease is over
        let copied = || job.lease_over(settlement.fence).is_none_or(|over| settlement.operation.start < over);
        removes && (settlement.counts != Some(false) || copied())
    });
    let settled = settled.map(|settlement| {
        let (start, until) = within(settlement.operation);
        let kept = job.kept.filter(|_| settlement.outcome == Outcome::CompleteKept);
        (start, until.saturating_add(kept.unwrap_or(0)))
    });
    let cancelled = job.cancels.iter().filter_map(|cancel| match cancel.word {
        Some("finished") => None,
        // a job whose cancellation was requested is removed when its lease ends, a retry is due, …
        Some("requested") | None => Some((cancel.operation.start, Micros::MAX)),
        Some(_) => Some(within(cancel.operation)),
    });
    let deleted = job.deletes.iter().filter(|delete| delete.word != Some("running"));
    settled.chain(cancelled).chain(deleted.map(|delete| within(delete.operation)))
}

/// An acknowledged end of a job.
struct End<'a> {
    operation: &'a Operation,
    /// Claims with a larger fence were executed after it. If it has no fence, so were claims that began after its reply.
    fence: Option<u64>,
    /// Whether the job may be dead, and be replayed.
    dead: bool,
    /// Whether a lease that began before may still run.
    running: bool,
}

fn ends<'a>(job: &Job<'a>) -> Vec<End<'a>> {
    let settled = job.settlements.iter().filter(|settlement| settlement.counts == Some(true) && job.is_end(settlement));
    let settled = settled.map(|settlement| End {
        operation: settlement.operation,
        fence: Some(settlement.fence),
        dead: matches!(settlement.outcome, Outcome::Dead | Outcome::Retry),
        running: false,
    });
    let cancelled = job.cancels.iter().filter(|cancel| matches!(cancel.word, Some("removed" | "requested")));
    let cancelled = cancelled.map(|cancel| {
        let running = cancel.word == Some("requested");
        End { operation: cancel.operation, fence: None, dead: running, running }
    });
    let deleted = job.deletes.iter().filter(|delete| delete.word == Some("deleted"));
    let deleted = deleted.map(|delete| End { operation: delete.operation, fence: None, dead: false, running: false });
    settled.chain(cancelled).chain(deleted).collect()
}

/// The acknowledged settlement that ended the job, and the operation that shows that it was undone: a claim or a listing, although
/// nothing can have added the job again.
pub(super) fn undone_settlement<'a>(job: &Job<'a>) -> Option<(&'a Operation, &'a Operation)> {
    ends(job).into_iter().find_map(|end| {
        let fence = end.fence?;
        let anew = |before| job.may_be_made_anew(end.operation.start, before, end.dead);
        let claimed = job.claims.iter().find(|claim| claim.fence > fence && !anew(claim.operation.end));
        let listed = || {
            let is_there = |state: &str| matches!(state, "ready" | "scheduled" | "running");
            job.listed
                .iter()
                .find(|(state, listing)| is_there(state) && !anew(listing.start))
                .map(|(_, listing)| *listing)
        };
        claimed.map(|claim| claim.operation).or_else(listed).map(|shown| (end.operation, shown))
    })
}

/// A job that has ended does not run and is absent, unless a push or a replay may have added it again.
fn check_revived(job: &Job<'_>, subject: &str, found: &mut Findings) {
    let pushes = || job.pushes.iter().map(|push| push.operation);
    for end in ends(job) {
        let anew = |before| job.may_be_made_anew(end.operation.start, before, end.dead);
        let claimed = job.claims.iter().find(|claim| {
            let after = end.fence.map_or(claim.operation.start > end.operation.end, |fence| claim.fence > fence);
            after && !anew(claim.operation.end)
        });
        if let Some(claim) = claimed {
            found.add(Rule::JobRevived, subject, pushes().chain([end.operation, claim.operation]));
        }
        if end.running {
            continue;
        }
        let late = |(_, handler): &&(u64, &Operation)| handler.start > end.operation.end && !anew(handler.start);
        if let Some((_, handler)) = job.handlers.iter().find(late) {
            found.add(Rule::HandledAfterEnd, subject, pushes().chain([end.operation, handler]));
        }
        let listed = job.listed.iter().find(|(state, listing)| {
            let there = matches!(*state, "ready" | "scheduled" | "running") || *state == "dead" && !end.dead;
            there && listing.start > end.operation.end && !anew(listing.start)
        });
        if let Some((_, listing)) = listed {
            found.add(Rule::JobRevived, subject, pushes().chain([end.operation, listing]));
        }
    }
}

/// A settlement counts only under the newest fence.
fn check_settlements(job: &Job<'_>, subject: &str, found: &mut Findings) {
    for settlement in job.settlements.iter().filter(|settlement| settlement.counts == Some(true)) {
        let Some(newer) = job
            .claims
            .iter()
            .find(|claim| claim.fence > settlement.fence && claim.operation.end < settlement.operation.start)
        else {
            continue;
        };
        // a repetition of a settlement that may have counted before the newer claim
        let repeated = job.settlements.iter().any(|earlier| {
            earlier.fence == settlement.fence
                && earlier.operation.id != settlement.operation.id
                && earlier.operation.start < newer.operation.end
        });
        if !repeated {
            found.add(Rule::StaleSettlement, subject, [newer.operation, settlement.operation]);
        }
    }
}

/// A job is not claimed while a lease of it lasts, nor more often than allowed.
fn check_leases(job: &Job<'_>, subject: &str, found: &mut Findings) {
    for claim in &job.claims {
        if claim.attempt > job.max_attempts() {
            found.add(Rule::TooManyAttempts, subject, [claim.operation]);
        }
        let until = job.lease_lasted(claim);
        let early = |next: &&job::Claim<'_>| next.fence > claim.fence && next.operation.end + TOLERANCE < until;
        if let Some(next) = job.claims.iter().find(early) {
            found.add(Rule::JobLeasedTwice, subject, [claim.operation, next.operation]);
        }
    }
}

/// Two pushes of one id are not both accepted while the job is present, and a duplicate has an original.
fn check_pushes(job: &Job<'_>, subject: &str, found: &mut Findings) {
    for push in &job.pushes {
        let others = || job.pushes.iter().filter(|other| other.job.request != push.job.request);
        match push.answer {
            Some(PushAnswer::Duplicate) => {
                let original = |other: &Push<'_>| {
                    other.operation.effect != Effect::None && other.operation.start < push.operation.end
                };
                if !others().any(original) {
                    found.add(Rule::JobPushedTwice, subject, [push.operation]);
                }
            }
            Some(PushAnswer::Created) => {
                let before = |other: &&Push<'_>| {
                    other.answer == Some(&PushAnswer::Created) && other.operation.end < push.operation.start
                };
                for other in others().filter(before) {
                    if !removals(job).any(|(_, until)| until >= other.operation.start) {
                        found.add(Rule::JobPushedTwice, subject, [other.operation, push.operation]);
                    }
                }
            }
            _ => {}
        }
    }
}

fn operations<'a>(job: &Job<'a>) -> Vec<&'a Operation> {
    let mut all: Vec<_> = job.pushes.iter().map(|push| push.operation).collect();
    all.extend(job.claims.iter().map(|claim| claim.operation));
    all.extend(job.settlements.iter().map(|settlement| settlement.operation));
    all.extend(job.cancels.iter().chain(&job.deletes).map(|control| control.operation));
    all.extend(job.replays.iter().map(|replay| replay.operation));
    all.extend(job.again.iter().map(|again| again.operation));
    all.extend(&job.deliveries);
    all.sort_by_key(|operation| operation.start);
    all
}
