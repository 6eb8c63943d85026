//! The slots of a cluster, as a node reports them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::wire::Failure;
use crate::{Endpoint, Reply};

/// How many slots a cluster has.
const SLOTS: usize = 16_384;

/// Which node has which slot.
#[derive(Debug, Clone, Default)]
pub(in crate::link) struct SlotMap {
    nodes: Vec<Endpoint>,
    /// For each slot the index of its node and 1, or 0. Empty if nothing is known.
    owners: Vec<u16>,
}

impl SlotMap {
    /// The node that has a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<&Endpoint> {
        let index = usize::from(*self.owners.get(usize::from(slot))?);
        self.nodes.get(index.checked_sub(1)?)
    }

    /// The first slot of each node that has one.
    pub(super) fn firsts(&self) -> Vec<Option<u16>> {
        let mut firsts = vec![None; self.nodes.len()];
        for (slot, number) in (0..).zip(&self.owners) {
            if let Some(first) = usize::from(*number).checked_sub(1).and_then(|index| firsts.get_mut(index)) {
                first.get_or_insert(slot);
            }
        }
        firsts
    }

    /// Identifies the division of the slots into parts, whichever node has each part; `None` if a slot has no node.
    pub(super) fn division(&self) -> Option<u64> {
        let firsts = self.firsts();
        let part = |number: &u16| *firsts.get(usize::from(*number).checked_sub(1)?)?;
        let parts = self.owners.iter().map(part).collect::<Option<Vec<u16>>>()?;
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        (parts.len() == SLOTS).then(|| hasher.finish())
    }

    /// The slots that have another node in a later map: from which one, and to which one.
    pub(in crate::link) fn moves(&self, later: &Self) -> Vec<(u16, Endpoint, Endpoint)> {
        let moved = |slot| {
            let (from, to) = (self.owner(slot)?, later.owner(slot)?);
            (from != to).then(|| (slot, from.clone(), to.clone()))
        };
        (0..SLOTS as u16).filter_map(moved).collect()
    }

    /// Whether each slot has the same node.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let number = |node| other.nodes.iter().position(|other| other == node).map_or(usize::MAX, |index| index + 1);
        let numbers: Vec<_> = std::iter::once(0).chain(self.nodes.iter().map(number)).collect();
        let is_same = |(own, theirs): (&u16, &u16)| numbers.get(usize::from(*own)) == Some(&usize::from(*theirs));
        self.owners.len() == other.owners.len() && self.owners.iter().zip(&other.owners).all(is_same)
    }

    /// A node has a slot.
    pub(super) fn set(&mut self, slot: u16, node: &Endpoint) {
        self.owners.resize(SLOTS, 0);
        let index = self.nodes.iter().position(|other| other == node).unwrap_or_else(|| {
            self.nodes.push(node.clone());
            self.nodes.len() - 1
        });
        if let (Some(owner), Ok(number)) = (self.owners.get_mut(usize::from(slot)), u16::try_from(index + 1)) {
            *owner = number;
        }
    }
}

/// What one node reports.
#[derive(Debug)]
pub(super) struct Report {
    standing: Standing,
    slots: Arc<SlotMap>,
    /// The ids of the nodes and of their replicas.
    ids: HashSet<String>,
}

/// The order of several reports: the largest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Standing {
    /// Whether the node regards the cluster as working.
    is_ok: bool,
    epoch: u64,
}

