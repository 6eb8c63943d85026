//! The kind of the server: whether it is a data server of a kind and version that can serve the role.

use redis_link::{Fact, version_of};
use store_core::Role;

use super::hosts::NO_KVROCKS_CLUSTER;
use super::visit::Visit;
use crate::{Code, Finding};

const MISMATCH: &str =
    "the URL names one server or the primary of sentinels, and the server reports that it is a node of a cluster";

/// Problems that make all other checks pointless.
pub(super) fn check(visit: &Visit<'_>) -> Vec<Finding> {
    let info = &visit.info;
    let found = if info.is_loading == Some(true) {
        Some((Code::Unreachable, "the server is still loading its data"))
    } else if info.mode.as_deref() == Some("sentinel") {
        Some((Code::UrlInvalid, "this is a sentinel and holds no data; name the data server"))
    } else if visit.is_of_cluster() && !(visit.is_for_cluster() && visit.role() == Role::State) {
        Some(match visit.role() {
            Role::Cache => (Code::CacheOnCluster, "the server is a node of a cluster"),
            Role::State if visit.database != 0 => {
                (Code::ClusterDatabaseNumber, "the server is a node of a cluster, and the URL names a database number")
            }
            Role::State if visit.names_kvrocks() => (Code::TopologyMismatch, NO_KVROCKS_CLUSTER),
            Role::State => (Code::TopologyMismatch, MISMATCH),
        })
    } else if visit.is_kvrocks() && visit.role() == Role::Cache {
        Some((Code::CacheEngineUnsupported, "the server is Kvrocks"))
    } else if visit.role() == Role::Cache && visit.probe.capabilities().select == Fact::Known(false) {
        Some((Code::CacheEngineUnsupported, "SELECT does not switch databases there"))
    } else if visit.info_missing.is_none() && visit.is_kvrocks() != visit.names_kvrocks() && !visit.names_sentinels() {
        Some(match visit.is_kvrocks() {
            true => (Code::TopologyMismatch, "the URL names Redis or Valkey, and the server is Kvrocks"),
            false => (Code::TopologyMismatch, "the URL names Kvrocks, and the server is not Kvrocks"),
        })
    } else {
        None
    };
    found.map(|(code, what)| visit.finding(code, what)).into_iter().collect()
}

/// Whether the version can run the scripts. `INFO` and `HELLO` also show whether the server is a sentinel, a node of a
/// cluster or a replica; without them that is not known either.
pub(super) fn version(visit: &Visit<'_>) -> Option<Finding> {
    let info = &visit.info;
    let unknown = |what: &str| {
        let why = visit.info_missing.as_deref().unwrap_or("INFO does not show it");
        Some(visit.finding(Code::ServerVersionUnknown, format!("{what}: {why}, nor does HELLO")))
    };
    let (name, text, oldest) = match (&info.kvrocks_version, &info.valkey_version, &info.redis_version) {
        (Some(version), _, _) => ("Kvrocks", version, (2, 14, 0)),
        (_, Some(version), _) => ("Valkey", version, (7, 0, 0)),
        (_, _, Some(version)) => ("Redis", version, (7, 0, 0)),
        _ => return unknown("the version"),
    };
    match version_of(text) {
        Some(version) if version < oldest => {
            let (major, minor, patch) = version;
            Some(visit.finding(Code::ServerTooOld, format!("the server is {name} {major}.{minor}.{patch}")))
        }
        None => Some(visit.finding(Code::ServerVersionUnknown, "the version that the server shows is not a number")),
        Some(_) if info.mode.is_none() => unknown("whether it is a data server"),
        Some(_) if info.role.is_none() => unknown("whether it is a primary"),
        Some(_) => None,
    }
}

/// Whether the server is a build for 32 bits. (Redis 7.0.15 on i386: `string.format('%016d', micros)` returns `-000002147483648` for
/// every time, because Lua converts to C's `long`.)
pub(super) fn bits(visit: &Visit<'_>) -> Option<Finding> {
    (visit.info.bits == Some(32)).then(|| visit.finding(Code::ServerOf32Bits, "INFO shows arch_bits:32"))
}

/// What is degraded because the server lacks a capability. The other checks report what a role cannot do without.
pub(super) fn degraded(visit: &Visit<'_>) -> Vec<Finding> {
    let publishes_by = if visit.is_of_cluster() { "SPUBLISH" } else { "PUBLISH in scripts" };
    // Kvrocks has no limit of its memory at which the flags matter
    let is_told = |name: &str| name == publishes_by || name == "script flags" && !visit.is_kvrocks();
    let rows = visit.probe.capabilities().rows().into_iter();
    let missing = rows.filter(|(name, fact, _)| **fact == Fact::Known(false) && is_told(name));
    let finding = |(name, _, degraded): (&str, _, &str)| {
        visit.finding(Code::CapabilityMissing, format!("the server does not have {name}: {degraded}"))
    };
    if visit.role() == Role::Cache {
        return Vec::new();
    }
    missing.map(finding).collect()
}

/// Whether the server runs scripts at all. If the user may not run any, the check of rights reports that.
pub(super) async fn scripts(visit: &Visit<'_>) -> Option<Finding> {
    (visit.probe.runs_scripts().await == Fact::Known(false))
        .then(|| visit.finding(Code::ScriptsUnsupported, "the server does not load and run a script"))
}
