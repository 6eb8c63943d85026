//! Which server a call is sent to: the only one, or the node of a cluster that has the slot of its keys.

use std::sync::Arc;

use store_core::{Error, Op, Result};

use super::cluster::Cluster;
use super::node::Node;
use super::subscriptions::Places;
use super::upstream::Upstream;
use crate::wire::{Failure, Redirection, Request};
use crate::{Capabilities, LinkConfig, Topology, keys};

/// How often a call follows a node that sends it to another one, within one attempt.
const MAX_REDIRECTIONS: usize = 5;

pub(super) enum Routes {
    One(Arc<Node>),
    Cluster(Cluster),
}

/// A node for one try of a call.
pub(super) struct Hop {
    pub(super) node: Arc<Node>,
    /// Whether the node only accepts the call behind `ASKING`: its slot is on the way to it.
    pub(super) asks: bool,
    /// How many more redirections are followed.
    left: usize,
}

impl Hop {
    /// What precedes the call in its pipeline.
    pub(super) fn before<'r>(&self) -> impl Iterator<Item = Request<'r>> + use<'r> {
        self.asks.then(|| Request::new("ASKING", [])).into_iter()
    }
}

impl Routes {
    /// Opens the connections to all servers. Also returns the servers for the subscriptions.
    pub(super) async fn open(config: &LinkConfig, op: Op) -> Result<(Self, Places)> {
        let failed = |failure: Failure| failure.into_error(op, "connect");
        if let Topology::Cluster(seeds) = config.url.topology() {
            let cluster = Cluster::open(config, seeds).await.map_err(failed)?;
            let slots = cluster.slots();
            return Ok((Self::Cluster(cluster), Places::Nodes(slots)));
        }
        let upstream = Upstream::of(config, op)?;
        let node = Node::open(config, &upstream).await.map_err(failed)?;
        Ok((Self::One(Arc::new(node)), Places::One(upstream)))
    }

    /// The slot that all keys of a call have; `None` if slots do not matter.
    pub(super) fn slot<K: AsRef<[u8]>>(&self, op: Op, keys: &[K]) -> Result<Option<u16>> {
        let (Self::Cluster(_), [first, others @ ..]) = (self, keys) else { return Ok(None) };
        let tag = keys::tag_of(first.as_ref());
        let slot = keys::slot(tag);
        // Nearly all calls have one tag, so its slot is computed once.
        let is_elsewhere = |key: &&K| {
            let other = keys::tag_of(key.as_ref());
            other != tag && keys::slot(other) != slot
        };
        if let Some(index) = others.iter().position(|key| is_elsewhere(&key)) {
            let (position, other) = (index + 2, keys::slot(keys::tag_of(others[index].as_ref())));
            let detail = format!(
                "the keys of one call must share one hash tag on a cluster: key 1 has slot {slot}, and key {position} slot {other}"
            );
            return Err(Error::invalid_argument(op, detail));
        }
        Ok(Some(slot))
    }

    /// Where a call is tried first.
    pub(super) fn first(&self, slot: Option<u16>) -> Result<Hop, Failure> {
        let node = match self {
            Self::One(node) => Arc::clone(node),
            Self::Cluster(cluster) => cluster.node(slot)?,
        };
        Ok(Hop { node, asks: false, left: MAX_REDIRECTIONS })
    }

    /// Where the result of a try sends the call; `None` if it is the result of the call.
    pub(super) fn next<T>(&self, hop: &Hop, result: &Result<T, Failure>) -> Option<Hop> {
        hop.node.answered(result);
        let (Self::Cluster(cluster), Err(failure)) = (self, result) else { return None };
        let redirection = failure.redirection(hop.node.endpoint().as_ref()).filter(|_| hop.left > 0);
        let Some(redirection) = redirection else {
            cluster.note(failure);
            return None;
        };
        let (node, asks) = match redirection {
            Redirection::Moved { slot, to } => (cluster.moved(slot, &to), false),
            Redirection::Asked { to } => (cluster.asked(&to), true),
        };
        Some(Hop { node, asks, left: hop.left - 1 })
    }

    /// The only server, for a call that blocks.
    pub(super) fn only(&self) -> Result<Arc<Node>, Failure> {
        match self {
            Self::One(node) => Ok(Arc::clone(node)),
            Self::Cluster(_) => Err(Failure::Unsupported("no call blocks on a cluster")),
        }
    }

    /// The capabilities of a server; `None` until a connection was open.
    pub(super) fn capabilities(&self) -> Option<Arc<Capabilities>> {
        match self {
            Self::One(node) => node.capabilities(),
            Self::Cluster(cluster) => cluster.nodes().iter().find_map(|node| node.capabilities()),
        }
    }

    /// The only server, or the primaries of the cluster.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        match self {
            Self::One(node) => vec![Arc::clone(node)],
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    /// Whether at least one connection is up.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::One(node) => node.is_usable(),
            Self::Cluster(cluster) => cluster.nodes().iter().any(|node| node.is_usable()),
        }
    }

    /// Whether the keys are divided among several nodes.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Whether the keys of one call must share a slot.
    pub(super) fn has_slots(&self) -> bool {
        match self {
            Self::One(node) => node.has_slots(),
            Self::Cluster(_) => true,
        }
    }

    pub(super) fn close(&self) {
        match self {
            Self::One(node) => node.close(),
            Self::Cluster(cluster) => cluster.close(),
        }
    }
}
