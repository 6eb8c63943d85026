//! The rules for idempotent requests.

use std::collections::BTreeMap;

use super::{Findings, Rule, TOLERANCE};
use crate::history::{Answer, Call, Effect, History, Micros, Operation};

#[derive(Default)]
struct Key<'a> {
    begins: Vec<Begin<'a>>,
    finishes: Vec<Finish<'a>>,
    abandons: Vec<(&'a Operation, &'a str)>,
}

struct Begin<'a> {
    operation: &'a Operation,
    attempt: &'a str,
    content: &'a str,
    lasting: Micros,
}

struct Finish<'a> {
    operation: &'a Operation,
    attempt: &'a str,
    response: &'a str,
    keep: Micros,
}

/// A time during which one attempt was certainly under way.
struct Attempt<'a> {
    name: &'a str,
    by: &'a Operation,
    from: Micros,
    until: Micros,
}

pub(super) fn check(history: &History, found: &mut Findings) {
    let losses = losses(history);
    for ((store, key), requests) in collect(history) {
        let subject = format!("{key} of the {store} store");
        // the cache store may lose everything when its server dies
        let losses = if store == "cache" { losses.as_slice() } else { &[] };
        check_attempts(&requests, losses, &subject, found);
        check_kept(&requests, losses, &subject, found);
        check_answers(&requests, &subject, found);
    }
}

/// When the cache store was killed, until it was up again.
fn losses(history: &History) -> Vec<(Micros, Micros)> {
    let killed = history.faults.iter().filter(|(name, ..)| name == crate::KILL_CACHE);
    killed.map(|(_, begin, end)| (*begin, *end)).collect()
}

fn lost_between(losses: &[(Micros, Micros)], from: Micros, to: Micros) -> bool {
    losses.iter().any(|(begin, end)| *begin < to && *end > from)
}

fn collect(history: &History) -> BTreeMap<(&str, &str), Key<'_>> {
    let mut keys: BTreeMap<(&str, &str), Key<'_>> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.call {
            Call::Begin { store, key, content, attempt, lasting_ms } => {
                let begin = Begin { operation, attempt, content, lasting: lasting_ms * 1000 };
                keys.entry((store, key)).or_default().begins.push(begin);
            }
            Call::Finish { store, key, attempt, response, keep_ms } => {
                let finish = Finish { operation, attempt, response, keep: keep_ms * 1000 };
                keys.entry((store, key)).or_default().finishes.push(finish);
            }
            Call::Abandon { store, key, attempt } => {
                keys.entry((store, key)).or_default().abandons.push((operation, attempt));
            }
            _ => {}
        }
    }
    keys
}

impl<'a> Key<'a> {
    /// The operations that may have ended this attempt.
    fn ends(&self, attempt: &str) -> impl Iterator<Item = &'a Operation> {
        let finishes = self.finishes.iter().filter(move |finish| finish.attempt == attempt);
        let abandons = self.abandons.iter().filter(move |(_, of)| *of == attempt);
        let ends = finishes.map(|finish| finish.operation).chain(abandons.map(|(operation, _)| *operation));
        ends.filter(|operation| operation.effect != Effect::None)
    }
}

/// At most one attempt is under way.
fn check_attempts(key: &Key<'_>, losses: &[(Micros, Micros)], subject: &str, found: &mut Findings) {
    let started = key.begins.iter().filter(|begin| begin.operation.answer() == Some(&Answer::Started));
    let mut attempts: Vec<_> = started
        .map(|begin| {
            let same = key.begins.iter().filter(|other| other.attempt == begin.attempt);
            let start = same.map(|other| other.operation.start).min().unwrap_or(begin.operation.start);
            let until = key.ends(begin.attempt).map(|end| end.start).fold(start + begin.lasting, Micros::min);
            Attempt { name: begin.attempt, by: begin.operation, from: begin.operation.end, until }
        })
        .collect();
    attempts.sort_by_key(|attempt| attempt.from);
    for (index, one) in attempts.iter().enumerate() {
        for other in attempts[index + 1..].iter().take_while(|other| other.from + TOLERANCE < one.until) {
            let together = other.by.start >= one.from || other.until > other.from;
            if other.name != one.name && together && !lost_between(losses, one.by.start, other.from) {
                found.add(Rule::TwoAttempts, subject, [one.by, other.by]);
            }
        }
    }
}

