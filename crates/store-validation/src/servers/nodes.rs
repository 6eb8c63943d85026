//! The nodes of a cluster, and the replicas of a primary that sentinels report: the servers that may receive calls, now or after
//! a failover.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use futures_util::future::join_all;
use redis_link::{ClusterInfo, ClusterNode, Fact, Probe, Topology};

use super::clock::{self, Clock};
use super::deadline::Deadline;
use super::visit::{At, Visit, fell_silent, query};
use super::{acl, check_server, databases, memory, persistence, refused};
use crate::draft::Draft;
use crate::{Code, Finding};

/// The most ranges of slots that a finding lists.
const NAMED: usize = 8;

/// The identity of one of several servers.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) run_id: Option<String>,
    pub(super) replication_id: Option<String>,
    pub(super) addresses: Vec<SocketAddr>,
}

/// Checks all of these servers until the deadline. Returns their identities.
pub(super) async fn check(
    draft: &Draft,
    visit: &Visit<'_>,
    deadline: Deadline,
    findings: &mut Vec<Finding>,
) -> Vec<Node> {
    let nodes: Vec<At> = match &visit.cluster {
        Some(Fact::Known(cluster)) => {
            findings.extend(of_cluster(visit, cluster));
            let at = |node: &ClusterNode| At { endpoint: node.endpoint.clone(), node: Some(node.clone()) };
            cluster.nodes.iter().map(at).collect()
        }
        Some(Fact::Unknown(why)) => {
            findings.push(visit.finding(Code::ClusterUnknown, why));
            if deadline.within(check_server(draft, visit, findings)).await.is_none() {
                findings.push(fell_silent(visit.connection));
            }
            findings.extend(deadline.within(acl::check(draft, visit)).await.into_iter().flatten());
            Vec::new()
        }
        None => {
            let is_reported =
                matches!(visit.connection.url.topology(), Topology::Sentinel { .. } | Topology::Several(_));
            let replicas = visit.info.replicas.iter().filter(|_| is_reported);
            replicas.map(|endpoint| At { endpoint: endpoint.clone(), node: None }).collect()
        }
    };
    // A node that does not answer in time hides no finding about the others.
    let check = async |at: At| {
        let silent = refused::silent(visit.connection, &at);
        let checked = deadline.within(check_node(draft, visit, at, deadline)).await;
        checked.unwrap_or_else(|| (vec![silent], Node::default(), None))
    };
    let checked = join_all(nodes.into_iter().map(check)).await;
    let mut clocks: Vec<Clock> = Vec::new();
    if !visit.is_for_cluster() {
        clocks.extend(deadline.within(Clock::of(visit)).await.flatten());
    }
    let mut identified = Vec::new();
    for (found, node, clock) in checked {
        findings.extend(found);
        identified.push(node);
        clocks.extend(clock);
    }
    findings.extend(clock::between(visit, &clocks));
    identified
}

/// The findings about the cluster as a whole.
fn of_cluster(visit: &Visit<'_>, cluster: &ClusterInfo) -> Vec<Finding> {
    let mut findings = Vec::new();
    let uncovered = cluster.uncovered();
    if !uncovered.is_empty() {
        let count: usize = uncovered.iter().map(|range| usize::from(range.end() - range.start()) + 1).sum();
        let what = format!("{count} slots belong to no node: {}", ranges(&uncovered));
        findings.push(visit.finding(Code::ClusterSlotsUncovered, what));
    }
    if cluster.failed_slots > 0 {
        let what = format!("{} slots belong to primaries that do not answer the other nodes", cluster.failed_slots);
        findings.push(visit.finding(Code::ClusterSlotsUncovered, what));
    }
    if !cluster.is_ok && findings.is_empty() {
        findings.push(visit.finding(Code::ClusterSlotsUncovered, "CLUSTER INFO reports that the cluster is not ok"));
    }
    findings
}

fn ranges(ranges: &[RangeInclusive<u16>]) -> String {
    let range = |range: &RangeInclusive<u16>| match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    };
    let named: Vec<_> = ranges.iter().take(NAMED).map(range).collect();
    let more = if ranges.len() > NAMED { " …" } else { "" };
    format!("{}{more}", named.join(", "))
}

async fn check_node(
    draft: &Draft,
    visit: &Visit<'_>,
    at: At,
    deadline: Deadline,
) -> (Vec<Finding>, Node, Option<Clock>) {
    let connection = visit.connection;
    let is_primary = at.is_primary();
    let opening = Box::pin(Probe::open_at(draft.link(connection, Some(0)), &at.endpoint));
    let (opened, resolved) = tokio::join!(opening, at.endpoint.resolve());
    let addresses = resolved.unwrap_or_default();
    let probe = match opened {
        Ok(probe) => probe.with_patience(deadline.patience()),
        Err(error) => {
            let finding = refused::why_reported(connection, &at, &error).await;
            return (vec![finding], Node { addresses, ..Node::default() }, None);
        }
    };
    let node = query(draft, connection, probe, Some(at)).await;
    let mut findings = Vec::new();
    if is_primary {
        check_server(draft, &node, &mut findings).await;
        findings.extend(acl::check(draft, &node).await);
        if !visit.is_down() {
            findings.extend(databases::writable(draft, &node).await);
        }
        if node.info.connected_replicas == Some(0) {
            findings.push(node.finding(Code::ClusterNoReplica, "no replica is connected"));
        }
    } else {
        let wrong = memory::policy(&node).into_iter().chain(persistence::check(&node).await).filter(Finding::is_error);
        findings.extend(wrong.map(|finding| Finding {
            what: finding.what,
            ..connection.fill(Finding::new(Code::ReplicaMisconfigured, connection.role, ""))
        }));
        findings.extend(super::clients::eviction(&node));
    }
    let clock = Clock::of(&node).await;
    let replication_id = node.info.replication_id;
    (findings, Node { run_id: node.info.run_id, replication_id, addresses }, clock)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_finding_names_some_ranges() {
        assert_eq!(super::ranges(&[0..=9, 100..=100]), "0-9, 100");
        let many: Vec<_> = (0..20).map(|slot| slot * 2..=slot * 2).collect();
        assert_eq!(super::ranges(&many), "0, 2, 4, 6, 8, 10, 12, 14 …");
    }
}
