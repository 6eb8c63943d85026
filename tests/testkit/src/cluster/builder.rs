use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Cluster;
use crate::port::ReservedPort;
use crate::server::nodes::{Line, file};
use crate::server::{Kind, RedisServer, RedisServerBuilder, StartError};
use crate::topology::{Places, random_id, start_all};

/// The settings of [`Cluster`]; made by [`Cluster::builder`].
#[derive(Clone)]
#[must_use]
pub struct ClusterBuilder {
    node: RedisServerBuilder,
    primaries: usize,
    replicas: usize,
    node_timeout: Duration,
    uses_proxies: bool,
}

/// A node before it starts.
struct Plan {
    id: String,
    port: Arc<ReservedPort>,
    bus: Arc<ReservedPort>,
    announced: u16,
    /// The id of its shard, and at first of its primary, which does not exist.
    shard: String,
}

impl ClusterBuilder {
    pub(super) fn new() -> Self {
        Self {
            node: RedisServer::builder(),
            primaries: 3,
            replicas: 1,
            node_timeout: Duration::from_secs(1),
            uses_proxies: false,
        }
    }

    /// The settings of each node: users, TLS, memory, persistence. The user of [`login`](RedisServerBuilder::login), by default the
    /// default user, is also that of replication and of migrations.
    pub fn node(mut self, node: RedisServerBuilder) -> Self {
        self.node = node;
        self
    }

    /// How many primaries share the slots; 3 by default. A failover without a command needs 3.
    pub fn primaries(mut self, count: usize) -> Self {
        self.primaries = count;
        self
    }

    /// How many replicas each primary has; 1 by default.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// After this time without an answer a node takes another one for down (`cluster-node-timeout`); 1 s by default.
    pub fn node_timeout(mut self, time: Duration) -> Self {
        self.node_timeout = time;
        self
    }

    /// Puts a [`FaultProxy`](crate::FaultProxy) before each node, and has the node announce the address of its proxy. Clients and
    /// replicas reach it only through the proxy; the bus between the nodes does not use it. See [`Cluster::proxy`].
    pub fn through_proxies(mut self) -> Self {
        self.uses_proxies = true;
        self
    }

    /// Starts all nodes, and waits until they agree on the owners of all slots and the replicas are in sync.
    ///
    /// # Errors
    /// [`StartError`].
    ///
    /// # Panics
    /// When the nodes do not agree within [`DEADLINE`](crate::DEADLINE).
    pub async fn start(mut self) -> Result<Cluster, StartError> {
        self.node.make_certificates()?;
        let Places { ports, proxies, announced } =
            Places::reserve(self.primaries * (1 + self.replicas), self.uses_proxies).await?;
        let absent = (0..self.primaries).map(|_| random_id()).collect::<Vec<_>>();
        let plan = |((port, announced), shard): (_, &String)| {
            let (bus, shard) = (Arc::new(ReservedPort::reserve()?), shard.clone());
            Ok(Plan { id: random_id(), port, bus, announced, shard })
        };
        let plans = ports.into_iter().zip(announced).zip(absent.iter().cycle()).map(plan);
        let plans = plans.collect::<io::Result<Vec<_>>>()?;
        let with_shards = self.node.knows_shards()?;

        let primaries = plans
            .iter()
            .take(self.primaries)
            .map(|plan| self.builder(plan, self.first_file(&plans, &absent, plan, with_shards)));
        let primaries = start_all(primaries.collect()).await?;
        for primary in &primaries {
            primary.take_over().await;
        }
        let ids = plans.iter().map(|plan| plan.id.clone()).collect::<Vec<_>>();
        let mut cluster = Cluster { nodes: primaries, ids, proxies, node: self.node.clone() };
        cluster.wait_for_owners().await;
        cluster.forget_strangers().await;

        let mut epochs = Vec::new();
        for primary in &cluster.nodes {
            epochs.push(cluster.epoch(primary).await);
        }
        let replicas = plans
            .iter()
            .skip(self.primaries)
            .map(|plan| self.builder(plan, self.second_file(&plans, &epochs, plan, with_shards)));
        cluster.nodes.extend(start_all(replicas.collect()).await?);
        cluster.wait_settled().await;
        Ok(cluster)
    }

    fn builder(&self, plan: &Plan, nodes: String) -> RedisServerBuilder {
        let node = self.node.clone().member(Kind::Member).listen_on(&plan.port).replicates_each_other();
        let announced_port = if node.speaks_tls() { "cluster-announce-tls-port" } else { "cluster-announce-port" };
        node.cluster_node(&plan.bus, nodes)
            .config("cluster-node-timeout", &self.node_timeout.as_millis().to_string())
            .config("cluster-announce-ip", "127.0.0.1")
            .config("replica-announce-port", &plan.announced.to_string())
            .config(announced_port, &plan.announced.to_string())
    }

    /// What the primaries read: all nodes are replicas of primaries that do not exist.
    fn first_file(&self, plans: &[Plan], absent: &[String], myself: &Plan, with_shards: bool) -> String {
        let nodes = plans.iter().map(|plan| plan.line(Some(&plan.shard), 0, None));
        let absent = absent.iter().zip(1..).enumerate().map(|(index, (id, epoch))| Line {
            id,
            port: 1,
            bus: 1,
            shard: id,
            replicates: None,
            epoch,
            slots: Some(self.slots(index)),
        });
        // Different ones, so that no two take over with the same epoch. Descending, since a later one may read of an earlier one.
        let later = plans.iter().rev().position(|plan| plan.id == myself.id).unwrap_or(0) as u64;
        file(&nodes.chain(absent).collect::<Vec<_>>(), &myself.id, 1000 + 10 * later, with_shards)
    }

    /// What the replicas read: the cluster as it is.
    fn second_file(&self, plans: &[Plan], epochs: &[u64], myself: &Plan, with_shards: bool) -> String {
        let lines = plans.iter().enumerate().map(|(index, plan)| match epochs.get(index) {
            Some(epoch) => plan.line(None, *epoch, Some(self.slots(index))),
            None => plan.line(Some(&plans[index % self.primaries].id), 0, None),
        });
        let epoch = epochs.iter().copied().max().unwrap_or(0);
        file(&lines.collect::<Vec<_>>(), &myself.id, epoch, with_shards)
    }

    /// The slots of one primary.
    fn slots(&self, index: usize) -> RangeInclusive<u16> {
        let begin = |index: usize| u16::try_from(16384 * index / self.primaries).unwrap_or(u16::MAX);
        begin(index)..=begin(index + 1) - 1
    }
}

impl Plan {
    fn line<'a>(&'a self, replicates: Option<&'a str>, epoch: u64, slots: Option<RangeInclusive<u16>>) -> Line<'a> {
        let (bus, shard) = (self.bus.number(), self.shard.as_str());
        Line { id: &self.id, port: self.announced, bus, shard, replicates, epoch, slots }
    }
}
