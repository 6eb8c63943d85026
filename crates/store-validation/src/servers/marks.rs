//! Keys without TTL that mark a server with its role and its environment. They are in database 0, so they apply to all
//! services of the server.

use redis_link::{Fact, Probe, keys};
use store_core::Error;

use super::visit::Visit;
use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

/// The database that every server has, and in which each connection begins.
const DATABASE: u32 = 0;

/// A key, its expected value, and the finding if it has another value.
struct Mark<'a> {
    connection: &'a Connection,
    kind: Kind,
    /// `None` if this service sets no mark of this kind.
    expected: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Role,
    Environment,
}

impl Kind {
    fn key(self) -> &'static str {
        match self {
            Kind::Role => keys::role(),
            Kind::Environment => keys::environment(),
        }
    }
}

/// Reads the marks of one server. Nothing is written.
pub(super) async fn check(draft: &Draft, visit: &Visit<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for mark in marks(draft, visit.connection) {
        findings.extend(mark.read(&visit.probe).await.1);
    }
    findings
}

/// Writes the absent marks, then reads all: of two services in conflict that start at the same time, one is refused. A
/// server that serves both roles gets no mark of a role, because the mark would refuse the fleet after one role has moved to
/// another server.
pub(super) async fn claim(
    draft: &Draft,
    connection: &Connection,
    probe: &Probe,
    serves_both: bool,
    findings: &mut Vec<Finding>,
) {
    for mark in marks(draft, connection) {
        findings.extend(match mark.kind == Kind::Role && serves_both {
            true => mark.read(probe).await.1,
            false => mark.claim(probe).await,
        });
    }
}

fn marks<'a>(draft: &'a Draft, connection: &'a Connection) -> [Mark<'a>; 2] {
    let mark = |kind, expected| Mark { connection, kind, expected };
    [mark(Kind::Role, Some(connection.role.name())), mark(Kind::Environment, draft.environment.as_deref())]
}

impl Mark<'_> {
    /// Whether the mark is present, and what is wrong with it.
    async fn read(&self, probe: &Probe) -> (bool, Option<Finding>) {
        match probe.read_mark(DATABASE, self.kind.key()).await {
            Fact::Known(None) => (false, None),
            Fact::Known(Some(found)) => {
                (true, (Some(found.as_str()) != self.expected).then(|| self.differs(&shown(&found))))
            }
            Fact::Unknown(why) => (true, Some(self.unknown(&why))),
        }
    }

    async fn claim(&self, probe: &Probe) -> Option<Finding> {
        // Reading comes first: a server whose memory is full refuses even a write that changes nothing.
        let (is_there, finding) = self.read(probe).await;
        let Some(expected) = self.expected.filter(|_| !is_there) else { return finding };
        match probe.set_mark(DATABASE, self.kind.key(), expected).await {
            Ok(()) => self.read(probe).await.1,
            // workers must be able to start and drain a full state store
            Err(Error::Limit { .. }) => None,
            Err(error) => Some(self.unknown(&error.detail())),
        }
    }

    fn differs(&self, found: &str) -> Finding {
        let Mark { connection, kind, expected } = self;
        match (kind, expected) {
            (Kind::Role, _) => {
                let what = format!(
                    "the server is marked as the {found} store, and this service uses it as the {} store",
                    connection.role
                );
                connection.finding(Code::RoleMismatch, what)
            }
            (Kind::Environment, Some(expected)) => {
                let what =
                    format!("the server belongs to the environment {found}, and STORE_ENVIRONMENT is {expected}");
                connection.finding(Code::EnvironmentMismatch, what)
            }
            (Kind::Environment, None) => {
                let what = format!("the server belongs to the environment {found}, and STORE_ENVIRONMENT names none");
                connection.finding(Code::EnvironmentMismatch, what)
            }
        }
    }

    fn unknown(&self, why: &str) -> Finding {
        let code = match self.kind {
            Kind::Role => Code::RoleUnknown,
            Kind::Environment => Code::EnvironmentUnknown,
        };
        self.connection.finding(code, format!("the key {} in database {DATABASE}: {why}", self.kind.key()))
    }
}

/// A name that was found in a store. If it is not a valid name it is not shown, because it may be anything.
pub(super) fn shown(found: &str) -> String {
    store_core::ServiceName::new(found).map_or_else(|_| "(not a name)".to_owned(), |name| name.to_string())
}
