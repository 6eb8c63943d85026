//! The rules for queues: the order of fences, pauses, and the drain.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, Rule, check_rising};
use crate::history::{Answer, Call, Effect, History, Operation};

#[derive(Default)]
struct Queue<'a> {
    claims: Vec<&'a Operation>,
    pauses: Vec<&'a Operation>,
    resumes: Vec<&'a Operation>,
    pushed: bool,
    listed: BTreeSet<&'a str>,
}

/// What the listings after the drain cover.
const STATES: [&str; 5] = ["ready", "scheduled", "running", "completed", "dead"];

pub(super) fn check(history: &History, found: &mut Findings) {
    let mut queues: BTreeMap<&str, Queue<'_>> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.call {
            Call::Push { queue, .. } => queues.entry(queue).or_default().pushed = true,
            Call::Commit { sent, .. } => {
                sent.iter().for_each(|sent| queues.entry(&sent.outbox).or_default().pushed = true);
            }
            Call::Claim { queue, .. } | Call::HandOver { queue, .. } => {
                queues.entry(queue).or_default().claims.push(operation);
            }
            Call::Pause { queue } => queues.entry(queue).or_default().pauses.push(operation),
            Call::Resume { queue } => queues.entry(queue).or_default().resumes.push(operation),
            Call::List { queue, state } if operation.answer().is_some() => {
                queues.entry(queue).or_default().listed.insert(state);
                let is_empty = operation.answer() == Some(&Answer::Names(Vec::new()));
                if queue.ends_with(crate::OUTBOX) && !is_empty {
                    found.add(Rule::NotDrained, queue, [operation]);
                }
            }
            Call::Pending { queue } if matches!(operation.answer(), Some(Answer::Number(1..))) => {
                found.add(Rule::NotDrained, queue, [operation]);
            }
            _ => {}
        }
    }
    for (name, queue) in &queues {
        if queue.pushed && !STATES.iter().all(|state| queue.listed.contains(state)) {
            found.add(Rule::NotDrained, format!("{name} was not listed"), []);
        }
        if history.run.as_ref().is_some_and(|run| run.partitioned.iter().any(|partitioned| partitioned == name)) {
            check_fences_of_jobs(name, queue, found);
        } else {
            check_fences(name, queue, found);
        }
        check_pauses(name, queue, found);
    }
}

fn check_fences(name: &str, queue: &Queue<'_>, found: &mut Findings) {
    let grants = queue.claims.iter().filter_map(|operation| match operation.answer() {
        Some(Answer::Claimed { jobs, .. }) => Some((jobs.first()?.fence, *operation)),
        _ => None,
    });
    let grants: Vec<_> = grants.collect();
    check_rising(Rule::ClaimFence, name, &grants, found);
    let mut seen = BTreeMap::new();
    for (fence, operation) in grants {
        if let Some(before) = seen.insert(fence, operation) {
            found.add(Rule::ClaimFence, format!("{name}: {fence} twice"), [before, operation]);
        }
    }
}

/// Each partition has its own fences, and a job stays in its partition.
fn check_fences_of_jobs(name: &str, queue: &Queue<'_>, found: &mut Findings) {
    let mut by_job: BTreeMap<&str, Vec<(u64, &Operation)>> = BTreeMap::new();
    for operation in &queue.claims {
        let Some(Answer::Claimed { jobs, .. }) = operation.answer() else { continue };
        for job in jobs {
            by_job.entry(&job.job).or_default().push((job.fence, operation));
        }
    }
    for (job, grants) in by_job {
        check_rising(Rule::ClaimFence, &format!("{job} of {name}"), &grants, found);
    }
}

fn check_pauses(name: &str, queue: &Queue<'_>, found: &mut Findings) {
    for claim in &queue.claims {
        let Some(Answer::Claimed { jobs, paused }) = claim.answer() else { continue };
        let (set, unset) = if *paused { (&queue.resumes, &queue.pauses) } else { (&queue.pauses, &queue.resumes) };
        if jobs.is_empty() && !paused {
            continue;
        }
        let last = set.iter().filter(|operation| operation.answer().is_some() && operation.end < claim.start);
        let last = last.max_by_key(|operation| operation.start);
        // a queue without a pause is not paused
        let since = match (last, paused) {
            (Some(last), _) => last.start,
            (None, true) => 0,
            (None, false) => continue,
        };
        let undone = |operation: &&&Operation| {
            operation.effect != Effect::None && operation.start < claim.end && operation.latest() > since
        };
        if unset.iter().find(undone).is_none() {
            found.add(Rule::Paused, name, last.into_iter().chain([claim]).copied());
        }
    }
}