impl Report {
    /// Reads the replies to `CLUSTER INFO` and `CLUSTER SLOTS`. A node that does not know its own address has that of `asked`.
    pub(super) fn parse(info: &Reply, slots: &Reply, asked: &Endpoint) -> Result<Self, Failure> {
        let field = |name: &str| {
            let mut lines = info.as_str()?.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let Reply::List(ranges) = slots else { return Err(UNREADABLE) };
        let (mut map, mut ids) = (SlotMap::default(), HashSet::new());
        for range in ranges {
            ids.extend(ids_of(range));
            let (first, last, node) = range_of(range, asked).ok_or(UNREADABLE)?;
            (first..=last).for_each(|slot| map.set(slot, &node));
        }
        let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        let is_ok = field("cluster_state") == Some("ok");
        Ok(Self { standing: Standing { is_ok, epoch }, slots: Arc::new(map), ids })
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether the node regards the cluster as working.
    pub(super) fn is_ok(&self) -> bool {
        self.standing.is_ok
    }

    /// The nodes that have slots.
    pub(super) fn primaries(&self) -> Vec<Endpoint> {
        self.slots.nodes.clone()
    }

    pub(super) fn slots(&self) -> &Arc<SlotMap> {
        &self.slots
    }

    pub(super) fn ids(&self) -> &HashSet<String> {
        &self.ids
    }

    /// Whether it is about the cluster in which nodes have these ids: it names one of them. A cluster that was created again has other
    /// ids.
    pub(super) fn is_of(&self, ids: &HashSet<String>) -> bool {
        ids.is_empty() || self.ids.is_empty() || !ids.is_disjoint(&self.ids)
    }
}

const UNREADABLE: Failure = Failure::Unsupported("the server's answer to CLUSTER SLOTS is not a list of ranges");

/// First slot, last slot, and the primary: its address, its port, its id.
fn range_of(range: &Reply, asked: &Endpoint) -> Option<(u16, u16, Endpoint)> {
    let Reply::List(fields) = range else { return None };
    let [first, last, Reply::List(primary), ..] = fields.as_slice() else { return None };
    let number = |reply: &Reply| u16::try_from(reply.as_int()?).ok();
    let last = number(last).filter(|last| usize::from(*last) < SLOTS)?;
    Some((number(first)?, last, announced(primary, asked)?))
}

/// The ids of the nodes of a range.
fn ids_of(range: &Reply) -> Vec<String> {
    let Reply::List(fields) = range else { return Vec::new() };
    let id = |node: &Reply| match node {
        Reply::List(fields) => fields.get(2)?.as_str().map(str::to_owned),
        _ => None,
    };
    fields.iter().filter_map(id).collect()
}

/// The address of a node in `CLUSTER SLOTS`: host, port, id and, from version 7.0 on, pairs of names and values. The host is `?` if
/// the node announces no name; then its IP address is among the pairs. Without any host, the node has the host of `asked`.
pub(crate) fn announced(node: &[Reply], asked: &Endpoint) -> Option<Endpoint> {
    let known = |host: &&str| !host.is_empty() && *host != "?";
    let host = node.first()?.as_str();
    let address = || match node.get(3) {
        Some(Reply::List(pairs)) if host == Some("?") => {
            let address = pairs.chunks_exact(2).find(|pair| pair[0].as_str() == Some("ip"));
            address.and_then(|pair| pair[1].as_str()).filter(known)
        }
        _ => None,
    };
    let host = host.filter(known).or_else(address).unwrap_or(&asked.host);
    Some(Endpoint::new(host, u16::try_from(node.get(1)?.as_int()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Bytes(text.to_owned().into())
    }

    fn range(first: i64, last: i64, host: Reply, port: i64) -> Reply {
        let replica = Reply::List(vec![text("10.9.9.9"), Reply::Int(1), text("id")]);
        let primary = Reply::List(vec![host, Reply::Int(port), text("id")]);
        Reply::List(vec![Reply::Int(first), Reply::Int(last), primary, replica])
    }

    fn info(state: &str, epoch: u64) -> Reply {
        text(&format!("cluster_state:{state}\r\ncluster_slots_ok:3\r\ncluster_current_epoch:{epoch}\r\n"))
    }

    #[test]
    fn slots_are_read_and_corrected() {
        let asked = Endpoint::new("seed", 7000);
        let ranges = vec![
            range(0, 99, text("10.0.0.1"), 7001),
            range(100, 16_383, text("Node-2"), 7002),
            range(50, 50, Reply::Nil, 7003),
        ];
        let report = Report::parse(&info("ok", 7), &Reply::List(ranges), &asked).unwrap();
        let mut map = SlotMap::clone(report.slots());
        assert_eq!(map.owner(99), Some(&Endpoint::new("10.0.0.1", 7001)));
        assert_eq!(map.owner(16_383), Some(&Endpoint::new("node-2", 7002)));
        assert_eq!(map.owner(50), Some(&Endpoint::new("seed", 7003)));
        assert_eq!(report.primaries().len(), 3);
        assert!(map.is_same(report.slots()) && !map.is_same(&SlotMap::default()));
        map.set(99, &Endpoint::new("10.0.0.9", 7009));
        assert_eq!(map.owner(99), Some(&Endpoint::new("10.0.0.9", 7009)));
        assert!(!map.is_same(report.slots()) && !report.slots().is_same(&map));
        map.set(99, &Endpoint::new("10.0.0.1", 7001));
        assert!(map.is_same(report.slots()) && report.slots().is_same(&map), "in another order");
        assert!(SlotMap::default().owner(1).is_none());
    }

    /// The replies of Redis 7.0 and Valkey 8.1 with `cluster-preferred-endpoint-type hostname`, if no name is announced.
    #[test]
    fn a_node_without_a_name_has_its_address() {
        let asked = Endpoint::new("seed", 7000);
        let node = |host: &str, pairs: &[&str]| {
            let pairs = Reply::List(pairs.iter().copied().map(text).collect());
            announced(&[text(host), Reply::Int(7001), text("id"), pairs], &asked).unwrap()
        };
        assert_eq!(node("?", &["ip", "10.0.0.1"]), Endpoint::new("10.0.0.1", 7001));
        assert_eq!(node("node-1", &["ip", "10.0.0.1"]), Endpoint::new("node-1", 7001));
        assert_eq!(node("", &["ip", "10.0.0.1", "hostname", "node-1"]), Endpoint::new("seed", 7001));
        assert_eq!(node("?", &[]), Endpoint::new("seed", 7001));
        assert_eq!(announced(&[Reply::Nil, Reply::Int(7001)], &asked), Some(Endpoint::new("seed", 7001)));
    }

    #[test]
    fn a_division_is_the_same_with_other_nodes_and_another_one_when_a_slot_moves() {
        let node = |port| Endpoint::new("10.0.0.1", port);
        let mut map = SlotMap::default();
        (0..16_383).for_each(|slot| map.set(slot, &node(slot / 8000)));
        assert_eq!(map.division(), None, "the last slot has no node");
        map.set(16_383, &node(2));
        assert_eq!(map.firsts(), [Some(0), Some(8000), Some(16_000)]);
        let before = map.division();
        (8000..16_000).for_each(|slot| map.set(slot, &node(7)));
        assert!(map.division() == before && map.division().is_some());
        let earlier = map.clone();
        map.set(9000, &node(2));
        assert_ne!(map.division(), before);
        assert_eq!(earlier.moves(&map), [(9000, node(7), node(2))]);
        assert!(map.moves(&map).is_empty() && SlotMap::default().moves(&map).is_empty());
    }

    #[test]
    fn the_newest_report_of_a_working_cluster_is_believed() {
        let report =
            |state, epoch| Report::parse(&info(state, epoch), &Reply::List(vec![]), &Endpoint::new("h", 1)).unwrap();
        assert!(report("ok", 5).standing() > report("ok", 4).standing());
        assert!(report("ok", 3).standing() > report("fail", 9).standing());
        assert!(report("ok", 3).standing() == report("ok", 3).standing());
    }

    #[test]
    fn a_report_is_of_a_cluster_if_it_names_one_of_its_nodes() {
        let report = |ids: [&str; 2]| {
            let node = |id| Reply::List(vec![text("10.0.0.1"), Reply::Int(7001), text(id)]);
            let range = Reply::List(vec![Reply::Int(0), Reply::Int(1), node(ids[0]), node(ids[1])]);
            Report::parse(&info("ok", 1), &Reply::List(vec![range]), &Endpoint::new("h", 1)).unwrap()
        };
        let first = report(["a", "b"]);
        assert!(first.is_of(&HashSet::new()) && report(["c", "a"]).is_of(first.ids()));
        assert!(!report(["c", "d"]).is_of(first.ids()));
    }

    #[test]
    fn answers_that_are_no_ranges_are_refused() {
        let asked = Endpoint::new("h", 1);
        for slots in [Reply::Nil, Reply::List(vec![Reply::Int(1)]), Reply::List(vec![range(0, 16_384, text("h"), 1)])] {
            assert!(Report::parse(&info("ok", 1), &slots, &asked).is_err());
        }
    }
}
