//! The connections to one server, or to the primary of a service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::connection::{Connection, Turns};
use super::exclusive::Exclusive;
use super::upstream::Upstream;
use crate::metered::NodeMeters;
use crate::wire::Failure;
use crate::{Capabilities, Endpoint, LinkConfig};

/// How many calls may block on a server at once; each has a connection of its own.
const MAX_BLOCKING: usize = 256;
/// How many durable writes may wait for the replicas of a server at once; each has a connection of its own.
const MAX_DURABLE: usize = 16;

pub(super) struct Node {
    connections: Vec<Connection>,
    turn: AtomicUsize,
    pub(super) blockers: Arc<Exclusive>,
    pub(super) durables: Arc<Exclusive>,
    upstream: Upstream,
    meters: NodeMeters,
    /// Whether the node of a cluster refuses calls on keys (`CLUSTERDOWN`), until it reports that the cluster is up. The library loses
    /// the connection, and all calls under way on it, with each such answer.
    is_refusing: AtomicBool,
}

impl Node {
    /// Opens all shared connections, one after the other.
    pub(super) async fn open(config: &LinkConfig, upstream: &Upstream) -> Result<Self, Failure> {
        let (turns, mut connections) = (Turns::new(), Vec::with_capacity(config.pool_size));
        for _ in 0..config.pool_size {
            connections.push(Connection::open(config, upstream, &turns).await?);
        }
        Ok(Self::of(config, upstream, connections))
    }

    /// Has tasks open the shared connections. Until one is up, calls fail as not sent.
    pub(super) fn begin(config: &LinkConfig, upstream: &Upstream) -> Self {
        let turns = Turns::new();
        let connections = (0..config.pool_size).map(|_| Connection::begin(config, upstream, &turns)).collect();
        Self::of(config, upstream, connections)
    }

    fn of(config: &LinkConfig, upstream: &Upstream, connections: Vec<Connection>) -> Self {
        Self {
            connections,
            turn: AtomicUsize::new(0),
            blockers: Exclusive::new(config, upstream, MAX_BLOCKING),
            durables: Exclusive::new(config, upstream, MAX_DURABLE),
            upstream: upstream.clone(),
            meters: NodeMeters::new(config.role_label()),
            is_refusing: AtomicBool::new(false),
        }
    }

    /// The next usable connection, round robin.
    pub(super) fn connection(&self) -> Result<&Connection, Failure> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.connections.len();
        let mut in_turn = (0..count).map(|step| &self.connections[turn.wrapping_add(step) % count]);
        in_turn
            .find(|connection| connection.is_usable())
            .ok_or(Failure::NotSent("no connection to the server is up".into()))
    }

    /// The capabilities of the server; `None` until a connection was open.
    pub(super) fn capabilities(&self) -> Option<Arc<Capabilities>> {
        self.connections.iter().find_map(Connection::capabilities)
    }

    /// The address of the server now.
    pub(super) fn endpoint(&self) -> Option<Endpoint> {
        self.upstream.now()
    }

    /// Whether calls on keys must not be sent to it.
    pub(super) fn is_refusing(&self) -> bool {
        self.is_refusing.load(Ordering::Relaxed)
    }

    /// Records its report of whether the cluster is up.
    pub(super) fn reported(&self, is_up: bool) {
        if is_up {
            self.is_refusing.store(false, Ordering::Relaxed);
        }
    }

    /// Counts a request and its outcome.
    pub(super) fn answered<T>(&self, result: &Result<T, Failure>) {
        if result.as_ref().is_err_and(Failure::is_cluster_down) {
            self.is_refusing.store(true, Ordering::Relaxed);
        }
        if let Some(endpoint) = self.upstream.now() {
            self.meters.answered(&endpoint, result);
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.connections.iter().any(Connection::is_usable)
    }

    /// Whether the server is in cluster mode.
    pub(super) fn has_slots(&self) -> bool {
        self.connections.iter().any(|connection| connection.has_slots)
    }

    pub(super) fn close(&self) {
        self.connections.iter().for_each(Connection::close);
        self.blockers.close();
        self.durables.close();
    }
}
