//! The report of a node about its cluster.

use std::ops::RangeInclusive;

use super::{Fact, Probe};
use crate::link::announced;
use crate::{Endpoint, Reply, keys};

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// A cluster, as one of its nodes reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterInfo {
    /// `cluster_state` is `ok`.
    pub is_ok: bool,
    /// How many slots belong to primaries that have failed or may have (`cluster_slots_fail`, `cluster_slots_pfail`).
    pub failed_slots: u32,
    /// The primaries that have slots, and their replicas. A replica that has failed is not among them.
    pub nodes: Vec<ClusterNode>,
}

/// A node of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterNode {
    /// The address that it announces.
    pub endpoint: Endpoint,
    /// Its id.
    pub id: String,
    /// The id of its primary, for a replica.
    pub primary: Option<String>,
    /// The slots that a primary has.
    pub slots: Vec<RangeInclusive<u16>>,
}

impl ClusterInfo {
    /// The primaries that have slots.
    pub fn primaries(&self) -> impl Iterator<Item = &ClusterNode> {
        self.nodes.iter().filter(|node| node.primary.is_none())
    }

    /// The slots that no node has, as ranges.
    pub fn uncovered(&self) -> Vec<RangeInclusive<u16>> {
        let mut covered: Vec<_> = self.primaries().flat_map(|node| &node.slots).collect();
        covered.sort_by_key(|range| *range.start());
        let (mut uncovered, mut next) = (Vec::new(), 0);
        for range in covered {
            if *range.start() > next {
                uncovered.push(next..=range.start() - 1);
            }
            next = next.max(range.end() + 1);
        }
        if next < SLOTS {
            uncovered.push(next..=SLOTS - 1);
        }
        uncovered
    }
}

impl ClusterNode {
    /// Whether it has the slot of this key.
    pub fn has_key(&self, key: &str) -> bool {
        let slot = keys::slot_of(key.as_bytes());
        self.slots.iter().any(|range| range.contains(&slot))
    }
}

impl Probe {
    /// The cluster of the server (`CLUSTER INFO` and `CLUSTER SLOTS`).
    pub async fn cluster(&self) -> Fact<ClusterInfo> {
        let info = match self.question("CLUSTER INFO", []).await {
            Fact::Known(info) => info,
            Fact::Unknown(why) => return Fact::Unknown(why),
        };
        match self.question("CLUSTER SLOTS", []).await {
            Fact::Known(slots) => Fact::of_option(
                parse(info.as_str().unwrap_or_default(), &slots, self.endpoint()),
                "CLUSTER SLOTS was answered with something else",
            ),
            Fact::Unknown(why) => Fact::Unknown(why),
        }
    }
}

/// A node that does not know its own address has that of `asked`.
fn parse(info: &str, slots: &Reply, asked: &Endpoint) -> Option<ClusterInfo> {
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim)
    };
    let number = |name: &str| field(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    let Reply::List(ranges) = slots else { return None };
    let mut nodes: Vec<ClusterNode> = Vec::new();
    for range in ranges {
        let Reply::List(fields) = range else { return None };
        let [first, last, primary, replicas @ ..] = fields.as_slice() else { return None };
        let slot = |reply: &Reply| u16::try_from(reply.as_int()?).ok().filter(|slot| *slot < SLOTS);
        let range = slot(first)?..=slot(last)?;
        let primary = node_of(primary, asked)?;
        let id = primary.id.clone();
        let known = nodes.iter().position(|node| node.id == id);
        let index = known.unwrap_or(nodes.len());
        if known.is_none() {
            nodes.push(primary);
            for replica in replicas {
                nodes.push(ClusterNode { primary: Some(id.clone()), ..node_of(replica, asked)? });
            }
        }
        nodes[index].slots.push(range);
    }
    let failed_slots = number("cluster_slots_fail") + number("cluster_slots_pfail");
    Some(ClusterInfo { is_ok: field("cluster_state") == Some("ok"), failed_slots, nodes })
}

/// An address, a port and an id.
fn node_of(reply: &Reply, asked: &Endpoint) -> Option<ClusterNode> {
    let Reply::List(fields) = reply else { return None };
    let id = fields.get(2)?.as_str()?.to_owned();
    Some(ClusterNode { endpoint: announced(fields, asked)?, id, primary: None, slots: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: i64, id: &str) -> Reply {
        let text = |text: &str| Reply::Bytes(text.to_owned().into());
        Reply::List(vec![text(host), Reply::Int(port), text(id)])
    }

    fn range(first: i64, last: i64, nodes: &[Reply]) -> Reply {
        Reply::List([Reply::Int(first), Reply::Int(last)].into_iter().chain(nodes.iter().cloned()).collect())
    }

    #[test]
    fn nodes_are_listed_once_and_uncovered_slots_are_ranges() {
        let (one, two, replica) = (node("10.0.0.1", 1, "a"), node("", 2, "b"), node("10.0.0.3", 3, "c"));
        let slots = Reply::List(vec![
            range(10, 99, &[one.clone(), replica.clone()]),
            range(100, 100, &[two]),
            range(200, 16_000, &[one, replica]),
        ]);
        let info = "cluster_state:fail\r\ncluster_slots_pfail:1\r\ncluster_slots_fail:2\r\n";
        let info = parse(info, &slots, &Endpoint::new("seed", 9)).unwrap();
        let ids: Vec<_> = info.nodes.iter().map(|node| (node.id.as_str(), node.primary.as_deref())).collect();
        assert_eq!(ids, [("a", None), ("c", Some("a")), ("b", None)]);
        assert_eq!((info.is_ok, info.failed_slots), (false, 3));
        assert_eq!(info.uncovered(), [0..=9, 101..=199, 16_001..=16_383]);
        assert_eq!(info.nodes[2].endpoint, Endpoint::new("seed", 2));
        assert_eq!(info.nodes[0].slots, [10..=99, 200..=16_000]);
    }

    #[test]
    fn all_slots_or_none() {
        let all = Reply::List(vec![range(0, 16_383, &[node("h", 1, "a")])]);
        let parse = |slots: &Reply| parse("cluster_state:ok", slots, &Endpoint::new("seed", 9)).unwrap();
        assert!(parse(&all).uncovered().is_empty() && parse(&all).is_ok);
        assert_eq!(parse(&Reply::List(Vec::new())).uncovered(), [0..=16_383]);
    }
}
