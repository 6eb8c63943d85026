//! Servers and files that the environments of a fleet use for different purposes.

use std::collections::{BTreeMap, BTreeSet};

use store_core::Role;

use super::{files, found, groups, service};
use crate::draft::Connection;
use crate::report::Report;
use crate::same_engine::{are_one, is_one_file};
use crate::servers::Identity;
use crate::settings::Engine;
use crate::{Code, Finding};

/// A server, as one environment uses it.
struct Use<'a> {
    index: usize,
    role: Role,
    connection: &'a Connection,
    identity: Option<&'a Identity>,
}

/// A server that one service uses as its cache and another as its state store: one finding per server.
pub(super) fn roles(reports: &[(&str, &Report)]) -> Vec<(usize, Finding)> {
    let uses: Vec<_> = reports.iter().enumerate().flat_map(|(index, (_, report))| uses_of(index, report)).collect();
    let is_same = |one: usize, other: usize| uses[one].is_same(&uses[other]);
    groups(uses.len(), is_same).iter().filter_map(|group| confused(reports, &uses, group)).collect()
}

/// All environments of a fleet must have the same `STORE_ENVIRONMENT`. Environments whose stores are all embedded share
/// nothing.
pub(super) fn environments(reports: &[(&str, &Report)]) -> Option<(usize, Finding)> {
    let mut names: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, (_, report)) in reports.iter().enumerate() {
        if uses_of(index, report).next().is_some() {
            names.entry(report.draft.environment.as_deref().unwrap_or("no name")).or_default().push(index);
        }
    }
    if names.len() < 2 {
        return None;
    }
    let each = names.iter().map(|(name, users)| format!("{name} in {}", files(reports, users)));
    let what = format!("STORE_ENVIRONMENT differs in one fleet: {}", each.collect::<Vec<_>>().join("; "));
    let concerned: Vec<usize> = names.into_values().flatten().collect();
    Some(found(reports, &concerned, Finding::new(Code::EnvironmentMismatch, None, what)))
}

/// A file that several environments name: one finding per file.
pub(super) fn embedded_files(reports: &[(&str, &Report)]) -> Vec<(usize, Finding)> {
    let mut named = Vec::new();
    for (index, (_, report)) in reports.iter().enumerate() {
        for place in [&report.draft.cache, &report.draft.state] {
            if let Some(Engine::Embedded(Some(path))) = place {
                named.push((index, path));
            }
        }
    }
    let is_same = |one: usize, other: usize| is_one_file(named[one].1, named[other].1);
    let taken = |group: Vec<usize>| {
        let users: BTreeSet<usize> = group.iter().map(|place| named[*place].0).collect();
        let users: Vec<usize> = users.into_iter().collect();
        (users.len() > 1).then(|| {
            let what = format!("the file {} is named in {}", named[group[0]].1.display(), files(reports, &users));
            found(reports, &users, Finding::new(Code::EmbeddedFileTaken, None, what))
        })
    };
    groups(named.len(), is_same).into_iter().filter_map(taken).collect()
}

fn uses_of(index: usize, report: &Report) -> impl Iterator<Item = Use<'_>> {
    [(Role::Cache, &report.identities.cache), (Role::State, &report.identities.state)].into_iter().filter_map(
        move |(role, identity)| {
            let connection = report.draft.server(role)?;
            Some(Use { index, role, connection, identity: identity.as_ref() })
        },
    )
}

impl Use<'_> {
    fn is_same(&self, other: &Use<'_>) -> bool {
        are_one(self.connection, other.connection)
            || self.identity.zip(other.identity).is_some_and(|(one, other)| one.is_same(other))
    }
}

/// What is wrong with the uses of one server. If one environment names it for both roles, the finding is in that
/// environment's report.
fn confused(reports: &[(&str, &Report)], uses: &[Use<'_>], group: &[usize]) -> Option<(usize, Finding)> {
    let of_role = |role: Role| {
        let users: BTreeSet<usize> =
            group.iter().map(|place| &uses[*place]).filter(|used| used.role == role).map(|used| used.index).collect();
        users.into_iter().collect::<Vec<_>>()
    };
    let (caches, states) = (of_role(Role::Cache), of_role(Role::State));
    let is_confused = caches.iter().any(|cache| states.iter().any(|state| state != cache));
    if !is_confused {
        return None;
    }
    let named = |users: &[usize]| {
        let names: BTreeSet<_> = users.iter().map(|index| service(reports, *index)).collect();
        format!("{} ({})", names.into_iter().collect::<Vec<_>>().join(", "), files(reports, users))
    };
    let what = format!(
        "{} is the cache store of {} and the state store of {}",
        uses[group[0]].connection.location(),
        named(&caches),
        named(&states)
    );
    let concerned: Vec<usize> = caches.into_iter().chain(states).collect();
    Some(found(reports, &concerned, Finding::new(Code::RoleMismatch, None, what)))
}
