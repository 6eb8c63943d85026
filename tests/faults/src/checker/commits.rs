//! The rules for commits. After the run the parts of each commit are read.

use std::collections::BTreeMap;

use super::{Findings, Rule, job};
use crate::history::{Answer, Call, Effect, History, Operation};

#[derive(Default)]
struct Commit<'a> {
    calls: Vec<&'a Operation>,
    /// The last read of its parts.
    read: Option<(&'a [bool], &'a Operation)>,
}

pub(super) fn check(history: &History, found: &mut Findings) {
    let mut commits: BTreeMap<(&str, &str), Commit<'_>> = BTreeMap::new();
    let mut done: BTreeMap<(&str, &str), (&str, &Operation)> = BTreeMap::new();
    let jobs = job::collect(history);
    for operation in &history.operations {
        match (&operation.call, operation.answer()) {
            (Call::Commit { queue, job, next, .. }, answer) => {
                commits.entry((queue, &next.id)).or_default().calls.push(operation);
                if answer != Some(&Answer::One(true)) {
                    continue;
                }
                let (first, by) = done.entry((queue, job)).or_insert((&next.id, operation));
                // a producer may push a job again that has ended
                let is_anew = |job: &job::Job<'_>| job.may_be_made_anew(by.start, operation.end, false);
                if *first != next.id && !jobs.get(&(queue.as_str(), job.as_str())).is_some_and(is_anew) {
                    found.add(Rule::CommitTwice, format!("{job} of {queue}"), [*by, operation]);
                }
            }
            (Call::ReadCommit { queue, next }, Some(Answer::Each(parts))) => {
                commits.entry((queue, next)).or_default().read = Some((parts, operation));
            }
            _ => {}
        }
    }
    for ((queue, next), Commit { calls, read }) in commits {
        let Some((parts, read)) = read else { continue };
        let subject = format!("{next} of {queue}");
        let is = |call: &Operation, done| call.answer() == Some(&Answer::One(done));
        let done = calls.iter().copied().find(|call| is(call, true));
        let may_be_executed = calls.iter().any(|call| call.effect != Effect::None && !is(call, false));
        let are_some_there = parts.contains(&true);
        if are_some_there && parts.contains(&false) {
            found.add(Rule::CommitPartial, &subject, calls.iter().copied().chain([read]));
        }
        if are_some_there && !may_be_executed {
            found.add(Rule::CommitRefused, &subject, calls.iter().copied().chain([read]));
        }
        if let Some(done) = done.filter(|_| !are_some_there) {
            found.add(Rule::CommitLost, &subject, [done, read]);
        }
    }
}
