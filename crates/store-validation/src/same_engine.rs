//! Two URLs that name one store, as far as their text shows it.

use std::path::{Path, PathBuf};

use redis_link::{Endpoint, Topology};

use crate::draft::{Connection, Draft};
use crate::settings::Engine;
use crate::{Code, Finding};

pub(crate) fn check(draft: &Draft) -> Option<Finding> {
    let what = match (draft.cache.as_ref()?, draft.state.as_ref()?) {
        (Engine::Embedded(Some(cache)), Engine::Embedded(Some(state))) if is_one_file(cache, state) => {
            "both embedded URLs name one file".to_owned()
        }
        (Engine::Server(cache), Engine::Server(state)) if is_one(cache, state) => {
            format!("both URLs name {}", cache.location())
        }
        _ => return None,
    };
    Some(Finding::new(Code::SameInstance, None, what))
}

/// With TLS a router may choose the server by the host name: another name may lead to another server.
fn is_one(cache: &Connection, state: &Connection) -> bool {
    let may_be_routed = cache.url.is_tls() && state.url.is_tls();
    let has_same_name = || {
        let others = state.url.topology().endpoints();
        cache.url.topology().endpoints().iter().any(|one| others.contains(one))
    };
    are_one(cache, state) && (!may_be_routed || has_same_name())
}

/// Whether two URLs name one server, one cluster, or one service of the same sentinels.
pub(crate) fn are_one(one: &Connection, other: &Connection) -> bool {
    match (one.url.topology(), other.url.topology()) {
        (
            Topology::Sentinel { sentinels, service },
            Topology::Sentinel { sentinels: others, service: other_service },
        ) => {
            let is_shared = |one: &Endpoint| others.iter().any(|other| is_one_server(one, other));
            service == other_service && sentinels.iter().any(is_shared)
        }
        (
            Topology::Cluster(_) | Topology::Several(_) | Topology::Standalone(_),
            Topology::Cluster(_) | Topology::Several(_) | Topology::Standalone(_),
        ) => {
            let others = other.url.topology().endpoints();
            let is_shared = |one: &Endpoint| others.iter().any(|other| is_one_server(one, other));
            one.url.topology().endpoints().iter().any(is_shared)
        }
        _ => false,
    }
}

/// Whether two spellings name one server, as far as their text shows it.
fn is_one_server(one: &Endpoint, other: &Endpoint) -> bool {
    let is_local = |one: &str, other: &str| one == "localhost" && matches!(other, "127.0.0.1" | "::1");
    let (left, right) = (one.host.as_str(), other.host.as_str());
    one.port == other.port && (left == right || is_local(left, right) || is_local(right, left))
}

pub(crate) fn is_one_file(one: &Path, other: &Path) -> bool {
    location(one) == location(other) || inode(one).is_some_and(|inode_of_one| inode(other) == Some(inode_of_one))
}

/// The path without links and dots, also of a file that does not exist yet.
fn location(path: &Path) -> PathBuf {
    if let Ok(location) = path.canonicalize() {
        return location;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => location(parent).join(name),
        _ => path.to_owned(),
    }
}

#[cfg(unix)]
fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn inode(_: &Path) -> Option<(u64, u64)> {
    None
}
