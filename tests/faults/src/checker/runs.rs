//! The rules for the runs of agents, and for the versions of sessions.

use std::collections::{BTreeMap, HashMap};

use super::{Findings, Rule, check_rising};
use crate::history::{Answer, Call, History, Micros, Operation};

/// The states after which a run does not change.
const ENDS: [&str; 3] = ["completed", "failed", "cancelled"];

#[derive(Default)]
struct Run<'a> {
    /// The acknowledged changes, with the version that each has made.
    changes: Vec<(u64, &'a Operation)>,
    /// The acknowledged writes, with the versions that they presented.
    writes: Vec<(Option<u64>, &'a Operation)>,
    /// The acknowledged events. No two appends are of the same one.
    events: Vec<(&'a str, &'a Operation)>,
    reads: Vec<(&'a [String], &'a Operation)>,
}

/// A failover may undo what was read, and a replaced primary may still answer reads: then only the reads after the last fault show what is
/// lost.
pub(super) fn check(history: &History, found: &mut Findings) {
    let has_failovers = history.run.as_ref().is_some_and(|run| run.has_failovers);
    let over = history.faults.iter().map(|(_, _, end)| *end).max().filter(|_| has_failovers).unwrap_or_default();
    for (name, run) in collect(history) {
        check_rising(Rule::RunVersion, name, &run.changes, found);
        check_repeated(name, &run, found);
        check_overwritten(name, &run, found);
        check_revived(name, &run, found);
        check_lost(name, &run, over, found);
        if !has_failovers {
            check_changed(name, &run, found);
        }
    }
}

fn collect(history: &History) -> BTreeMap<&str, Run<'_>> {
    let mut runs: BTreeMap<&str, Run<'_>> = BTreeMap::new();
    for operation in &history.operations {
        match (&operation.call, operation.answer()) {
            (Call::CreateRun { run }, Some(Answer::Run { version, .. })) => {
                runs.entry(run).or_default().changes.push((*version, operation));
            }
            (Call::WriteRun { run, state, version, event }, Some(Answer::Run { version: now, .. })) => {
                let run = runs.entry(run).or_default();
                if state.is_some() {
                    run.changes.push((*now, operation));
                }
                run.writes.push((*version, operation));
                run.events.extend(event.as_deref().map(|event| (event, operation)));
            }
            (Call::ReadRun { run }, Some(Answer::Names(events))) => {
                runs.entry(run).or_default().reads.push((events, operation));
            }
            _ => {}
        }
    }
    runs
}

/// Of the changes that present one version, one is done.
fn check_overwritten(name: &str, run: &Run<'_>, found: &mut Findings) {
    let mut first: HashMap<u64, &Operation> = HashMap::new();
    for (presented, write) in &run.writes {
        let (Call::WriteRun { state: Some(_), .. }, Some(version)) = (&write.call, presented) else { continue };
        if let Some(before) = first.insert(*version, write) {
            found.add(Rule::RunOverwritten, format!("version {version} of {name}"), [before, *write]);
        }
    }
}

fn check_revived(name: &str, run: &Run<'_>, found: &mut Findings) {
    let is_end = |write: &&Operation| matches!(&write.call, Call::WriteRun { state: Some(state), .. } if ENDS.contains(&state.as_str()));
    let ends = run.writes.iter().map(|(_, write)| *write).filter(is_end);
    let Some(end) = ends.min_by_key(|end| end.end) else { return };
    if let Some((_, later)) = run.writes.iter().find(|(_, write)| write.start > end.end) {
        found.add(Rule::RunRevived, name, [end, *later]);
    }
}

fn check_lost(name: &str, run: &Run<'_>, over: Micros, found: &mut Findings) {
    for (event, append) in &run.events {
        let is_missing = |(events, read): &&(&[String], &Operation)| {
            read.start > append.end.max(over) && !events.iter().any(|found| found == event)
        };
        if let Some((_, read)) = run.reads.iter().find(is_missing) {
            found.add(Rule::EventLost, format!("{event} of {name}"), [*append, *read]);
        }
    }
}

fn check_repeated(name: &str, run: &Run<'_>, found: &mut Findings) {
    for (events, read) in &run.reads {
        let mut seen = HashMap::new();
        // Transitions may repeat: a run can wait several times.
        for event in events.iter().filter(|event| !event.starts_with("run.")) {
            if seen.insert(event, ()).is_some() {
                found.add(Rule::EventRepeated, format!("{event} of {name}"), [*read]);
            }
        }
    }
}

/// A log only grows: of two reads, one is the beginning of the other.
fn check_changed(name: &str, run: &Run<'_>, found: &mut Findings) {
    for pair in run.reads.windows(2) {
        let [(one, first), (two, second)] = pair else { continue };
        if one.iter().zip(two.iter()).any(|(one, two)| one != two) {
            found.add(Rule::LogChanged, name, [*first, *second]);
        }
    }
}
