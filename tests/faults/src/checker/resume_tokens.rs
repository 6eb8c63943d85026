//! The rules for resume tokens. Each token begins with its position, and a save moves the position on by one.

use std::collections::{BTreeMap, HashMap};

use super::fences::{self, Accepted};
use super::{Findings, Rule};
use crate::history::{Answer, Call, Effect, History, Micros, Operation, SavedToken};

#[derive(Default)]
struct Stream<'a> {
    /// By token: no two requests save the same one.
    saves: HashMap<&'a str, Save<'a>>,
    /// The answers that show the token, or that there is none.
    reads: Vec<(&'a Operation, Option<&'a SavedToken>)>,
    /// The answers that show that a fence was recorded.
    proofs: Vec<(u64, &'a Operation)>,
    take_overs: Vec<(u64, &'a Operation)>,
}

/// All copies of a request.
struct Save<'a> {
    position: u64,
    fence: u64,
    expected: Option<u64>,
    /// When its first copy was sent.
    start: Micros,
    /// The first acknowledgement.
    acknowledged: Option<&'a Operation>,
    /// The first answer that shows that it was executed.
    shown: Option<&'a Operation>,
    copy: &'a Operation,
}

pub(super) fn check(history: &History, found: &mut Findings) {
    for (name, mut stream) in collect(history) {
        check_reads(name, &mut stream, found);
        check_positions(name, &stream, found);
        check_lost(name, &stream, found);
        check_fences(name, &stream, found);
    }
}

fn collect(history: &History) -> BTreeMap<&str, Stream<'_>> {
    let mut streams: BTreeMap<&str, Stream<'_>> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.call {
            Call::TakeOver { stream, fence } => {
                let stream = streams.entry(stream).or_default();
                if let Some(Answer::Token(_)) = operation.answer() {
                    stream.take_overs.push((*fence, operation));
                    stream.proofs.push((*fence, operation));
                }
                stream.add_answer(operation);
            }
            Call::Save { stream, token, fence, expected, .. } => {
                let stream = streams.entry(stream).or_default();
                stream.add_save(operation, token, *fence, *expected);
                stream.add_answer(operation);
            }
            Call::Load { stream } => streams.entry(stream).or_default().add_answer(operation),
            _ => {}
        }
    }
    streams
}

impl<'a> Stream<'a> {
    fn add_save(&mut self, operation: &'a Operation, token: &'a str, fence: u64, expected: Option<u64>) {
        if operation.effect == Effect::None {
            return;
        }
        let save = self.saves.entry(token).or_insert_with(|| Save {
            position: position_of(token),
            fence,
            expected,
            start: operation.start,
            acknowledged: None,
            shown: None,
            copy: operation,
        });
        save.start = save.start.min(operation.start);
        if let Some(Answer::Saved(_)) = operation.answer() {
            let is_first = save.acknowledged.is_none_or(|first| operation.end < first.end);
            save.acknowledged = if is_first { Some(operation) } else { save.acknowledged };
            save.shown = save.acknowledged;
            self.proofs.push((fence, operation));
        }
    }

    fn add_answer(&mut self, operation: &'a Operation) {
        match operation.answer() {
            Some(Answer::Token(token) | Answer::Conflict(token)) => self.reads.push((operation, token.as_ref())),
            Some(Answer::Superseded(later)) => self.proofs.push((*later, operation)),
            _ => {}
        }
    }

    /// The saves that were executed, with the answers that show it, by position.
    fn executed(&self) -> Vec<(&Save<'a>, &'a Operation)> {
        let mut executed: Vec<_> =
            self.saves.values().filter_map(|save| save.shown.map(|shown| (save, shown))).collect();
        executed.sort_by_key(|(save, shown)| (save.position, shown.end));
        executed
    }
}

