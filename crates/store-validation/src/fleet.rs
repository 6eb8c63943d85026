//! Findings that need the environments of several services.

mod engines;

use std::collections::{BTreeMap, BTreeSet};

use store_core::Role;

use crate::report::Report;
use crate::same_engine::are_one;
use crate::{Code, Finding};

/// Compares the reports of several environments, each with a name (its file). Each finding comes with the index of the report
/// that it concerns.
///
/// Two services must not use one database number of one cache server, and all must name the same shared number there. There is
/// one finding per number, however many services share it, at the last of their reports. Several environments of one service
/// are fine. No server may be the cache store of one service and the state store of another, all must name the same
/// `STORE_ENVIRONMENT`, and no two environments may name one embedded file. Servers are the same if their spelling is the
/// same, or, in reports of [`check`](crate::check), if their address or process is the same.
pub fn check_fleet(reports: &[(&str, &Report)]) -> Vec<(usize, Finding)> {
    let same_cache = |one: usize, other: usize| is_one_cache(reports[one].1, reports[other].1);
    let caches = groups(reports.len(), same_cache);
    let mut findings: Vec<_> = caches.iter().flat_map(|group| of_cache_server(reports, group)).collect();
    findings.extend(engines::roles(reports));
    findings.extend(engines::environments(reports));
    findings.extend(engines::embedded_files(reports));
    findings
}

/// The indices from 0 to `count`, grouped by `is_same`, also transitively.
pub(crate) fn groups(count: usize, is_same: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in 0..count {
        let (mut joined, others): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|group| group.iter().any(|member| is_same(*member, index)));
        let mut group = joined.drain(..).flatten().collect::<Vec<_>>();
        group.push(index);
        groups = others;
        groups.push(group);
    }
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_unstable();
    groups
}

/// The environments that name one cache server.
fn of_cache_server(reports: &[(&str, &Report)], group: &[usize]) -> Vec<(usize, Finding)> {
    let mut own: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut shared: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for index in group.iter().copied() {
        let draft = &reports[index].1.draft;
        for (users, number) in [(&mut own, draft.database), (&mut shared, draft.shared_database)] {
            if let Some(number) = number {
                users.entry(number).or_default().push(index);
            }
        }
    }
    let mut findings: Vec<_> = several_shared_numbers(reports, &shared).into_iter().collect();
    let nobody = Vec::new();
    for (number, owners) in &own {
        findings.extend(taken(reports, *number, owners, shared.get(number).unwrap_or(&nobody)));
    }
    findings
}

/// Hand-offs need one common database.
fn several_shared_numbers(reports: &[(&str, &Report)], shared: &BTreeMap<u32, Vec<usize>>) -> Option<(usize, Finding)> {
    if shared.len() < 2 {
        return None;
    }
    let numbers = shared.iter().map(|(number, users)| format!("{number} in {}", files(reports, users)));
    let what = format!(
        "REDIS_CACHE_SHARED_DB differs on one cache server: {}; hand-offs would not meet",
        numbers.collect::<Vec<_>>().join("; ")
    );
    let concerned: Vec<usize> = shared.values().flatten().copied().collect();
    Some(found(reports, &concerned, Finding::new(Code::ConfInvalid, Role::Cache, what)))
}

/// A number that several services own, or that one service owns and another uses as the shared one.
fn taken(reports: &[(&str, &Report)], number: u32, owners: &[usize], shared: &[usize]) -> Option<(usize, Finding)> {
    let services: BTreeSet<_> = owners.iter().map(|index| service(reports, *index)).collect();
    // if one environment uses it for both, that environment's report has the finding
    let shared: Vec<usize> = shared.iter().copied().filter(|index| !owners.contains(index)).collect();
    if services.len() + usize::from(!shared.is_empty()) < 2 {
        return None;
    }
    let owned = services.iter().map(|name| {
        let of_service = owners.iter().copied().filter(|index| service(reports, *index) == *name);
        format!("{name} ({})", files(reports, &of_service.collect::<Vec<_>>()))
    });
    let mut what = format!("REDIS_CACHE_DB is {number} for {}", owned.collect::<Vec<_>>().join(", "));
    if !shared.is_empty() {
        what.push_str(&format!("; REDIS_CACHE_SHARED_DB is {number} in {}", files(reports, &shared)));
    }
    let concerned: Vec<usize> = owners.iter().copied().chain(shared).collect();
    Some(found(reports, &concerned, Finding::new(Code::DatabaseNumberTaken, Role::Cache, what)))
}

/// The finding, at the last environment that it concerns. It is allowed if the environments of all services but one
/// allow it: that one is the rightful owner.
fn found(reports: &[(&str, &Report)], concerned: &[usize], finding: Finding) -> (usize, Finding) {
    let last = concerned.iter().copied().max().unwrap_or_default();
    let lets_pass = |index: &&usize| reports[**index].1.lets_pass(finding.code);
    let strict: BTreeSet<_> =
        concerned.iter().filter(|index| !lets_pass(index)).map(|index| service(reports, *index)).collect();
    let is_let_pass = strict.len() <= 1 && concerned.iter().any(|index| lets_pass(&index));
    (last, if is_let_pass { finding.let_pass() } else { finding })
}

fn service<'a>(reports: &[(&str, &'a Report)], index: usize) -> &'a str {
    reports[index].1.draft.service.as_ref().map_or("a service without a name", |service| service.as_str())
}

fn files(reports: &[(&str, &Report)], indices: &[usize]) -> String {
    indices.iter().map(|index| reports[*index].0).collect::<Vec<_>>().join(", ")
}

fn is_one_cache(one: &Report, other: &Report) -> bool {
    let spelled = one.draft.server(Role::Cache).zip(other.draft.server(Role::Cache));
    let by_identity = one.identities.cache.as_ref().zip(other.identities.cache.as_ref());
    spelled.is_some_and(|(one, other)| are_one(one, other))
        || by_identity.is_some_and(|(one, other)| one.is_same(other))
}
