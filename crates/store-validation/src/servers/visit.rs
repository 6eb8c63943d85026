//! One server, opened and queried.

use std::net::SocketAddr;

use redis_link::{Endpoint, Fact, Probe, ServerInfo, ServerSettings};
use store_core::Role;

use super::deadline::Deadline;
use super::{check_one, open_to_all, refused};
use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

/// A server that answers.
pub(super) struct Visit<'a> {
    pub(super) connection: &'a Connection,
    pub(super) probe: Probe,
    /// What `INFO` shows, completed by `HELLO`.
    pub(super) info: ServerInfo,
    /// Why `INFO` shows nothing, if so.
    pub(super) info_missing: Option<String>,
    pub(super) settings: ServerSettings,
    /// The database in which the role writes.
    pub(super) database: u32,
}

/// The result of a visit: the server, if it answered, and the addresses of its name.
#[derive(Default)]
pub(super) struct Visited<'a> {
    pub(super) visit: Option<Visit<'a>>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) findings: Vec<Finding>,
}

impl Visit<'_> {
    pub(super) fn role(&self) -> Role {
        self.connection.role
    }

    pub(super) fn is_kvrocks(&self) -> bool {
        self.info.kvrocks_version.is_some()
    }

    pub(super) fn is_of_cluster(&self) -> bool {
        self.info.is_cluster == Some(true) || self.info.mode.as_deref() == Some("cluster")
    }

    pub(super) fn is_replica(&self) -> bool {
        self.info.role.as_deref() == Some("slave")
    }

    pub(super) fn finding(&self, code: Code, what: impl AsRef<str>) -> Finding {
        self.connection.finding(code, what)
    }
}

/// Opens a probe, asks all questions, and resolves the address meanwhile. Answers that arrive before the deadline are
/// kept.
pub(super) async fn visit<'a>(draft: &Draft, connection: &'a Connection, deadline: Deadline) -> Visited<'a> {
    let resolve = async |endpoint: Option<&Endpoint>| {
        tokio::time::timeout(connection.connect_timeout, endpoint?.resolve()).await.ok()?.ok()
    };
    let (mut addresses, opened, open_to_all) = tokio::join!(
        resolve(connection.endpoint()),
        deadline.within(open(draft, connection, deadline)),
        deadline.within(open_to_all(draft, connection))
    );
    if let Some(Ok(visit)) = &opened
        && addresses.is_none()
    {
        addresses = deadline.within(resolve(Some(visit.probe.endpoint()))).await.flatten();
    }
    let addresses = addresses.unwrap_or_default();
    let mut findings: Vec<Finding> = open_to_all.flatten().into_iter().collect();
    let visit = match opened.unwrap_or_else(|| Err(fell_silent(connection))) {
        Ok(visit) => visit,
        Err(finding) => {
            findings.push(finding);
            return Visited { visit: None, addresses, findings };
        }
    };
    if deadline.within(check_one(draft, &visit, &mut findings)).await.is_none() {
        findings.push(fell_silent(connection));
    }
    Visited { visit: Some(visit), addresses, findings }
}

/// A probe of a role's server, in database 0, which every server has and which contains its marks. Another check finds
/// out whether the configured database exists.
pub(super) async fn open_probe(draft: &Draft, connection: &Connection, deadline: Deadline) -> Result<Probe, Finding> {
    match Box::pin(Probe::open(draft.link(connection, Some(0)))).await {
        Ok(probe) => Ok(probe.with_patience(deadline.patience())),
        Err(error) => Err(refused::why(draft, connection, &error).await),
    }
}

async fn open<'a>(draft: &Draft, connection: &'a Connection, deadline: Deadline) -> Result<Visit<'a>, Finding> {
    let probe = open_probe(draft, connection, deadline).await?;
    let database = match connection.role {
        Role::Cache => draft.database.unwrap_or(0),
        Role::State => connection.url.database().unwrap_or(0),
    };
    let (info, info_missing) = match probe.server_info().await {
        Fact::Known(info) => (info, None),
        Fact::Unknown(why) => (ServerInfo::default(), Some(why)),
    };
    let info = info.completed_by(&probe.greeting().known().unwrap_or_default());
    let settings = Box::pin(probe.server_settings()).await;
    Ok(Visit { connection, probe, info, info_missing, settings, database })
}

pub(super) fn fell_silent(connection: &Connection) -> Finding {
    connection.finding(Code::Unreachable, "the server stopped answering")
}
