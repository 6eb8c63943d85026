//! The rule for writes that present a fence.

use super::{Findings, Rule};
use crate::history::{Micros, Operation};

/// A write that was accepted under a fence.
pub(super) struct Accepted<'a> {
    pub(super) fence: u64,
    /// When the first copy of its request was sent.
    pub(super) start: Micros,
    pub(super) operation: &'a Operation,
}

/// Reports each write that was sent after an answer had proved that a newer fence was recorded.
pub(super) fn check(
    rule: Rule,
    subject: &str,
    proofs: &[(u64, &Operation)],
    writes: &[Accepted<'_>],
    found: &mut Findings,
) {
    let mut by_end: Vec<_> = proofs.iter().collect();
    by_end.sort_by_key(|(_, operation)| operation.end);
    let mut by_start: Vec<_> = writes.iter().collect();
    by_start.sort_by_key(|write| write.start);
    let mut ended = by_end.into_iter().peekable();
    let mut newest: Option<&(u64, &Operation)> = None;
    for write in by_start {
        while let Some(proof) = ended.next_if(|proof| proof.1.end < write.start) {
            newest = newest.filter(|newest| newest.0 >= proof.0).or(Some(proof));
        }
        if let Some((fence, proof)) = newest.filter(|newest| newest.0 > write.fence) {
            found.add(rule, format!("{subject}: {} after {fence}", write.fence), [*proof, write.operation]);
        }
    }
}
