//! Keys without TTL that say whose a store is: the owner of a database number, and the environment.
//!
//! The environment of the cache server stands in the shared database, which all services name alike; a database of its
//! own would be empty for each new service.

use redis_link::{Fact, Probe};
use store_core::{Role, keys};

use super::visit::Visit;
use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

/// One key, who should stand there, and what it means if it is somebody else.
struct Mark<'a> {
    connection: &'a Connection,
    database: u32,
    kind: Kind,
    expected: &'a str,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Owner,
    Environment,
}

impl Kind {
    fn key(self) -> &'static str {
        match self {
            Kind::Owner => keys::database_owner(),
            Kind::Environment => keys::environment(),
        }
    }
}

/// Reads the marks of one server. Nothing is written.
pub(super) async fn check(draft: &Draft, visit: &Visit<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for mark in marks(draft, visit.connection) {
        findings.extend(mark.read(&visit.probe).await);
    }
    if let (Role::Cache, Some(shared)) =
        (visit.role(), draft.shared_database.filter(|_| draft.shared_database != draft.database))
        && let Fact::Known(Some(owner)) = visit.probe.read_mark(shared, keys::database_owner()).await
    {
        let what =
            format!("REDIS_CACHE_SHARED_DB is {shared}, and that number is owned by the service {}", shown(&owner));
        findings.push(visit.finding(Code::DatabaseNumberTaken, what));
    }
    findings
}

/// Writes the marks that are not there yet, and reads them all: of two services that start at once, one is refused.
pub(crate) async fn claim(draft: &Draft) -> Vec<Finding> {
    let mut findings = Vec::new();
    for connection in [Role::Cache, Role::State].into_iter().filter_map(|role| draft.server(role)) {
        let marks = marks(draft, connection);
        if marks.is_empty() {
            continue;
        }
        let probe = match Box::pin(Probe::open(draft.link(connection, Some(0)))).await {
            Ok(probe) => probe,
            Err(error) => {
                findings.push(connection.finding(Code::Unreachable, error.detail()));
                continue;
            }
        };
        for mark in marks {
            match probe.set_mark(mark.database, mark.kind.key(), mark.expected).await {
                Ok(()) => findings.extend(mark.read(&probe).await),
                Err(error) => findings.push(mark.unknown(&error.detail())),
            }
        }
    }
    findings
}

fn marks<'a>(draft: &'a Draft, connection: &'a Connection) -> Vec<Mark<'a>> {
    let (own, common) = match connection.role {
        Role::Cache => (draft.database.filter(|_| draft.database != draft.shared_database), draft.shared_database),
        Role::State => (None, Some(connection.url.database().unwrap_or(0))),
    };
    let owner = draft.service.as_ref().zip(own).map(|(service, database)| (service.as_str(), database, Kind::Owner));
    let environment =
        draft.environment.as_deref().zip(common).map(|(name, database)| (name, database, Kind::Environment));
    let mark = |(expected, database, kind)| Mark { connection, database, kind, expected };
    owner.into_iter().chain(environment).map(mark).collect()
}

impl Mark<'_> {
    async fn read(&self, probe: &Probe) -> Option<Finding> {
        let found = match probe.read_mark(self.database, self.kind.key()).await {
            Fact::Known(found) => found?,
            // a number that does not exist is told as such
            Fact::Unknown(_) if probe.can_select(self.database).await == Fact::Known(false) => return None,
            Fact::Unknown(why) => return Some(self.unknown(&why)),
        };
        (found != self.expected).then(|| self.taken(&shown(&found)))
    }

    fn taken(&self, by: &str) -> Finding {
        let Mark { connection, database, expected, .. } = self;
        match self.kind {
            Kind::Owner => {
                let what =
                    format!("the database number {database} is owned by the service {by}, and this is {expected}");
                connection.finding(Code::DatabaseNumberTaken, what)
            }
            Kind::Environment => {
                let what = format!("the store belongs to the environment {by}, and STORE_ENVIRONMENT is {expected}");
                connection.finding(Code::EnvironmentMismatch, what)
            }
        }
    }

    fn unknown(&self, why: &str) -> Finding {
        let code = match self.kind {
            Kind::Owner => Code::DatabaseOwnerUnknown,
            Kind::Environment => Code::EnvironmentUnknown,
        };
        self.connection.finding(code, format!("the key {} in database {}: {why}", self.kind.key(), self.database))
    }
}

/// A name as found in a store, unless it cannot be one: then it may hold anything.
fn shown(found: &str) -> String {
    store_core::ServiceName::new(found).map_or_else(|_| "(not a name)".to_owned(), |name| name.to_string())
}