/// A kept response is returned to all later begins, and no other response is kept.
fn check_kept(key: &Key<'_>, losses: &[(Micros, Micros)], subject: &str, found: &mut Findings) {
    for finish in key.finishes.iter().filter(|finish| finish.operation.answer() == Some(&Answer::One(true))) {
        // an earlier copy, whose answer was an error, may have begun the time; a repetition does not prolong it
        let copies = key.finishes.iter().filter(|copy| copy.attempt == finish.attempt);
        let executed = copies.filter(|copy| copy.operation.effect != Effect::None);
        let until = executed.map(|copy| copy.operation.start + copy.keep).fold(Micros::MAX, Micros::min);
        let kept = |operation: &Operation| {
            operation.start > finish.operation.end
                && operation.end.saturating_add(TOLERANCE) < until
                && !lost_between(losses, finish.operation.start, operation.end)
        };
        for other in key.finishes.iter().filter(|other| other.attempt != finish.attempt && kept(other.operation)) {
            if other.operation.answer() == Some(&Answer::One(true)) {
                found.add(Rule::ResponseChanged, subject, [finish.operation, other.operation]);
            }
        }
        let content = key.begins.iter().find(|begin| begin.attempt == finish.attempt).map(|begin| begin.content);
        for begin in key.begins.iter().filter(|begin| kept(begin.operation)) {
            let same = content.is_none_or(|content| content == begin.content);
            let rule = match begin.operation.answer() {
                Some(Answer::Finished(response)) if response == finish.response && same => continue,
                Some(Answer::Mismatch) if !same => continue,
                Some(Answer::Finished(_)) => Rule::ResponseChanged,
                Some(_) => Rule::ResponseLost,
                None => continue,
            };
            found.add(rule, subject, [finish.operation, begin.operation]);
        }
    }
}

/// Each answer has a cause.
fn check_answers(key: &Key<'_>, subject: &str, found: &mut Findings) {
    for begin in &key.begins {
        let operation = begin.operation;
        let before = |other: &Operation| other.effect != Effect::None && other.start < operation.end;
        match operation.answer() {
            Some(Answer::Finished(response)) => {
                let kept = |finish: &&Finish<'_>| {
                    let refused = finish.operation.answer() == Some(&Answer::One(false));
                    finish.response == response && before(finish.operation) && !refused
                };
                if key.finishes.iter().find(kept).is_none() {
                    found.add(Rule::ResponseUnknown, subject, [operation]);
                }
            }
            Some(Answer::Mismatch) => {
                let other = |other: &&Begin<'_>| other.content != begin.content && before(other.operation);
                if key.begins.iter().find(other).is_none() {
                    found.add(Rule::MismatchOfNothing, subject, [operation]);
                }
            }
            Some(Answer::InProgress) => {
                let others = || key.begins.iter().filter(|other| other.attempt != begin.attempt);
                let under_way = others().find(|other| may_be_under_way(key, other, operation));
                if under_way.is_none() {
                    let ends =
                        others().flat_map(|other| key.ends(other.attempt)).filter(|end| end.start < operation.start);
                    let last = ends.max_by_key(|end| end.start);
                    found.add(Rule::InProgressOfNobody, subject, last.into_iter().chain([operation]));
                }
            }
            _ => {}
        }
    }
}

/// Whether an attempt may have been under way when `operation` was executed.
fn may_be_under_way(key: &Key<'_>, begin: &Begin<'_>, operation: &Operation) -> bool {
    let started = begin.operation.answer() == Some(&Answer::Started) || begin.operation.is_unknown();
    let over = begin.operation.latest().saturating_add(begin.lasting + TOLERANCE);
    let ended = key.ends(begin.attempt).any(|end| {
        end.end < operation.start && end.answer() == Some(&Answer::One(true)) && begin.operation.latest() < end.end
    });
    started && begin.operation.start < operation.end && over > operation.start && !ended
}
