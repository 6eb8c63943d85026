//! The rules for broadcasts. A message has the name of its publisher, a blank, and a number that rises.

use std::collections::{BTreeMap, HashMap};

use super::{Findings, Rule};
use crate::history::{Call, Effect, History, Micros, Operation};

/// A call that took longer may have been repeated by the store: its message may come late.
const REPEATED: Micros = 350_000;

/// Around a fault that may replace a primary or move a slot, messages can be published where nobody listens any more.
const AROUND: Micros = 5_000_000;

/// What a listener has heard of one publisher.
#[derive(Default)]
struct Heard<'a> {
    /// By number, since it began to listen.
    messages: HashMap<u64, &'a Operation>,
    /// The last message since it began to listen or may have missed messages.
    last: Option<(u64, &'a Operation)>,
    /// The message with the largest number since it began to listen.
    largest: Option<(u64, &'a Operation)>,
}

pub(super) fn check(history: &History, found: &mut Findings) {
    let mut published: BTreeMap<(&str, &str), BTreeMap<u64, &Operation>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| operation.effect != Effect::None) {
        if let Call::Broadcast { name, message } = &operation.call
            && let Some((publisher, number)) = parse(message)
        {
            published.entry((name, publisher)).or_default().insert(number, operation);
        }
    }
    let mut listeners: BTreeMap<(&str, &str), BTreeMap<&str, Heard<'_>>> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.call {
            Call::Listen { name } => drop(listeners.remove(&(name.as_str(), operation.actor.as_str()))),
            Call::Hear { name, message: None } => {
                let heard = listeners.entry((name, &operation.actor)).or_default();
                heard.values_mut().for_each(|heard| heard.last = None);
            }
            Call::Hear { name, message: Some(message) } => {
                let subject = format!("{message} to {}", operation.actor);
                let by = parse(message).and_then(|(publisher, number)| {
                    let published = published.get(&(name.as_str(), publisher))?;
                    let call = published.get(&number).filter(|call| call.start < operation.end)?;
                    Some((publisher, number, published, *call))
                });
                let Some((publisher, number, published, call)) = by else {
                    found.add(Rule::BroadcastUnknown, subject, [operation]);
                    continue;
                };
                let heard = listeners.entry((name, &operation.actor)).or_default().entry(publisher).or_default();
                if let Some(before) = heard.messages.insert(number, operation) {
                    found.add(Rule::BroadcastRepeated, &subject, [call, before, operation]);
                }
                if let Some((_, later)) = heard.largest.filter(|(largest, _)| *largest > number && is_prompt(call)) {
                    found.add(Rule::BroadcastOrder, &subject, [call, later, operation]);
                }
                if let Some((last, before)) = heard.last.filter(|(last, _)| *last < number) {
                    let between = published.range(last + 1..number).map(|(number, call)| (number, *call));
                    let missed = between.filter(|(number, call)| {
                        !heard.messages.contains_key(number) && is_prompt(call) && !is_around_a_fault(history, call)
                    });
                    if let Some((_, missed)) = missed.into_iter().next() {
                        found.add(Rule::BroadcastMissed, subject, [before, missed, operation]);
                    }
                }
                heard.last = Some((number, operation));
                heard.largest = heard.largest.filter(|(largest, _)| *largest > number).or(heard.last);
            }
            _ => {}
        }
    }
}

fn parse(message: &str) -> Option<(&str, u64)> {
    let (publisher, number) = message.rsplit_once(' ')?;
    Some((publisher, number.parse().ok()?))
}

/// Whether the call was answered, and so soon that the store has sent it once.
fn is_prompt(call: &Operation) -> bool {
    call.answer().is_some() && call.end - call.start < REPEATED
}

fn is_around_a_fault(history: &History, call: &Operation) -> bool {
    let has_failovers = history.run.as_ref().is_some_and(|run| run.has_failovers);
    let around = |begin: Micros, end: Micros| call.end + AROUND > begin && call.start < end + AROUND;
    has_failovers && history.faults.iter().any(|(_, begin, end)| around(*begin, *end))
}
