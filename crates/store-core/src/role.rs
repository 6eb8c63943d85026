//! The two roles a server can play.

use std::fmt;

use crate::ServiceName;

/// Which of the two stores something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The cache store: every value has a TTL and may be lost at any moment.
    Cache,
    /// The worker state store: an acknowledged write survives what its durability level says.
    State,
}

impl Role {
    /// `cache` or `state`, as it stands in findings, metrics and spans.
    pub fn name(self) -> &'static str {
        match self {
            Role::Cache => "cache",
            Role::State => "state",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The owner of the idempotency keys, leases and pools that a handle of the state store uses. Queues always belong to the
/// namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One service: a lease of the same name in another service is another lease.
    Service(ServiceName),
    /// All services of the namespace share them; each service also has its own.
    Shared,
}

impl From<ServiceName> for Scope {
    fn from(service: ServiceName) -> Self {
        Scope::Service(service)
    }
}

/// Everything that the cache store can do. Implemented by whatever has the four capabilities.
pub trait CacheRole: crate::KeyValue + crate::Idempotency + crate::RateLimit + crate::Handoff {}

impl<S: crate::KeyValue + crate::Idempotency + crate::RateLimit + crate::Handoff + ?Sized> CacheRole for S {}

/// Everything that the worker state store can do. Implemented by whatever has its capabilities. `Leases`, `Heartbeats` and
/// `Idempotency` are those of the handle's [`Scope`].
pub trait StateRole:
    crate::Queue
    + crate::QueueInspect
    + crate::QueueControl
    + crate::Leases
    + crate::Heartbeats
    + crate::Idempotency
    + crate::Inventory
{
}

impl<S> StateRole for S where
    S: crate::Queue
        + crate::QueueInspect
        + crate::QueueControl
        + crate::Leases
        + crate::Heartbeats
        + crate::Idempotency
        + crate::Inventory
        + ?Sized
{
}
