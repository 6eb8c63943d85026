//! [`Health`]: whether each store answers. Probes use it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis_link::Link;
use serde::{Serialize, Serializer};
use store_core::{Error, ErrorKind, Op, Pressure, Role, Timestamp};
use store_validation::Finding;
use tokio::task::JoinSet;

/// How long a check waits for an answer.
pub(super) const LIMIT: Duration = Duration::from_secs(1);

/// The health of both stores: [`Stores::health`](crate::Stores::health). A probe can return it as JSON: times
/// are milliseconds since 1970-01-01 UTC, in fields that end in `_ms`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), twinstore::StartError> {
/// # use twinstore::Stores;
/// # use twinstore::config::Environment;
/// # let environment = Environment::from_variables([
/// #     ("SERVICE_NAME", "billing"),
/// #     ("REDIS_CONN_BASE_URL", "embedded:"),
/// #     ("REDIS_WORKERCACHE_CONN_URL", "embedded:"),
/// # ]);
/// # let stores = Stores::open(&environment).await?;
/// // the handler of GET /ready
/// let health = stores.health().await;
/// let status = if health.is_ready() { 200 } else { 503 };
/// assert_eq!(status, 200);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// The cache store: the service's database and the one for hand-offs.
    pub cache: RoleHealth,
    /// The worker state store.
    pub state: RoleHealth,
}

impl Health {
    /// Whether a pod is ready: the worker state store answers, and no check of its servers failed ([`RoleHealth::wrong`]). A
    /// service must handle the loss of its cache, so its pods remain ready while only the cache is down. If a service cannot work
    /// without its cache, let its probe require `cache.up`, too.
    ///
    /// A pod is also ready while the memory of the worker state store is full, because workers must run to drain it. Let the probe
    /// of a service that only pushes jobs require [`Health::accepts_data`].
    ///
    /// Do not use it as a liveness probe: a restart of the pod repairs no store.
    pub fn is_ready(&self) -> bool {
        self.state.up && self.state.wrong.is_empty()
    }

    /// Whether the worker state store answers and accepts operations that add data: its pressure is not
    /// [`Critical`](Pressure::Critical).
    pub fn accepts_data(&self) -> bool {
        self.state.up && self.state.pressure != Pressure::Critical
    }

    /// The health of one role.
    pub fn of(&self, role: Role) -> &RoleHealth {
        match role {
            Role::Cache => &self.cache,
            Role::State => &self.state,
        }
    }
}

/// The health of one store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::Role;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let health = stores.health().await;
/// let cache = health.of(Role::Cache);
/// assert!(cache.up && cache.latency.is_some() && cache.last_error.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RoleHealth {
    /// Whether the store answered.
    pub up: bool,
    /// Since when `up` has this value, by this machine's clock: since the stores were opened, or since the first check that
    /// returned it.
    #[serde(rename = "since_ms")]
    pub since: Timestamp,
    /// How full the memory of the store is: the level of its last [`PressureReading`](store_core::PressureReading).
    /// [`Pressure::Unknown`] for the cache and for embedded stores.
    pub pressure: Pressure,
    /// The errors that the repeated checks found: the library checks identity, settings and rights of the servers again after
    /// each failover and each lost connection, because another server may answer. Empty if the last check found none.
    pub wrong: Vec<Finding>,
    /// The last failed check since the stores were opened. It remains when the store answers again.
    pub last_error: Option<HealthError>,
    /// How long the answer took; `None` if there was none. In JSON `latency_ms`, milliseconds with a fraction.
    #[serde(rename = "latency_ms", serialize_with = "as_millis")]
    pub latency: Option<Duration>,
}

/// Why a check failed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::ErrorKind;
///
/// # let (stores, _) = twinstore::testing::stores();
/// stores.close().await;
/// let error = stores.health().await.state.last_error.expect("the store is closed");
/// assert_eq!(error.kind, ErrorKind::Unavailable);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HealthError {
    /// When, by this machine's clock.
    #[serde(rename = "at_ms")]
    pub at: Timestamp,
    /// The kind of the error: [`Error::kind`].
    pub kind: ErrorKind,
    /// The error as text. Like every [`Error`], it has no URL and no secret.
    pub text: String,
}

fn as_millis<S: Serializer>(latency: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    latency.map(|latency| latency.as_secs_f64() * 1000.0).serialize(serializer)
}

/// The outcomes of the checks of one store. All clones of the stores share it.
pub(super) struct Checks(Mutex<Known>);

struct Known {
    up: bool,
    since: Timestamp,
    last_error: Option<HealthError>,
    wrong: Vec<Finding>,
    /// When the newest check began whose outcome is recorded.
    begun: Instant,
}

impl Checks {
    /// The checks of a store that has just been opened.
    pub(super) fn new() -> Self {
        let known = Known {
            up: true,
            since: Timestamp::system_now(),
            last_error: None,
            wrong: Vec::new(),
            begun: Instant::now(),
        };
        Self(Mutex::new(known))
    }

    /// Records the outcome of a check that began at `begun`. An outcome of an older check does not replace that of a newer one.
    pub(super) fn record(&self, begun: Instant, outcome: Result<Duration, Error>, pressure: Pressure) -> RoleHealth {
        let now = Timestamp::system_now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.begun <= begun {
            known.begun = begun;
            if known.up != outcome.is_ok() {
                (known.up, known.since) = (outcome.is_ok(), now);
            }
        }
        if let Err(error) = &outcome {
            known.last_error = Some(HealthError { at: now, kind: error.kind(), text: error.to_string() });
        }
        let Known { up, since, ref last_error, ref wrong, .. } = *known;
        let latency = outcome.ok().filter(|_| up);
        RoleHealth { up, since, pressure, last_error: last_error.clone(), wrong: wrong.clone(), latency }
    }

    /// Records the errors of the last check of the servers, and keeps those earlier ones that it leaves open. Returns those that the
    /// check before did not find.
    pub(super) fn prove(&self, wrong: Vec<Finding>, leaves_open: impl Fn(&Finding) -> bool) -> Vec<Finding> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = std::mem::replace(&mut known.wrong, wrong);
        let new = known.wrong.iter().filter(|finding| !earlier.contains(finding)).cloned().collect();
        for finding in earlier {
            if leaves_open(&finding) && !known.wrong.contains(&finding) {
                known.wrong.push(finding);
            }
        }
        new
    }
}

/// Pings these links concurrently, once each. Returns the longest time of an answer, or an error of one that did not answer.
pub(super) async fn ping(links: impl Iterator<Item = Link>) -> Result<Duration, Error> {
    let mut pings = JoinSet::new();
    for link in links {
        pings.spawn(async move { link.ping_within(LIMIT).await });
    }
    longest(pings).await
}

async fn longest(mut pings: JoinSet<Result<Duration, Error>>) -> Result<Duration, Error> {
    let mut longest = Duration::ZERO;
    while let Some(answer) = pings.join_next().await {
        // A task without a result panicked, or its runtime shuts down.
        let answer = answer.map_err(|_| Error::unexpected(Op::Ping, "the task of a check ended without an answer"))?;
        longest = longest.max(answer?);
    }
    Ok(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_check_that_panics_is_an_error() {
        let mut pings = JoinSet::new();
        pings.spawn(async { Ok(Duration::ZERO) });
        pings.spawn(async { panic!("a check that panics") });
        let error = longest(pings).await.expect_err("it is not up");
        assert_eq!(error.kind(), ErrorKind::Unexpected);
    }
}
