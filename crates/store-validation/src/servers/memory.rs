//! Memory: the eviction policy, and how full the server is.

use redis_link::Fact;
use store_core::Role;

use super::visit::Visit;
use crate::{Code, Finding};

/// The shares of the limit, in percent, from which the state store counts as filling, and as full.
const HIGH: u128 = 80;
const CRITICAL: u128 = 85;

pub(super) fn check(visit: &Visit<'_>) -> Vec<Finding> {
    if visit.is_kvrocks() {
        return Vec::new();
    }
    policy(visit).into_iter().chain(limit(visit)).collect()
}

/// Read from `CONFIG GET`, or else from `INFO`.
pub(super) fn policy(visit: &Visit<'_>) -> Option<Finding> {
    let told = match &visit.settings.maxmemory_policy {
        Fact::Known(policy) => Some(policy),
        Fact::Unknown(_) => visit.info.max_memory_policy.as_ref(),
    };
    let (wanted, wrong, unknown) = match visit.role() {
        Role::Cache => ("volatile-lru", Code::CachePolicy, Code::CachePolicyUnknown),
        Role::State => ("noeviction", Code::StateEvicts, Code::StateEvictionUnknown),
    };
    match told {
        Some(policy) if policy == wanted => None,
        Some(policy) => Some(visit.finding(wrong, format!("maxmemory-policy is {policy}, not {wanted}"))),
        None => Some(visit.finding(unknown, "neither CONFIG GET nor INFO shows maxmemory-policy")),
    }
}

fn limit(visit: &Visit<'_>) -> Option<Finding> {
    let Some(limit) = visit.info.max_memory else {
        let unknown = match visit.role() {
            Role::Cache => Code::CachePolicyUnknown,
            Role::State => Code::StateEvictionUnknown,
        };
        return Some(visit.finding(unknown, "INFO does not show maxmemory"));
    };
    if limit == 0 {
        return Some(visit.finding(Code::NoMaxmemory, "maxmemory is 0: no limit"));
    }
    // a warm cache is always full; only the state store must have room
    let used = visit.info.used_memory.filter(|_| visit.role() == Role::State)?;
    let percent = u128::from(used) * 100 / u128::from(limit);
    let what = format!("{percent} % of maxmemory is used");
    match percent {
        ..HIGH => None,
        HIGH..CRITICAL => Some(visit.finding(Code::MemoryHigh, what)),
        _ => Some(visit.finding(Code::MemoryCritical, what)),
    }
}
