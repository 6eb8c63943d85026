//! One server, opened and queried.

use std::net::SocketAddr;

use redis_link::{Capabilities, ClusterInfo, ClusterNode, Endpoint, Fact, Probe, ServerInfo, ServerSettings, Topology};
use store_core::Role;

use super::deadline::Deadline;
use super::nodes::Node;
use super::{check_one, nodes, open_to_all, refused};
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
    /// The cluster, if the URL names one.
    pub(super) cluster: Option<Fact<ClusterInfo>>,
    /// Which server it is, if the URL leads to several.
    pub(super) at: Option<At>,
}

/// One of the servers to which a URL leads.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) endpoint: Endpoint,
    /// The cluster's report about it.
    pub(super) node: Option<ClusterNode>,
}

/// The result of a visit: the server, if it answered, and the addresses of its name.
#[derive(Default)]
pub(super) struct Visited<'a> {
    pub(super) visit: Option<Visit<'a>>,
    pub(super) addresses: Vec<SocketAddr>,
    /// The other servers to which the URL may lead.
    pub(super) others: Vec<Node>,
    pub(super) findings: Vec<Finding>,
}

impl Visit<'_> {
    pub(super) fn role(&self) -> Role {
        self.connection.role
    }

    pub(super) fn is_kvrocks(&self) -> bool {
        self.info.kvrocks_version.is_some()
    }

    pub(super) fn capabilities(&self) -> (Role, String, Capabilities) {
        (self.role(), self.connection.location(), self.probe.capabilities().clone())
    }

    /// Whether the URL begins with `kvrocks://` or `kvrockss://`.
    pub(super) fn names_kvrocks(&self) -> bool {
        matches!(self.connection.url.topology(), Topology::Kvrocks(_))
    }

    pub(super) fn names_sentinels(&self) -> bool {
        matches!(self.connection.url.topology(), Topology::Sentinel { .. })
    }

    pub(super) fn is_of_cluster(&self) -> bool {
        self.info.is_cluster == Some(true) || self.info.mode.as_deref() == Some("cluster")
    }

    /// Whether the URL names the cluster to which the server belongs, so that each node is checked on its own.
    pub(super) fn is_for_cluster(&self) -> bool {
        self.is_of_cluster() && matches!(self.connection.url.topology(), Topology::Cluster(_))
    }

    /// Whether no call on a key can be sent: the client library loses a connection on which a node answers `CLUSTERDOWN`.
    pub(super) fn is_down(&self) -> bool {
        let cluster = self.cluster.as_ref().and_then(Fact::as_known);
        cluster.is_some_and(|cluster| !cluster.is_ok || !cluster.uncovered().is_empty() || cluster.failed_slots > 0)
    }

    pub(super) fn is_replica(&self) -> bool {
        self.info.role.as_deref() == Some("slave")
    }

    pub(super) fn finding(&self, code: Code, what: impl AsRef<str>) -> Finding {
        match &self.at {
            None => self.connection.finding(code, what),
            Some(at) => self.connection.finding(code, format!("{at}: {}", what.as_ref())),
        }
    }
}

impl At {
    /// Whether it is a primary of a cluster.
    pub(super) fn is_primary(&self) -> bool {
        self.node.as_ref().is_some_and(|node| node.primary.is_none())
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.node {
            None => write!(f, "the replica {}", self.endpoint),
            Some(node) => {
                let role = if node.primary.is_some() { "replica" } else { "primary" };
                write!(f, "the {role} {} ({})", self.endpoint, node.id.get(..8).unwrap_or(&node.id))
            }
        }
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
            return Visited { addresses, findings, ..Visited::default() };
        }
    };
    let mut of_nodes = Vec::new();
    let (checked, others) = tokio::join!(
        deadline.within(check_one(draft, &visit, &mut findings)),
        nodes::check(draft, &visit, deadline, &mut of_nodes)
    );
    if checked.is_none() {
        findings.push(fell_silent(connection));
    }
    findings.append(&mut of_nodes);
    Visited { visit: Some(visit), addresses, others, findings }
}

/// A probe of a role's server, in database 0, which every server has and which contains its marks. Another check finds
/// out whether the configured database exists.
pub(super) async fn open_probe(draft: &Draft, connection: &Connection, deadline: Deadline) -> Result<Probe, Finding> {
    match Box::pin(Probe::open(draft.link(connection, Some(0)))).await {
        Ok(probe) => Ok(probe.with_patience(deadline.patience())),
        Err(error) => Err(refused::why(connection, &error).await),
    }
}

async fn open<'a>(draft: &Draft, connection: &'a Connection, deadline: Deadline) -> Result<Visit<'a>, Finding> {
    let probe = open_probe(draft, connection, deadline).await?;
    Ok(query(draft, connection, probe, None).await)
}

/// Asks a server about itself.
pub(super) async fn query<'a>(draft: &Draft, connection: &'a Connection, probe: Probe, at: Option<At>) -> Visit<'a> {
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
    let cluster = match connection.url.topology() {
        Topology::Cluster(_) if at.is_none() => Some(probe.cluster().await),
        _ => None,
    };
    Visit { cluster, connection, probe, info, info_missing, settings, database, at }
}

pub(super) fn fell_silent(connection: &Connection) -> Finding {
    connection.finding(Code::Unreachable, "the server stopped answering")
}
