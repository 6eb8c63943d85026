//! One server, opened and looked at.

use std::net::SocketAddr;
use std::time::Duration;

use redis_link::{Fact, Probe, ServerInfo, ServerSettings};
use store_core::Role;

use super::{check_one, open_to_all, refused};
use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

/// How many connect time-outs all questions to one server may take together, when it falls silent in between.
const PATIENCE: u32 = 3;

/// A server that answers.
pub(super) struct Visit<'a> {
    pub(super) connection: &'a Connection,
    pub(super) probe: Probe,
    pub(super) info: ServerInfo,
    /// Why `info` is empty, if it is.
    pub(super) info_missing: Option<String>,
    pub(super) settings: ServerSettings,
    /// The database in which the role writes.
    pub(super) database: u32,
}

/// What a visit left: the server, if it answered, and where its name leads.
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

/// Opens a probe, asks all questions, and resolves the address meanwhile.
pub(super) async fn visit<'a>(draft: &Draft, connection: &'a Connection) -> Visited<'a> {
    let patience = connection.connect_timeout;
    let resolve = async {
        let endpoint = connection.endpoint()?;
        tokio::time::timeout(patience, endpoint.resolve()).await.ok()?.ok()
    };
    let (addresses, opened, open_to_all) =
        tokio::join!(resolve, Box::pin(open(draft, connection)), Box::pin(open_to_all(draft, connection)));
    let addresses = addresses.unwrap_or_default();
    let mut findings: Vec<Finding> = open_to_all.into_iter().collect();
    let visit = match opened {
        Ok(visit) => visit,
        Err(finding) => {
            findings.push(finding);
            return Visited { visit: None, addresses, findings };
        }
    };
    match tokio::time::timeout(patience * PATIENCE, Box::pin(check_one(draft, &visit))).await {
        Ok(found) => findings.extend(found),
        Err(_) => findings.push(fell_silent(connection)),
    }
    Visited { visit: Some(visit), addresses, findings }
}

async fn open<'a>(draft: &Draft, connection: &'a Connection) -> Result<Visit<'a>, Finding> {
    // database 0 exists everywhere; whether the configured one does is a question of its own
    let opened = Probe::open(draft.link(connection, Some(0))).await;
    let probe = match opened {
        Ok(probe) => probe,
        Err(error) => return Err(refused::why(draft, connection, &error).await),
    };
    let database = match connection.role {
        Role::Cache => draft.database.unwrap_or(0),
        Role::State => connection.url.database().unwrap_or(0),
    };
    let (info, info_missing) = match probe.server_info().await {
        Fact::Known(info) => (info, None),
        Fact::Unknown(why) => (ServerInfo::default(), Some(why)),
    };
    let limit: Duration = connection.connect_timeout * PATIENCE;
    let settings = tokio::time::timeout(limit, Box::pin(probe.server_settings())).await;
    let settings = settings.map_err(|_| fell_silent(connection))?;
    Ok(Visit { connection, probe, info, info_missing, settings, database })
}

fn fell_silent(connection: &Connection) -> Finding {
    connection.finding(Code::Unreachable, "the server stopped answering")
}
