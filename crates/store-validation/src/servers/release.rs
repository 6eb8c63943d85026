//! Releases the database number of a retired service.

use std::fmt;
use std::time::Duration;

use redis_link::{Fact, Owner};
use store_core::Role;

use super::deadline::Deadline;
use super::marks::shown;
use super::owner::{Numbers, Record, Side, age};
use super::visit::open_probe;
use crate::{Code, Environment, Finding, check_environment};

/// A running service is seen about once an hour, so a service that was silent for this long is not running.
const SILENT: Duration = Duration::from_secs(3 * 3600);

/// How a database number is to be released.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReleaseRequest {
    /// Release it even if its owner was seen within the last three hours.
    pub force: bool,
}

impl ReleaseRequest {
    /// Release the number if its owner was silent for three hours.
    pub fn new() -> Self {
        Self::default()
    }

    /// Release it even if its owner was seen within the last three hours, and may run.
    #[must_use]
    pub fn with_force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }
}

/// A service that is recorded as the owner of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NumberOwner {
    /// Its name.
    pub service: String,
    /// How long ago it was last seen, by the server's clock.
    pub silent_for: Duration,
}

/// The outcome of a release. `Display` is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NumberRelease {
    /// Nobody owned the number.
    Free {
        /// The database number.
        number: u32,
        /// Host and port of the cache server.
        server: String,
    },
    /// The number was released.
    Released {
        /// The database number.
        number: u32,
        /// Host and port of the cache server.
        server: String,
        /// Its owners; several if the records of cache and state store differed.
        owners: Vec<NumberOwner>,
    },
    /// The number was not released, because an owner was seen within the last three hours.
    Held {
        /// The database number.
        number: u32,
        /// Host and port of the cache server.
        server: String,
        /// The owners.
        owners: Vec<NumberOwner>,
    },
}

/// Why the number could not be released: what is wrong with the environment or the servers. It contains no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NotReleased {
    /// The findings.
    pub findings: Vec<Finding>,
}

/// Releases the database number of `REDIS_CACHE_DB` in this environment for another service. Removes the records of its
/// owner from the cache server and from the state server; values in that database stay.
///
/// The recorded owner loses the number, even if it is not `SERVICE_NAME`. An owner that was seen within the last three hours
/// may be running and keeps the number, unless the request forces the release.
///
/// # Errors
/// [`NotReleased`] if the variables are invalid, a server does not answer, or the user may not read or remove a record.
/// If an error follows after some records were removed, the same call again completes the release.
pub async fn release_number(environment: &Environment, request: ReleaseRequest) -> Result<NumberRelease, NotReleased> {
    let mut report = check_environment(environment);
    let deadline = Deadline::of(&report.draft);
    let contradictions = super::decide(&mut report.draft, deadline).await;
    report.add(contradictions);
    let draft = &report.draft;
    let is_undecided = |role| draft.server(role).is_some_and(|connection| connection.is_undecided);
    if is_undecided(Role::Cache) || is_undecided(Role::State) {
        let errors = report.findings().iter().filter(|finding| finding.is_error());
        return Err(NotReleased { findings: errors.cloned().collect() });
    }
    let (Some(connection), Some(number)) = (draft.server(Role::Cache), draft.database) else {
        let mut findings: Vec<_> = report.findings().iter().filter(|finding| finding.is_error()).cloned().collect();
        if findings.is_empty() {
            let what = "the cache is embedded: it has no database numbers";
            findings.push(Finding::new(Code::ConfInvalid, Role::Cache, what));
        }
        return Err(NotReleased { findings });
    };
    let work = async {
        let cache = open_probe(draft, connection, deadline).await?;
        let cache = Side { connection, probe: &cache };
        let state = match draft.server(Role::State) {
            Some(connection) => Some((connection, open_probe(draft, connection, deadline).await?)),
            None => None,
        };
        let state = state.as_ref().map(|(connection, probe)| Side { connection, probe });
        let run_id = cache.probe.server_info().await.known().and_then(|info| info.run_id);
        let recorded = recorded(&Numbers::new(cache, state, run_id), number).await?;
        let (server, owners) = (connection.location(), owners(&recorded));
        if owners.is_empty() {
            return Ok(NumberRelease::Free { number, server });
        }
        if !request.force && owners.iter().any(|owner| owner.silent_for < SILENT) {
            return Ok(NumberRelease::Held { number, server, owners });
        }
        for (Record { side, database, key }, owner) in &recorded {
            match side.probe.release_number(*database, key, owner).await {
                Fact::Known(true) => {}
                Fact::Known(false) => return Err(side.unknown("the owner was seen while the number was released")),
                Fact::Unknown(why) => return Err(side.unknown(&why)),
            }
        }
        Ok(NumberRelease::Released { number, server, owners })
    };
    let silent = || Err(Finding::new(Code::Unreachable, None, "a server stopped answering"));
    let released = deadline.within(work).await.unwrap_or_else(silent);
    released.map_err(|finding| NotReleased { findings: vec![finding] })
}

/// The records that name an owner.
async fn recorded<'a>(numbers: &Numbers<'a>, number: u32) -> Result<Vec<(Record<'a>, Owner)>, Finding> {
    let mut recorded = Vec::new();
    for record in numbers.records(number).await? {
        match record.side.probe.read_owner(record.database, &record.key).await {
            Fact::Known(owner) => recorded.extend(owner.map(|owner| (record, owner))),
            Fact::Unknown(why) => return Err(record.side.unknown(&why)),
        }
    }
    Ok(recorded)
}

/// Each owner once, with the latest time at which any server saw it.
fn owners(recorded: &[(Record<'_>, Owner)]) -> Vec<NumberOwner> {
    let mut owners: Vec<NumberOwner> = Vec::new();
    for (_, owner) in recorded {
        let service = shown(&owner.service);
        match owners.iter_mut().find(|known| known.service == service) {
            Some(known) => known.silent_for = known.silent_for.min(owner.silent_for),
            None => owners.push(NumberOwner { service, silent_for: owner.silent_for }),
        }
    }
    owners
}

impl fmt::Display for NumberOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the service {} (last seen {} ago)", self.service, age(self.silent_for))
    }
}

impl fmt::Display for NumberRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |owners: &[NumberOwner]| owners.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        match self {
            Self::Free { number, server } => {
                write!(f, "the database number {number} of {server} is free: no owner is recorded")
            }
            Self::Released { number, server, owners } => {
                write!(f, "released the database number {number} of {server}, owned by {}", names(owners))
            }
            Self::Held { number, server, owners } => write!(
                f,
                "did not release the database number {number} of {server}: it is owned by {}, which may be running; \
                 stop it, or release the number by --force",
                names(owners)
            ),
        }
    }
}

impl fmt::Display for NotReleased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the database number cannot be released")?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

impl std::error::Error for NotReleased {}
