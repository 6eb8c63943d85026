//! The two roles of servers, and the scope of a handle.

use std::fmt;

use crate::ServiceName;

/// The role of a store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::Role;
///
/// let health = stores.health().await;
/// for role in [Role::Cache, Role::State] {
///     assert!(health.of(role).up, "the {role} store does not answer");
/// }
/// assert_eq!(Role::State.to_string(), "state");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The cache store. Every value has a TTL and may be lost at any time.
    Cache,
    /// The worker state store. An acknowledged write survives every failure that its durability covers.
    State,
}

impl Role {
    /// The name in findings, metrics and spans: `cache` or `state`.
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

/// The owner of the idempotency keys, leases, pools, workflow runs and retries of a handle of the state store. Queues, their schedules,
/// topics, broadcasts, the resume tokens of streams, runs of agents, sessions and runs of Temporal always belong to the namespace.
///
/// ```
/// use twinstore::name::{Scope, ServiceName};
///
/// let own = Scope::from(ServiceName::new("billing")?);
/// assert!(own != Scope::Shared);
/// # Ok::<(), twinstore::name::NameError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One service. A lease with the same name in another service is another lease.
    Service(ServiceName),
    /// All services of the namespace. Each service also has its own.
    Shared,
}

impl From<ServiceName> for Scope {
    fn from(service: ServiceName) -> Self {
        Scope::Service(service)
    }
}

/// All capabilities of the cache store. Every type with these four traits implements it.
pub trait CacheRole: crate::KeyValue + crate::Idempotency + crate::RateLimit + crate::Handoff {}

impl<S: crate::KeyValue + crate::Idempotency + crate::RateLimit + crate::Handoff + ?Sized> CacheRole for S {}

/// All capabilities of the worker state store. Every type with these traits implements it. `Leases`, `Heartbeats`,
/// `Idempotency`, `Steps` and `Retries` use the handle's [`Scope`]; queues, their schedules, topics, broadcasts, resume tokens, runs of agents and sessions
/// belong to the namespace. `Homes` has steps, runs and resume tokens beside the jobs of a queue.
pub trait StateRole:
    crate::Queue
    + crate::QueueInspect
    + crate::QueueControl
    + crate::Leases
    + crate::Heartbeats
    + crate::Idempotency
    + crate::ResumeTokens
    + crate::Inventory
    + crate::Homes
{
    /// The steps of workflow runs. Several of its verbs are those of other capabilities.
    fn steps(&self) -> &dyn crate::Steps;

    /// The runs of agents. Several of its verbs are those of other capabilities.
    fn runs(&self) -> &dyn crate::Runs;

    /// The records of sessions. Several of its verbs are those of other capabilities.
    fn sessions(&self) -> &dyn crate::Sessions;

    /// The schedules of queues. Several of its verbs are those of other capabilities.
    fn schedules(&self) -> &dyn crate::Schedules;

    /// The topics of the namespace.
    fn topics(&self) -> &dyn crate::Topics;

    /// Messages to the processes of the namespace that listen now.
    fn broadcasts(&self) -> &dyn crate::Broadcasts;

    /// Notifications of writes, for those who wait for them.
    fn notifications(&self) -> &dyn crate::Notifications;

    /// The retries of operations. Several of its verbs are those of other capabilities.
    fn retries(&self) -> &dyn crate::Retries;
}

impl<S> StateRole for S
where
    S: crate::Queue
        + crate::QueueInspect
        + crate::QueueControl
        + crate::Leases
        + crate::Heartbeats
        + crate::Idempotency
        + crate::ResumeTokens
        + crate::Steps
        + crate::Runs
        + crate::Sessions
        + crate::Schedules
        + crate::Topics
        + crate::Broadcasts
        + crate::Notifications
        + crate::Retries
        + crate::Inventory
        + crate::Homes,
{
    fn steps(&self) -> &dyn crate::Steps {
        self
    }

    fn runs(&self) -> &dyn crate::Runs {
        self
    }

    fn sessions(&self) -> &dyn crate::Sessions {
        self
    }

    fn schedules(&self) -> &dyn crate::Schedules {
        self
    }

    fn topics(&self) -> &dyn crate::Topics {
        self
    }

    fn broadcasts(&self) -> &dyn crate::Broadcasts {
        self
    }

    fn notifications(&self) -> &dyn crate::Notifications {
        self
    }

    fn retries(&self) -> &dyn crate::Retries {
        self
    }
}
