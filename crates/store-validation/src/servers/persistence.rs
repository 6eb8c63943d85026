//! What a crash loses: the cache may lose everything, the state nothing.

use redis_link::Fact;
use store_core::Role;

use super::visit::Visit;
use crate::draft::Draft;
use crate::{Code, Finding};

/// The setting of Kvrocks without which a crash of the process loses every write since the last flush.
const WITHOUT_LOG: &str = "rocksdb.write_options.disable_wal";

pub(super) async fn check(visit: &Visit<'_>) -> Option<Finding> {
    if visit.is_kvrocks() {
        return kvrocks(visit, visit.probe.kvrocks_setting(WITHOUT_LOG).await);
    }
    match visit.role() {
        Role::Cache => cache(visit),
        Role::State => state(visit),
    }
}

/// Kvrocks has no append-only file. It keeps all data on disk and writes each change to a log first.
fn kvrocks(visit: &Visit<'_>, without_log: Fact<String>) -> Option<Finding> {
    match without_log {
        Fact::Known(setting) if setting == "no" => None,
        Fact::Known(_) => Some(visit.finding(Code::StateNotPersistent, format!("{WITHOUT_LOG} is on"))),
        Fact::Unknown(why) => {
            let by_hand = format!("run `CONFIG GET {WITHOUT_LOG}` as its administrator: the answer must be no");
            Some(visit.finding(Code::StatePersistenceUnknown, format!("{why}; the server is Kvrocks: {by_hand}")))
        }
    }
}

fn appends(visit: &Visit<'_>) -> Option<bool> {
    match &visit.settings.appendonly {
        Fact::Known(setting) => Some(setting == "yes"),
        Fact::Unknown(_) => visit.info.is_aof_enabled,
    }
}

/// Whether the server grants what a variable requests.
pub(super) async fn fsync(draft: &Draft, visit: &Visit<'_>) -> Option<Finding> {
    if visit.role() != Role::State || !draft.durabilities.request_fsync() {
        return None;
    }
    match visit.probe.fsync_obstacle().await {
        Fact::Known(why) => {
            Some(visit.finding(Code::FsyncedUnavailable, format!("a variable requests `fsynced`: {}", why?)))
        }
        Fact::Unknown(why) => {
            let what =
                format!("a variable requests `fsynced`, and the server does not show whether it grants it: {why}");
            Some(visit.finding(Code::StatePersistenceUnknown, what))
        }
    }
}

fn cache(visit: &Visit<'_>) -> Option<Finding> {
    match (appends(visit), &visit.settings.save) {
        (Some(true), _) => Some(visit.finding(Code::CachePersists, "appendonly is on")),
        (_, Fact::Known(rules)) if !rules.is_empty() => {
            Some(visit.finding(Code::CachePersists, format!("snapshots are on: save {rules}")))
        }
        (Some(false), Fact::Known(_)) => None,
        _ => Some(visit.finding(Code::CachePersistenceUnknown, "CONFIG GET does not show whether snapshots are on")),
    }
}

fn state(visit: &Visit<'_>) -> Option<Finding> {
    let wrong = |what: &str| Some(visit.finding(Code::StateNotPersistent, what));
    let unknown = |what: &str| Some(visit.finding(Code::StatePersistenceUnknown, what));
    match (appends(visit), &visit.settings.appendfsync) {
        (Some(false), _) => wrong("appendonly is off"),
        (None, _) => unknown("neither CONFIG GET nor INFO shows appendonly"),
        (Some(true), Fact::Known(setting)) if setting == "everysec" || setting == "always" => None,
        (Some(true), Fact::Known(_)) => {
            wrong("appendonly is on, but appendfsync is no: nothing bounds what a crash loses")
        }
        (Some(true), Fact::Unknown(_)) => unknown("appendonly is on; CONFIG GET does not show appendfsync"),
    }
}