/// Each returned token has a save, and each version one token. Also notes which saves the answers show.
fn check_reads<'a>(name: &str, stream: &mut Stream<'a>, found: &mut Findings) {
    let mut versions: HashMap<u64, (&str, &Operation)> = HashMap::new();
    for save in stream.saves.values() {
        let Some(operation) = save.acknowledged else { continue };
        if let (Call::Save { token, .. }, Some(Answer::Saved(version))) = (&operation.call, operation.answer()) {
            versions.insert(*version, (token, operation));
        }
    }
    for (operation, token) in stream.reads.clone() {
        let Some(SavedToken { token, version }) = token else { continue };
        match stream.saves.get_mut(token.as_str()).filter(|save| save.start < operation.end) {
            Some(save) => {
                let is_first = save.shown.is_none_or(|shown| operation.end < shown.end);
                save.shown = if is_first { Some(operation) } else { save.shown };
            }
            None => found.add(Rule::TokenUnknown, format!("{token} of {name}"), [operation]),
        }
        let (saved, by) = versions.entry(*version).or_insert((token, operation));
        if saved != token {
            found.add(Rule::TokenUnknown, format!("version {version} of {name}"), [*by, operation]);
        }
    }
}

/// Each position is saved once, after the one before it.
fn check_positions(name: &str, stream: &Stream<'_>, found: &mut Findings) {
    let mut replaced: HashMap<Option<u64>, &Operation> = HashMap::new();
    let mut before: Option<(&Save<'_>, &Operation)> = None;
    let executed = stream.executed();
    // the earliest time at which a save of a position may have been executed
    let mut firsts: HashMap<u64, Micros> = HashMap::new();
    for save in stream.saves.values() {
        let first = firsts.entry(save.position).or_insert(save.start);
        *first = save.start.min(*first);
    }
    for (save, shown) in &executed {
        let position = save.position;
        let subject = format!("{position} of {name}");
        if let Some(other) = replaced.insert(save.expected, shown) {
            found.add(Rule::PositionRepeated, &subject, [other, save.copy, *shown]);
        }
        if let Some((last, other)) = before {
            // the same position, or a lower one that was saved before this one was sent
            if last.position == position || shown.end < last.start {
                found.add(Rule::PositionRepeated, &subject, [other, save.copy, *shown]);
            }
        }
        before = Some((save, shown));
        let has_predecessor = match position {
            1 => save.expected.is_none(),
            _ => save.expected.is_some() && firsts.get(&(position - 1)).is_some_and(|first| *first < shown.end),
        };
        if !has_predecessor {
            found.add(Rule::PositionSkipped, &subject, [save.copy, *shown]);
        }
    }
}

/// No answer shows a lower position than one whose save was acknowledged before the request was sent.
fn check_lost(name: &str, stream: &Stream<'_>, found: &mut Findings) {
    let acknowledged = stream.saves.values().filter_map(|save| Some((save.position, save.acknowledged?)));
    let mut acknowledged: Vec<_> = acknowledged.collect();
    acknowledged.sort_by_key(|(_, operation)| operation.end);
    let mut reads = stream.reads.clone();
    reads.sort_by_key(|(operation, _)| operation.start);
    let mut saved = acknowledged.into_iter().peekable();
    let mut last: Option<(u64, &Operation)> = None;
    for (operation, token) in reads {
        while let Some(save) = saved.next_if(|(_, save)| save.end < operation.start) {
            last = last.filter(|last| last.0 >= save.0).or(Some(save));
        }
        let position = token.map_or(0, |token| position_of(&token.token));
        if let Some((lost, save)) = last.filter(|last| last.0 > position) {
            found.add(Rule::TokenLost, format!("{lost} of {name}"), [save, operation]);
        }
    }
}

fn check_fences(name: &str, stream: &Stream<'_>, found: &mut Findings) {
    let saves = stream
        .saves
        .values()
        .filter_map(|save| Some(Accepted { fence: save.fence, start: save.start, operation: save.acknowledged? }));
    let take_overs = stream.take_overs.iter().map(|(fence, operation)| Accepted {
        fence: *fence,
        start: operation.start,
        operation,
    });
    let accepted: Vec<_> = saves.chain(take_overs).collect();
    fences::check(Rule::TokenFence, name, &stream.proofs, &accepted, found);
}

fn position_of(token: &str) -> u64 {
    token.split(' ').next().and_then(|position| position.parse().ok()).unwrap_or_default()
}
