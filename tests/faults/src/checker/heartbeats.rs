//! The rules for heartbeats.

use std::collections::BTreeMap;

use super::{Findings, Rule, TOLERANCE};
use crate::history::{Answer, Call, Effect, History, Micros, Operation};

#[derive(Default)]
struct Member<'a> {
    beats: Vec<(&'a Operation, Micros)>,
    leaves: Vec<&'a Operation>,
}

pub(super) fn check(history: &History, found: &mut Findings) {
    let mut pools: BTreeMap<&str, BTreeMap<&str, Member<'_>>> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.call {
            Call::Beat { pool, member, lasting_ms } => {
                let member = pools.entry(pool).or_default().entry(member).or_default();
                member.beats.push((operation, lasting_ms * 1000));
            }
            Call::Leave { pool, member } => {
                pools.entry(pool).or_default().entry(member).or_default().leaves.push(operation);
            }
            _ => {}
        }
    }
    let nobody = Member::default();
    for listing in &history.operations {
        let (Call::Alive { pool }, Some(Answer::Names(names))) = (&listing.call, listing.answer()) else { continue };
        let Some(members) = pools.get(pool.as_str()) else { continue };
        for (name, member) in members {
            let listed = names.iter().any(|listed| listed == name);
            if let Some(beat) = surely_alive(member, listing).filter(|_| !listed) {
                found.add(Rule::MemberMissing, format!("{name} of {pool}"), [beat, listing]);
            }
        }
        for name in names {
            let member = members.get(name.as_str()).unwrap_or(&nobody);
            if !may_be_alive(member, listing) {
                let beats =
                    member.beats.iter().map(|(beat, _)| *beat).filter(|beat| beat.start < listing.end).rev().take(2);
                let left = member.leaves.iter().copied().rfind(|leave| leave.start < listing.end);
                found.add(Rule::MemberStale, format!("{name} of {pool}"), beats.chain(left).chain([listing]));
            }
        }
    }
}

/// The beat because of which a member is certainly alive in this listing.
fn surely_alive<'a>(member: &Member<'a>, listing: &Operation) -> Option<&'a Operation> {
    let beats = member.beats.iter().filter(|(beat, _)| beat.answer().is_some() && beat.end < listing.start);
    let (last, _) = beats.max_by_key(|(beat, _)| beat.start)?;
    // all operations that may have been executed since
    let since = |operation: &Operation| {
        operation.effect != Effect::None && operation.start < listing.end && operation.latest() > last.start
    };
    let until = |(beat, lasting): &(&Operation, Micros)| beat.start.max(last.start) + lasting;
    let lasts = member.beats.iter().filter(|(beat, _)| since(beat)).all(|beat| listing.end + TOLERANCE < until(beat));
    (lasts && !member.leaves.iter().any(|leave| since(leave))).then_some(last)
}

/// Whether a beat may count in this listing.
fn may_be_alive(member: &Member<'_>, listing: &Operation) -> bool {
    member.beats.iter().any(|(beat, lasting)| {
        let left = member
            .leaves
            .iter()
            .any(|leave| leave.answer().is_some() && leave.end < listing.start && beat.latest() < leave.start);
        let over = beat.latest().saturating_add(*lasting + TOLERANCE) < listing.start;
        beat.effect != Effect::None && beat.start < listing.end && !left && !over
    })
}
