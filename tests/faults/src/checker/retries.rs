//! The rules for retries of operations.

use std::collections::{BTreeMap, HashMap};

use super::fences::{self, Accepted};
use super::{Findings, Rule, TOLERANCE, check_rising};
use crate::history::{Answer, Call, Effect, History, Micros, Operation};

#[derive(Default)]
struct Tries<'a> {
    begins: Vec<Begin<'a>>,
    /// The calls that may have ended the attempt of a fence.
    ends: Vec<(&'a Operation, u64)>,
    clears: Vec<&'a Operation>,
    /// The answers that show that the operation is exhausted.
    exhausted: Vec<&'a Operation>,
}

struct Begin<'a> {
    operation: &'a Operation,
    request: &'a str,
    max: u16,
    lasting: Micros,
}

/// A time during which one attempt certainly ran.
struct Running<'a> {
    fence: u64,
    by: &'a Operation,
    from: Micros,
    until: Micros,
}

pub(super) fn check(history: &History, found: &mut Findings) {
    // in a soak the store soon forgets the operations
    let are_forgotten = history.run.as_ref().is_some_and(|run| run.kept_ms.is_some());
    for (name, tries) in collect(history) {
        check_running(name, &tries, found);
        check_fences(name, &tries, found);
        if !are_forgotten {
            check_exhausted(name, &tries, found);
        }
    }
}

fn collect(history: &History) -> BTreeMap<&str, Tries<'_>> {
    let mut operations: BTreeMap<&str, Tries<'_>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.effect != Effect::None) {
        let tries = match &operation.call {
            Call::BeginTry { operation: name, request, max, lasting_ms } => {
                let begin = Begin { operation, request, max: *max, lasting: lasting_ms * 1000 };
                let tries = operations.entry(name).or_default();
                tries.begins.push(begin);
                tries
            }
            Call::FailTry { operation: name, fence } | Call::SucceedTry { operation: name, fence } => {
                let tries = operations.entry(name).or_default();
                tries.ends.push((operation, *fence));
                tries
            }
            Call::ClearTries { operation: name } => {
                let tries = operations.entry(name).or_default();
                tries.clears.push(operation);
                tries
            }
            _ => continue,
        };
        if operation.answer() == Some(&Answer::Exhausted) {
            tries.exhausted.push(operation);
        }
    }
    operations
}

fn begun(operation: &Operation) -> Option<(u32, u64)> {
    match operation.answer() {
        Some(Answer::Try { number, fence }) => Some((*number, *fence)),
        _ => None,
    }
}

/// One attempt runs at a time, and none has too high a number.
fn check_running(name: &str, tries: &Tries<'_>, found: &mut Findings) {
    let mut running = Vec::new();
    for begin in &tries.begins {
        let Some((number, fence)) = begun(begin.operation) else { continue };
        if number > begin.max.into() {
            found.add(Rule::TooManyTries, name, [begin.operation]);
        }
        // an earlier copy of the request, whose reply was lost, may have begun the attempt
        let same = tries.begins.iter().filter(|other| other.request == begin.request);
        let start = same.map(|other| other.operation.start).min().unwrap_or(begin.operation.start);
        let ends = tries.ends.iter().filter(|(_, of)| *of == fence).map(|(end, _)| *end);
        let ends = ends.chain(tries.clears.iter().copied().filter(|clear| clear.latest() >= start));
        let until = ends.map(|end| end.start).fold(start + begin.lasting, Micros::min);
        running.push(Running { fence, by: begin.operation, from: begin.operation.end, until });
    }
    running.sort_by_key(|running| running.from);
    for (index, one) in running.iter().enumerate() {
        for other in running[index + 1..].iter().take_while(|other| other.from + TOLERANCE < one.until) {
            let together = other.by.start >= one.from || other.until > other.from;
            if other.fence != one.fence && together {
                found.add(Rule::TriesOverlap, name, [one.by, other.by]);
            }
        }
    }
}

/// The fences of attempts rise, and none ends after a later one has begun.
fn check_fences(name: &str, tries: &Tries<'_>, found: &mut Findings) {
    let mut firsts: HashMap<u64, &Operation> = HashMap::new();
    for begin in &tries.begins {
        let Some((_, fence)) = begun(begin.operation) else { continue };
        let first = firsts.entry(fence).or_insert(begin.operation);
        *first = if begin.operation.end < first.end { begin.operation } else { *first };
    }
    let begins: Vec<_> = firsts.into_iter().collect();
    check_rising(Rule::TryFence, name, &begins, found);
    let is_recorded = |end: &Operation| end.answer().is_some_and(|answer| *answer != Answer::One(false));
    let ends = tries.ends.iter().filter(|(end, _)| is_recorded(end));
    let ends: Vec<_> = ends.map(|(end, fence)| Accepted { fence: *fence, start: end.start, operation: end }).collect();
    fences::check(Rule::StaleTry, name, &begins, &ends, found);
}

/// An exhausted operation does not begin, unless it may have been cleared.
fn check_exhausted(name: &str, tries: &Tries<'_>, found: &mut Findings) {
    for exhausted in &tries.exhausted {
        let begins = tries.begins.iter().map(|begin| begin.operation).filter(|begin| begun(begin).is_some());
        let after = begins.filter(|begin| begin.start > exhausted.end);
        let Some(first) = after.min_by_key(|begin| begin.start) else { continue };
        let may_be_cleared =
            tries.clears.iter().any(|clear| clear.start < first.end && clear.latest() >= exhausted.start);
        if !may_be_cleared {
            found.add(Rule::TryAfterExhausted, name, [*exhausted, first]);
        }
    }
}
