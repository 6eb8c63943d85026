//! What shows only when the environments of several services are seen together.

use crate::report::Report;
use crate::same_place::is_one_server;
use crate::{Code, Finding};
use store_core::Role;

/// Compares the reports of several environments, each with a name to call it by (its file). Each finding comes with the
/// place of the report that it concerns.
///
/// Two services may not use one database number of one cache server, and all must name the same shared number there;
/// environments of one service may, of course. Servers are the same when they have the same spelling, or, in reports of
/// [`check`](crate::check), the same address or process.
pub fn check_fleet(reports: &[(&str, &Report)]) -> Vec<(usize, Finding)> {
    let mut findings = Vec::new();
    for (place, (_, report)) in reports.iter().enumerate() {
        for (name, earlier) in &reports[..place] {
            let pair = of_pair(name, earlier, report);
            findings.extend(pair.into_iter().map(|finding| (place, report.let_pass(finding))));
        }
    }
    findings
}

fn of_pair(name: &str, earlier: &Report, later: &Report) -> Vec<Finding> {
    let (one, other) = (&earlier.draft, &later.draft);
    if !is_one_cache(earlier, later) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let mut find = |code, what| findings.push(Finding::new(code, Role::Cache, what));
    let is_same = |left: Option<u32>, right: Option<u32>| left.filter(|_| left == right);
    if one.service != other.service
        && let Some(number) = is_same(one.database, other.database)
    {
        let service = one.service.as_ref().map_or("another service", |service| service.as_str());
        find(Code::DatabaseNumberTaken, format!("REDIS_CACHE_DB is {number}, as that of {service} in {name}"));
    }
    match (one.shared_database, other.shared_database) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            find(
                Code::ConfInvalid,
                format!("REDIS_CACHE_SHARED_DB is {ours}, and {theirs} in {name}: hand-offs would not meet"),
            );
            if is_same(one.database, Some(ours)).is_some() {
                find(
                    Code::DatabaseNumberTaken,
                    format!("REDIS_CACHE_SHARED_DB is {ours}, the service's own number in {name}"),
                );
            }
            if is_same(other.database, Some(theirs)).is_some() {
                find(Code::DatabaseNumberTaken, format!("REDIS_CACHE_DB is {theirs}, the shared number in {name}"));
            }
        }
        _ => {}
    }
    findings
}

fn is_one_cache(one: &Report, other: &Report) -> bool {
    let spelled = |report: &'_ Report| report.draft.server(Role::Cache).and_then(|server| server.endpoint().cloned());
    let by_identity = one.cache_identity.as_ref().zip(other.cache_identity.as_ref());
    spelled(one).zip(spelled(other)).is_some_and(|(one, other)| is_one_server(&one, &other))
        || by_identity.is_some_and(|(one, other)| one.is_same(other))
}
