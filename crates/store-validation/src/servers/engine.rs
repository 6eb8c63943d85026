//! What the server is: a data server, of a kind and version that can serve the role.

use redis_link::version_of;
use store_core::Role;

use super::visit::Visit;
use crate::{Code, Finding};

/// What makes every other question pointless.
pub(super) fn check(visit: &Visit<'_>) -> Vec<Finding> {
    let info = &visit.info;
    let found = if info.is_loading == Some(true) {
        Some((Code::Unreachable, "the server is still loading its data"))
    } else if info.mode.as_deref() == Some("sentinel") {
        Some((Code::UrlInvalid, "this is a sentinel and holds no data; name the data server"))
    } else if visit.is_of_cluster() {
        Some(match visit.role() {
            Role::Cache => (Code::CacheOnCluster, "the server is a node of a cluster"),
            Role::State if visit.database != 0 => {
                (Code::ClusterDatabaseNumber, "the server is a node of a cluster, and the URL names a database number")
            }
            Role::State => (Code::UrlInvalid, "the server is a node of a cluster, which this version does not serve"),
        })
    } else if visit.is_kvrocks() && visit.role() == Role::Cache {
        Some((Code::CacheEngineUnsupported, "the server is a Kvrocks"))
    } else {
        None
    };
    found.map(|(code, what)| visit.finding(code, what)).into_iter().collect()
}

/// Whether the version is one that runs the scripts.
pub(super) fn version(visit: &Visit<'_>) -> Option<Finding> {
    let (name, text, oldest) = match (&visit.info.kvrocks_version, &visit.info.redis_version) {
        (Some(version), _) => ("Kvrocks", version, (2, 14, 0)),
        (None, Some(version)) => ("Redis", version, (7, 0, 0)),
        (None, None) => {
            let why = visit.info_missing.as_deref().unwrap_or("INFO does not show it");
            return Some(visit.finding(Code::ServerVersionUnknown, why));
        }
    };
    match version_of(text) {
        Some(version) if version >= oldest => None,
        Some((major, minor, patch)) => {
            let what = format!("the server is {name} {major}.{minor}.{patch}");
            Some(visit.finding(Code::ServerTooOld, what))
        }
        None => Some(visit.finding(Code::ServerVersionUnknown, "INFO shows no version that is a number")),
    }
}
