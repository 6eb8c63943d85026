//! A URL with several hosts: the servers report their topology. Whether nodes are of one cluster, and sentinels of one group, is checked
//! afterwards, as for a URL that names the topology (`groups.rs`).

use std::collections::BTreeSet;

use futures_util::future::join_all;
use redis_link::{Endpoint, Fact, LinkConfig, Probe, ServerInfo, Topology};
use store_core::Role;

use super::deadline::Deadline;
use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

/// What one host reports.
enum Reading {
    Silent,
    Cluster,
    /// A sentinel, and the services that it monitors.
    Sentinel(Vec<String>),
    Primary {
        replication_id: Option<String>,
    },
    Replica {
        replication_id: Option<String>,
    },
}

impl Reading {
    fn text(&self) -> &'static str {
        match self {
            Self::Silent => "does not answer",
            Self::Cluster => "is a node of a cluster",
            Self::Sentinel(_) => "is a sentinel",
            Self::Primary { .. } => "is a primary",
            Self::Replica { .. } => "is a replica",
        }
    }
}

/// A controller gives each node its view of the slots (`CLUSTERX SETNODES`), and no reply shows which of two views is newer. Kvrocks
/// has no `SPUBLISH` either.
pub(super) const NO_KVROCKS_CLUSTER: &str = "the servers are nodes of a Kvrocks cluster, which is not supported: its nodes report no epoch \
     by which the newest view could be recognised; use Kvrocks without cluster-enabled";

/// Replaces each URL that names several hosts by a URL of the topology that the hosts report. A host that does not answer before
/// the deadline hides no answer of the others.
pub(crate) async fn decide(draft: &mut Draft, deadline: Deadline) -> Vec<Finding> {
    let ask = async |role: Role| {
        let connection = draft.server(role).filter(|connection| connection.files_are_right)?;
        let hosts = match connection.url.topology() {
            Topology::Several(hosts) => hosts,
            Topology::Kvrocks(hosts) if hosts.len() > 1 => hosts,
            _ => return None,
        };
        let config = draft.link(connection, Some(0));
        let ask = async |host: &Endpoint| {
            let reading = deadline.within(reading(&config, host)).await;
            (host.clone(), reading.unwrap_or(Reading::Silent))
        };
        Some(topology(connection, &join_all(hosts.iter().map(ask)).await))
    };
    let (cache, state) = tokio::join!(ask(Role::Cache), ask(Role::State));
    let mut findings = Vec::new();
    for (role, decided) in [(Role::Cache, cache), (Role::State, state)] {
        let (Some(decided), Some(connection)) = (decided, draft.server_mut(role)) else { continue };
        match decided {
            Ok(topology) => connection.url = connection.url.clone().with_topology(topology),
            Err(finding) => {
                connection.is_undecided = true;
                findings.push(finding);
            }
        }
    }
    findings
}

async fn reading(config: &LinkConfig, host: &Endpoint) -> Reading {
    let Ok(probe) = Box::pin(Probe::open_at(config.clone(), host)).await else { return Reading::Silent };
    let info = probe.server_info().await.known().unwrap_or_default();
    let info: ServerInfo = info.completed_by(&probe.greeting().known().unwrap_or_default());
    match info.mode.as_deref() {
        Some("sentinel") => match probe.monitored_services().await {
            Fact::Known(services) => Reading::Sentinel(services),
            Fact::Unknown(_) => Reading::Sentinel(Vec::new()),
        },
        Some("cluster") => Reading::Cluster,
        _ if info.role.as_deref() == Some("slave") => Reading::Replica { replication_id: info.replication_id },
        _ => Reading::Primary { replication_id: info.replication_id },
    }
}

fn topology(connection: &Connection, readings: &[(Endpoint, Reading)]) -> Result<Topology, Finding> {
    let hosts: Vec<Endpoint> = readings.iter().map(|(host, _)| host.clone()).collect();
    let answering: Vec<_> = readings
        .iter()
        .filter(|(_, reading)| !matches!(reading, Reading::Silent))
        .map(|(_, reading)| reading)
        .collect();
    let is_all =
        |wanted: fn(&Reading) -> bool| !answering.is_empty() && answering.iter().all(|reading| wanted(reading));
    let contradiction = |what: &str| {
        let each: Vec<_> = readings.iter().map(|(host, reading)| format!("{host} {}", reading.text())).collect();
        connection.finding(Code::TopologyMismatch, format!("{what}: {}", each.join(", ")))
    };
    if answering.is_empty() {
        return Err(connection.finding(Code::Unreachable, "none of the servers answers"));
    }
    let is_kvrocks = matches!(connection.url.topology(), Topology::Kvrocks(_));
    if is_kvrocks && is_all(|reading| matches!(reading, Reading::Cluster)) {
        return Err(connection.finding(Code::TopologyMismatch, NO_KVROCKS_CLUSTER));
    }
    if is_all(|reading| matches!(reading, Reading::Cluster)) {
        return match (connection.role, connection.url.database()) {
            (Role::Cache, _) => Err(connection.finding(Code::CacheOnCluster, "the servers are nodes of a cluster")),
            (Role::State, Some(1..)) => Err(connection.finding(
                Code::ClusterDatabaseNumber,
                "the servers are nodes of a cluster, and the URL names a database number",
            )),
            (Role::State, _) => Ok(Topology::Cluster(hosts)),
        };
    }
    if is_all(|reading| matches!(reading, Reading::Sentinel(_))) {
        let services: BTreeSet<_> = answering
            .iter()
            .flat_map(|reading| match reading {
                Reading::Sentinel(services) => services.as_slice(),
                _ => &[],
            })
            .collect();
        return match services.iter().collect::<Vec<_>>().as_slice() {
            [service] => Ok(Topology::Sentinel { sentinels: hosts, service: service.to_string() }),
            several => {
                let what = format!(
                    "the servers are sentinels and monitor {} services; name one: redis-sentinel://host,host/service",
                    several.len()
                );
                Err(connection.finding(Code::UrlInvalid, what))
            }
        };
    }
    let of_primary: Vec<_> = answering
        .iter()
        .filter_map(|reading| match reading {
            Reading::Primary { replication_id } => Some(replication_id),
            _ => None,
        })
        .collect();
    let is_data = |reading: &Reading| matches!(reading, Reading::Primary { .. } | Reading::Replica { .. });
    if !is_all(is_data) {
        return Err(contradiction("the servers belong to different topologies"));
    }
    let [primary] = of_primary.as_slice() else {
        return Err(contradiction("one of the servers must be the primary, and the others its replicas"));
    };
    let is_of_another = |reading: &&&Reading| match reading {
        Reading::Replica { replication_id: Some(id) } => primary.as_ref().is_some_and(|of_primary| of_primary != id),
        _ => false,
    };
    if answering.iter().any(|reading| is_of_another(&reading)) {
        return Err(contradiction("a replica belongs to another primary"));
    }
    Ok(if is_kvrocks { Topology::Kvrocks(hosts) } else { Topology::Several(hosts) })
}
