//! The rules for leases and the registers that they guard.

use std::collections::{BTreeMap, HashMap};

use super::{Findings, Rule, TOLERANCE, check_rising};
use crate::history::{Answer, Call, Effect, Granted, History, Micros, Operation};

#[derive(Default)]
struct Lease<'a> {
    acquisitions: Vec<(&'a Operation, &'a str, &'a str, Micros)>,
    renewals: Vec<(&'a Operation, u64, Micros)>,
    releases: Vec<(&'a Operation, u64)>,
    inspections: Vec<&'a Operation>,
    writes: Vec<(&'a Operation, u64)>,
}

/// A time during which one fence certainly held the lease.
struct Term<'a> {
    fence: u64,
    /// The acquisition.
    by: &'a Operation,
    from: Micros,
    until: Micros,
}

impl Term<'_> {
    fn covers(&self, operation: &Operation) -> bool {
        self.from <= operation.start && operation.end.saturating_add(TOLERANCE) < self.until
    }
}

pub(super) fn check(history: &History, found: &mut Findings) {
    for (name, lease) in &collect(history) {
        let terms = terms(name, lease, found);
        check_overlaps(name, &terms, found);
        check_reports(name, lease, &terms, found);
        check_releases(name, lease, found);
        check_registers(name, lease, &terms, found);
        let grants: Vec<_> = firsts(lease).into_iter().collect();
        check_rising(Rule::LeaseFence, name, &grants, found);
    }
}

fn collect(history: &History) -> BTreeMap<&str, Lease<'_>> {
    let mut leases: BTreeMap<&str, Lease<'_>> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.call {
            Call::Acquire { name, holder, request, lasting_ms } => {
                let acquisition = (operation, holder.as_str(), request.as_str(), lasting_ms * 1000);
                leases.entry(name).or_default().acquisitions.push(acquisition);
            }
            Call::Renew { name, fence, lasting_ms, .. } => {
                leases.entry(name).or_default().renewals.push((operation, *fence, lasting_ms * 1000));
            }
            Call::Release { name, fence, .. } => leases.entry(name).or_default().releases.push((operation, *fence)),
            Call::Inspect { name } => leases.entry(name).or_default().inspections.push(operation),
            Call::Write { name, fence } => leases.entry(name).or_default().writes.push((operation, *fence)),
            _ => {}
        }
    }
    leases
}

fn granted(operation: &Operation) -> Option<&Granted> {
    match operation.answer() {
        Some(Answer::Lease { mine: true, lease }) => lease.as_ref(),
        _ => None,
    }
}

/// The first acquisition of each fence that was answered.
fn firsts<'a>(lease: &Lease<'a>) -> HashMap<u64, &'a Operation> {
    let mut firsts: HashMap<u64, &Operation> = HashMap::new();
    for (operation, ..) in &lease.acquisitions {
        let Some(granted) = granted(operation) else { continue };
        let first = firsts.entry(granted.fence).or_insert(operation);
        if operation.end < first.end {
            *first = operation;
        }
    }
    firsts
}

/// When each fence certainly held the lease. Also reports leases that were lost within such a time.
fn terms<'a>(name: &str, lease: &Lease<'a>, found: &mut Findings) -> Vec<Term<'a>> {
    let mut terms = Vec::new();
    for (fence, by) in firsts(lease) {
        let Some((_, _, request, lasting)) = lease.acquisitions.iter().find(|(of, ..)| of.id == by.id) else {
            continue;
        };
        // an earlier copy of the request, whose reply was lost, may have acquired it
        let same = lease.acquisitions.iter().filter(|(of, _, other, _)| other == request && of.effect != Effect::None);
        let start = same.map(|(of, ..)| of.start).min().unwrap_or(by.start);
        let mut term = Term { fence, by, from: by.end, until: start + lasting };
        follow(name, lease, &mut term, found);
        terms.push(term);
    }
    terms.sort_by_key(|term| term.from);
    terms
}

