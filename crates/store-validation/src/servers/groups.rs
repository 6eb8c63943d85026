//! A URL that names several nodes of a cluster, or several sentinels: all of them must be of one cluster, or of one group.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use redis_link::{Endpoint, LinkConfig, Probe, Topology};
use tokio::time::{sleep, timeout};

use crate::draft::{Connection, Draft};
use crate::{Code, Finding};

/// How long a host has to report. One that does not answer contradicts no other one, and delays the start no longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Sentinels that have just started find each other within 2 s. Until then, those of one group may report different primaries.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(3);
/// The most primaries of a cluster that a finding lists.
const NAMED: usize = 3;

/// What one host reports.
enum Reading {
    /// Nothing that could contradict another host.
    Nothing,
    /// It is another kind of server.
    Other(&'static str),
    Node {
        ids: BTreeSet<String>,
        primaries: Vec<String>,
    },
    Sentinel {
        ids: BTreeSet<String>,
        primary: Endpoint,
    },
}

/// Compares what the hosts report. Asks them once more before it reports a contradiction. Takes at most 9 s, which is less than any
/// preflight may take.
pub(super) async fn check(draft: &Draft, connection: &Connection) -> Option<Finding> {
    let (hosts, config) = match connection.url.topology() {
        Topology::Cluster(nodes) => (nodes, draft.link(connection, Some(0))),
        Topology::Sentinel { sentinels, .. } => (sentinels, draft.link(connection, Some(0)).of_sentinels()),
        _ => return None,
    };
    if hosts.len() < 2 {
        return None;
    }
    let ask = async || {
        let read = async |host| {
            let reading = timeout(PATIENCE, Box::pin(read(&config, connection, host))).await;
            (host, reading.unwrap_or(Reading::Nothing))
        };
        join_all(hosts.iter().map(read)).await
    };
    contradiction(&ask().await)?;
    sleep(ASKED_AGAIN_AFTER).await;
    Some(connection.finding(Code::TopologyMismatch, contradiction(&ask().await)?))
}

async fn read(config: &LinkConfig, connection: &Connection, host: &Endpoint) -> Reading {
    let Ok(probe) = Box::pin(Probe::open_at(config.clone(), host)).await else { return Reading::Nothing };
    let mode = probe.greeting().known().and_then(|greeting| greeting.mode);
    match (connection.url.topology(), mode.as_deref()) {
        (Topology::Cluster(_), Some("cluster") | None) => {
            let Some(cluster) = probe.cluster().await.known() else { return Reading::Nothing };
            let primaries = cluster.primaries().map(|node| node.endpoint.to_string()).collect();
            Reading::Node { ids: cluster.nodes.into_iter().map(|node| node.id).collect(), primaries }
        }
        (Topology::Sentinel { service, .. }, Some("sentinel") | None) => {
            match probe.sentinel_group(service).await.known() {
                Some(group) => Reading::Sentinel { ids: group.ids, primary: group.primary },
                None => Reading::Nothing,
            }
        }
        (Topology::Cluster(_), _) => Reading::Other("is no node of a cluster"),
        _ => Reading::Other("is no sentinel"),
    }
}

/// All readings, if two of them contradict each other.
fn contradiction(readings: &[(&Endpoint, Reading)]) -> Option<String> {
    let differs = |one: &Reading| readings.iter().any(|(_, other)| !one.agrees_with(other));
    if !readings.iter().any(|(_, reading)| differs(reading)) {
        return None;
    }
    let each: Vec<_> = readings.iter().map(|(host, reading)| format!("{host} {}", reading.text())).collect();
    Some(format!("the hosts of the URL do not belong together: {}", each.join("; ")))
}

impl Reading {
    /// Nodes without slots know no ids. Sentinels of one group may report different primaries: the newest failover counts.
    fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Node { ids, .. }, Self::Node { ids: others, .. }) => {
                ids.is_empty() || others.is_empty() || !ids.is_disjoint(others)
            }
            (Self::Sentinel { ids, primary }, Self::Sentinel { ids: others, primary: other }) => {
                primary == other || !ids.is_disjoint(others)
            }
            // If all of them are of another kind, the check of the server reports it.
            (Self::Other(_), Self::Other(_)) | (Self::Nothing, _) | (_, Self::Nothing) => true,
            _ => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Nothing => "reports nothing".into(),
            Self::Other(what) => (*what).into(),
            Self::Node { primaries, .. } => {
                let named = primaries.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
                let more = if primaries.len() > NAMED { ", …" } else { "" };
                format!("is a node of the cluster with the primaries {named}{more}")
            }
            Self::Sentinel { primary, .. } => format!("is a sentinel that reports the primary {primary}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentinel(ids: &[&str], port: u16) -> Reading {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        Reading::Sentinel { ids, primary: Endpoint::new("10.0.0.1", port) }
    }

    fn node(ids: &[&str]) -> Reading {
        Reading::Node { ids: ids.iter().map(|id| (*id).to_owned()).collect(), primaries: Vec::new() }
    }

    #[test]
    fn only_hosts_without_a_common_id_contradict_each_other() {
        let host = Endpoint::new("10.0.0.1", 1);
        let contradicts = |readings: [Reading; 3]| contradiction(&readings.map(|reading| (&host, reading))).is_some();
        // One was cut off from the others during a failover.
        assert!(!contradicts([sentinel(&["a", "b"], 1), sentinel(&["b", "a"], 2), Reading::Nothing]));
        assert!(!contradicts([sentinel(&["a"], 1), sentinel(&["b"], 1), sentinel(&["b"], 1)]));
        assert!(contradicts([sentinel(&["a"], 1), Reading::Nothing, sentinel(&["b"], 2)]));
        assert!(!contradicts([node(&["a", "b"]), node(&[]), node(&["b", "c"])]));
        assert!(contradicts([node(&[]), node(&["a"]), node(&["b"])]));
        assert!(contradicts([node(&["a"]), Reading::Nothing, Reading::Other("is no node of a cluster")]));
    }
}
