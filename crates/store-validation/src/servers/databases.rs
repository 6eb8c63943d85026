//! The database numbers, and whether they accept writes.

use redis_link::Fact;
use store_core::{Error, Role};

use super::probe_key;
use super::visit::Visit;
use crate::draft::Draft;
use crate::variable::{CACHE_DB, CACHE_SHARED_DB, STATE_URL};
use crate::{Code, Finding};

pub(super) async fn check(draft: &Draft, visit: &Visit<'_>) -> Vec<Finding> {
    let numbers = match visit.role() {
        Role::Cache => vec![(CACHE_DB, draft.database), (CACHE_SHARED_DB, draft.shared_database)],
        Role::State => vec![(STATE_URL, visit.connection.url.database())],
    };
    let mut findings = Vec::new();
    for (name, number) in numbers.into_iter().filter_map(|(name, number)| Some((name, number?))) {
        findings.extend(selectable(visit, name, number).await);
    }
    // The nodes of a cluster are checked one by one.
    if findings.is_empty() && !visit.is_for_cluster() {
        findings.extend(writable(draft, visit).await);
    }
    findings
}

async fn selectable(visit: &Visit<'_>, name: &str, number: u32) -> Option<Finding> {
    if visit.probe.can_select(number).await != Fact::Known(false)
        || visit.probe.may(&["SELECT", "0"]).await == Fact::Known(false)
    {
        return None;
    }
    let there_are = match &visit.settings.databases {
        Fact::Known(count) => format!("the server has {count} databases"),
        Fact::Unknown(_) => "the server has no database with this number".to_owned(),
    };
    Some(visit.finding(Code::DatabaseNumberOutOfRange, format!("{name} names the number {number}, and {there_are}")))
}

pub(super) async fn writable(draft: &Draft, visit: &Visit<'_>) -> Option<Finding> {
    if visit.is_replica() {
        return Some(visit.finding(Code::NotWritable, "the server is a replica of another"));
    }
    if visit.info.is_aof_healthy == Some(false) {
        return Some(visit.finding(Code::NotWritable, "the last write to the append-only file failed"));
    }
    match probe_key::write(draft, visit).await {
        Ok(()) => None,
        // workers must be able to start and drain a full state store; another finding reports how full it is
        Err(Error::Limit { .. }) if visit.role() == Role::State => None,
        Err(error @ (Error::Unavailable { .. } | Error::Limit { .. })) => {
            Some(visit.finding(Code::NotWritable, error.detail()))
        }
        Err(error) => Some(visit.finding(Code::WritableUnknown, error.detail())),
    }
}