/// Follows the renewals and the release of one fence.
fn follow(name: &str, lease: &Lease<'_>, term: &mut Term<'_>, found: &mut Findings) {
    let renewals = lease.renewals.iter().filter(|(_, fence, _)| *fence == term.fence);
    let releases = lease.releases.iter().filter(|(_, fence)| *fence == term.fence);
    let mut steps: Vec<_> = renewals.map(|(operation, _, lasting)| (*operation, Some(*lasting))).collect();
    steps.extend(releases.map(|(operation, _)| (*operation, None)));
    steps.retain(|(operation, _)| operation.effect != Effect::None);
    steps.sort_by_key(|(operation, _)| operation.start);
    // a renewal whose reply was lost may arrive later and shorten the lease
    let mut shortest = Micros::MAX;
    for (operation, lasting) in steps {
        // An earlier copy of a short renewal may have let the lease run out before its repetition was carried out
        let repeated = match lasting {
            Some(lasting) => operation.end >= operation.start + lasting,
            // an earlier copy of a release may have released it for another holder
            None => lease.acquisitions.iter().any(|(acquisition, ..)| {
                granted(acquisition).is_some_and(|granted| granted.fence > term.fence)
                    && acquisition.start < operation.end
            }),
        };
        if operation.answer() == Some(&Answer::One(false)) && term.covers(operation) && !repeated {
            found.add(Rule::LeaseLostEarly, name, [term.by, operation]);
        }
        match (lasting, operation.answer()) {
            (Some(lasting), Some(Answer::One(true))) => term.until = operation.start + lasting.min(shortest),
            (Some(lasting), None) => {
                shortest = shortest.min(lasting);
                term.until = term.until.min(operation.start + lasting);
            }
            _ => {
                term.until = term.until.min(operation.start);
                return;
            }
        }
    }
}

fn check_overlaps(name: &str, terms: &[Term<'_>], found: &mut Findings) {
    for (index, one) in terms.iter().enumerate() {
        for other in terms[index + 1..].iter().take_while(|other| other.from + TOLERANCE < one.until) {
            // acquired within the other's term, or held together with it
            if other.by.start >= one.from || other.until > other.from {
                found.add(
                    Rule::LeasesOverlap,
                    format!("{name}: {} and {}", one.fence, other.fence),
                    [one.by, other.by],
                );
            }
        }
    }
}

/// Inspections of a lease return its holder while one holds it, and only a holder that may have acquired it.
fn check_reports(name: &str, lease: &Lease<'_>, terms: &[Term<'_>], found: &mut Findings) {
    let refused = lease.acquisitions.iter().map(|(operation, ..)| *operation);
    for operation in lease.inspections.iter().copied().chain(refused) {
        let Some(Answer::Lease { mine: false, lease: reported }) = operation.answer() else { continue };
        let wrong = |term: &&Term<'_>| {
            term.covers(operation) && reported.as_ref().is_none_or(|reported| reported.fence != term.fence)
        };
        if let Some(term) = terms.iter().find(wrong) {
            found.add(Rule::LeaseLostEarly, name, [term.by, operation]);
        }
        let Some(reported) = reported else { continue };
        let may_be = lease.acquisitions.iter().any(|(acquisition, holder, _, lasting)| {
            *holder == reported.holder && acquisition.start < operation.end && {
                // a first copy, whose lease was over before a later copy was carried out
                let is_again = acquisition.end.saturating_sub(acquisition.start) > *lasting;
                match (granted(acquisition), acquisition.answer()) {
                    (Some(granted), _) => granted.fence == reported.fence || is_again && granted.fence > reported.fence,
                    (None, Some(_)) => is_again,
                    (None, None) => acquisition.is_unknown(),
                }
            }
        });
        let released = lease.releases.iter().find(|(release, fence)| {
            *fence == reported.fence && release.answer() == Some(&Answer::One(true)) && release.end < operation.start
        });
        if let Some((release, _)) = released {
            found.add(Rule::LeaseUnknown, format!("{name}, released by {}", reported.holder), [*release, operation]);
        }
        if !may_be {
            found.add(Rule::LeaseUnknown, format!("{name}, held by {}", reported.holder), [operation]);
        }
    }
}

/// A release does not succeed after another holder has acquired the lease.
fn check_releases(name: &str, lease: &Lease<'_>, found: &mut Findings) {
    for (operation, fence) in &lease.releases {
        let follows = |other: &&Operation| {
            other.end < operation.start && granted(other).is_some_and(|granted| granted.fence > *fence)
        };
        let next = lease.acquisitions.iter().map(|(acquisition, ..)| *acquisition).find(follows);
        if let (Some(Answer::One(true)), Some(next)) = (operation.answer(), next) {
            found.add(Rule::LeaseUnknown, format!("{name}, released under {fence} too late"), [next, *operation]);
        }
    }
}

fn check_registers(name: &str, lease: &Lease<'_>, terms: &[Term<'_>], found: &mut Findings) {
    let mut newest: Option<(u64, &Operation)> = None;
    let mut writes = lease.writes.clone();
    writes.sort_by_key(|(operation, _)| operation.end);
    for (operation, fence) in writes {
        if operation.answer() == Some(&Answer::One(true)) {
            if let Some((_, before)) = newest.filter(|(newest, before)| *newest > fence && before.end < operation.start)
            {
                found.add(Rule::RegisterOrder, name, [before, operation]);
            }
            if newest.is_none_or(|(newest, _)| newest < fence) {
                newest = Some((fence, operation));
            }
        } else if let Some(term) = terms.iter().find(|term| term.fence == fence && term.covers(operation)) {
            found.add(Rule::RegisterRefused, name, [term.by, operation]);
        }
    }
}
