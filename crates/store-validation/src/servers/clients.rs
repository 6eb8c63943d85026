//! How many connections the server accepts, and how many this service opens.

use redis_link::Fact;
use store_core::Role;

use super::visit::Visit;
use crate::{Code, Finding};

/// Connections of the state role besides its pool: 16 for durable writes, and one for the channel of waiting workers.
const STATE_EXTRA: usize = 16 + 1;

/// For probes and operators.
const RESERVE: usize = 8;

/// How many connections one process of this service may open to the server of a role.
fn needed(role: Role, pool_size: usize) -> usize {
    RESERVE
        + match role {
            // one pool for the service's own database, one for the shared one
            Role::Cache => 2 * pool_size,
            Role::State => pool_size + STATE_EXTRA,
        }
}

/// Whether the server disconnects clients to free memory. Kvrocks has no such setting.
pub(super) fn eviction(visit: &Visit<'_>) -> Option<Finding> {
    match &visit.settings.max_memory_clients {
        Fact::Known(limit) if limit == "0" => None,
        Fact::Known(limit) => Some(visit.finding(Code::ClientEviction, format!("maxmemory-clients is {limit}"))),
        Fact::Unknown(_) if visit.is_kvrocks() => None,
        Fact::Unknown(why) => {
            Some(visit.finding(Code::ClientEvictionUnknown, format!("maxmemory-clients is unknown: {why}")))
        }
    }
}

pub(super) fn check(visit: &Visit<'_>) -> Option<Finding> {
    let from_settings = match &visit.settings.max_clients {
        Fact::Known(limit) => Some(*limit),
        Fact::Unknown(_) => None,
    };
    let Some(limit) = visit.info.max_clients.or(from_settings) else {
        return Some(visit.finding(Code::MaxclientsUnknown, "neither INFO nor CONFIG GET shows maxclients"));
    };
    let pool_size = visit.connection.pool_size;
    let needed = needed(visit.role(), pool_size);
    if usize::try_from(limit).unwrap_or(usize::MAX) >= needed {
        return None;
    }
    let what = format!(
        "maxclients is {limit}, and one process of this service needs up to {needed} connections (POOL_SIZE {pool_size})"
    );
    Some(visit.finding(Code::MaxclientsLow, what).with_help("<needed>", &needed.to_string()))
}
