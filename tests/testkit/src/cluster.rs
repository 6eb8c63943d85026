mod builder;
mod migration;
mod view;

pub use builder::ClusterBuilder;
pub use migration::SlotMigration;

use std::net::SocketAddr;

use crate::server::RedisServerBuilder;
use crate::topology::proxy_of;
use crate::wait::{DEADLINE, holds_within, wait_until};
use crate::{CommandError, FaultProxy, RedisServer};
use view::{Node, view};

/// A cluster of primaries and replicas on `127.0.0.1`; by default three of each.
///
/// Each node is a [`RedisServer`] that a test kills, pauses and starts again on its own: [`kill`](RedisServer::kill),
/// [`pause`](RedisServer::pause), [`resume`](RedisServer::resume), [`start_again`](RedisServer::start_again). A node starts again
/// with what it has learned of the cluster.
///
/// What a method returns is what the nodes report at that time.
pub struct Cluster {
    nodes: Vec<RedisServer>,
    /// The id of each node.
    ids: Vec<String>,
    /// One for each node, or none at all.
    proxies: Vec<FaultProxy>,
    node: RedisServerBuilder,
}

impl Cluster {
    /// Three primaries with one replica each, without passwords.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::new()
    }

    /// All nodes, whatever their roles are now: at the start first the primaries, then the replicas of each in the same order.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The addresses that the nodes announce: those of their proxies, if they have any.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| ([127, 0, 0, 1], self.announced_port(node)).into()).collect()
    }

    /// The id of a node.
    ///
    /// # Panics
    /// For a server that is not one of [`nodes`](Self::nodes).
    pub fn id(&self, node: &RedisServer) -> &str {
        let position = self.nodes.iter().position(|other| other.port() == node.port());
        &self.ids[position.expect("the server is one of nodes()")]
    }

    /// The proxy before this node.
    ///
    /// # Panics
    /// Without [`through_proxies`](ClusterBuilder::through_proxies), or for a server that is not one of [`nodes`](Self::nodes).
    pub fn proxy(&self, node: &RedisServer) -> &FaultProxy {
        proxy_of(&self.nodes, &self.proxies, node)
    }

    /// The port that this node announces: that of its proxy, if it has one.
    pub fn announced_port(&self, node: &RedisServer) -> u16 {
        if self.proxies.is_empty() { node.port() } else { self.proxy(node).port() }
    }

    /// The slot of a key.
    ///
    /// # Errors
    /// When no node answers.
    pub async fn slot(&self, key: &str) -> Result<u16, CommandError> {
        let slot = self.running().next().ok_or(CommandError::NoReply)?.command(&["CLUSTER", "KEYSLOT", key]).await?;
        slot.as_integer().and_then(|slot| u16::try_from(slot).ok()).ok_or(CommandError::Malformed)
    }

    /// The primary that owns the slot, by its own report and by that of most running nodes. Waits until there is one.
    ///
    /// # Panics
    /// When there is none within [`DEADLINE`].
    pub async fn owner(&self, slot: u16) -> &RedisServer {
        self.wait_for_owner("an owner of the slot on which most nodes agree", slot, |_| true).await
    }

    /// The running replicas of this primary, by their own reports, with a link that is up.
    pub async fn replicas_of(&self, primary: &RedisServer) -> Vec<&RedisServer> {
        let mut replicas = Vec::new();
        for node in self.running() {
            if self.follows(node, primary).await {
                replicas.push(node);
            }
        }
        replicas
    }

    /// Promotes this replica with `CLUSTER FAILOVER` and its primary's consent, and waits as [`wait_settled`](Self::wait_settled).
    ///
    /// # Panics
    /// When it is no replica, or is not promoted within [`DEADLINE`].
    pub async fn failover(&self, replica: &RedisServer) {
        let accepted = replica.command(&["CLUSTER", "FAILOVER"]).await;
        accepted.expect("the node is a replica of a primary that runs");
        wait_until("the replica is a primary", DEADLINE, async || {
            replica.info("replication").await.is_ok_and(|info| info["role"] == "master")
        })
        .await;
        self.wait_settled().await;
    }

    /// Waits until the owner of the slot is another node than `old`, and returns it. The other nodes may not report it yet.
    ///
    /// # Panics
    /// When it is not within [`DEADLINE`].
    pub async fn wait_for_failover(&self, slot: u16, old: &RedisServer) -> &RedisServer {
        self.wait_for_owner("another owner of the slot", slot, |node| node.port() != old.port()).await
    }

    /// Waits until all running nodes report that the cluster is up, agree on the owner of each slot, and reach each other, and all
    /// running replicas are in sync.
    ///
    /// # Panics
    /// When this is not so within [`DEADLINE`].
    pub async fn wait_settled(&self) {
        wait_until("the running nodes agree on a cluster that is up", DEADLINE, async || {
            self.is_settled().await.unwrap_or(false)
        })
        .await;
    }

    async fn is_settled(&self) -> Option<bool> {
        let mut owners = None;
        for node in self.running() {
            if !node.cluster_is_up().await {
                return Some(false);
            }
            let nodes = view(node).await?;
            let up = |id: &str| nodes.iter().any(|other| other.id == id && other.is_up());
            if !self.running().all(|other| up(self.id(other))) || nodes.len() != self.nodes.len() {
                return Some(false);
            }
            // A primary may have claimed its slots anew, with a later epoch, before the others have read it. If it died now, the
            // epoch of the replica elected in its place would not be later, and it would win when it comes back.
            let claims = nodes.iter().filter(|node| !node.slots.is_empty());
            let mut seen = claims.map(|node| (node.id.clone(), node.epoch, node.slots.clone())).collect::<Vec<_>>();
            seen.sort_by(|left, right| left.0.cmp(&right.0));
            let mut epochs = seen.iter().map(|(_, epoch, _)| *epoch).collect::<Vec<_>>();
            epochs.sort_unstable();
            if epochs.windows(2).any(|pair| pair[0] == pair[1]) {
                return Some(false);
            }
            if *owners.get_or_insert_with(|| seen.clone()) != seen {
                return Some(false);
            }
            let myself = nodes.iter().find(|other| other.id == self.id(node))?;
            if let Some(primary) = &myself.replicates {
                let primary = self.nodes.iter().find(|other| self.id(other) == primary)?;
                if !self.follows(node, primary).await {
                    return Some(false);
                }
            }
        }
        Some(true)
    }

    /// Whether this node reports a link to the primary that is up, and the primary sends it its changes.
    async fn follows(&self, replica: &RedisServer, primary: &RedisServer) -> bool {
        if !replica.is_running() || !primary.is_running() {
            return false;
        }
        let (Ok(info), Ok(of_primary)) = (replica.info("replication").await, primary.info("replication").await) else {
            return false;
        };
        let says = |field: &str, value: &str| info.get(field).is_some_and(|found| found == value);
        let online = format!("port={},state=online", self.announced_port(replica));
        says("role", "slave")
            && says("master_link_status", "up")
            && says("master_port", &self.announced_port(primary).to_string())
            && of_primary.values().any(|value| value.contains(&online))
    }

    fn running(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    async fn views(&self) -> Vec<(&RedisServer, Vec<Node>)> {
        let mut views = Vec::new();
        for node in self.running() {
            if let Some(nodes) = view(node).await {
                views.push((node, nodes));
            }
        }
        views
    }

    async fn wait_for_owner(&self, what: &str, slot: u16, accept: impl Fn(&RedisServer) -> bool) -> &RedisServer {
        let mut found = None;
        holds_within(DEADLINE, async || {
            found = self.reported_owner(slot).await.filter(|node| accept(node));
            found.is_some()
        })
        .await;
        found.unwrap_or_else(|| panic!("not within {DEADLINE:?}: {what}"))
    }

    async fn reported_owner(&self, slot: u16) -> Option<&RedisServer> {
        let views = self.views().await;
        let owner = |nodes: &[Node]| nodes.iter().find(|node| node.owns(slot)).map(|node| node.id.clone());
        let named = views.iter().map(|(_, nodes)| owner(nodes)).collect::<Vec<_>>();
        let is_owner = |node: &RedisServer, nodes: &[Node]| {
            let id = self.id(node);
            let votes = named.iter().filter(|named| named.as_deref() == Some(id)).count();
            nodes.iter().any(|other| other.id == id && other.is_primary() && other.owns(slot))
                && votes * 2 > views.len()
        };
        views.iter().find(|(node, nodes)| is_owner(node, nodes)).map(|(node, _)| *node)
    }
}

/// What the start needs.
impl Cluster {
    /// Waits until the nodes of now agree that they own all slots.
    async fn wait_for_owners(&self) {
        wait_until("the primaries own all slots", DEADLINE, async || {
            let views = self.views().await;
            let owned = |nodes: &[Node]| {
                let known = nodes.iter().filter(|node| self.ids.contains(&node.id));
                known.flat_map(|node| &node.slots).map(|slots| slots.len()).sum::<usize>()
            };
            views.iter().all(|(_, nodes)| owned(nodes) == 16384)
        })
        .await;
    }

    /// Removes the primaries that do not exist.
    async fn forget_strangers(&self) {
        for (node, nodes) in self.views().await {
            for stranger in nodes.iter().filter(|node| !self.ids.contains(&node.id)) {
                // A node that has learned of its removal already refuses.
                let _ = node.command(&["CLUSTER", "FORGET", &stranger.id]).await;
            }
        }
    }

    async fn epoch(&self, node: &RedisServer) -> u64 {
        let info = node.command(&["CLUSTER", "INFO"]).await.ok();
        let text = info.as_ref().and_then(|info| info.as_str()).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("cluster_my_epoch:")?.parse().ok()).unwrap_or(0)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}
