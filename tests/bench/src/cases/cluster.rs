//! Whole lives on a cluster, compared with the same on one standalone server.

use std::sync::Arc;

use async_trait::async_trait;
use store_core::{StateOptions, StateRole};
use testkit::{Cluster, RedisServer};

use super::partitions::MANY;
use super::whole_life::Lives;
use crate::Result;
use crate::case::{Case, OURS, Plan, Side};
use crate::environment::{Environment, open_state_with, queue};
use crate::figure::{Bound, CLIENT_MICROS, PER_SECOND, SERVER_MICROS, Sample, Target};
use crate::meter::Meter;

const STANDALONE: &str = "standalone";

pub(super) fn cases() -> Vec<Box<dyn Case>> {
    vec![Box::new(Routing), Box::new(Primaries)]
}

/// What it costs the client to choose the node of each call.
struct Routing;

/// What it costs the servers that a queue is divided among them.
struct Primaries;

#[async_trait]
impl Case for Routing {
    fn plan(&self) -> Plan {
        Plan::new(
            "cluster-routing",
            "whole lives, pushed 100 at a time, on a cluster of one node, or on a standalone server",
        )
        .with_headline(CLIENT_MICROS)
        .with_target(Target::new(CLIENT_MICROS, Bound::AtMostTimes(1.05, STANDALONE)))
        .with_also_against(SERVER_MICROS, STANDALONE)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        let node = RedisServer::builder().cluster().start().await?;
        let servers = Servers::Node(node);
        sides(environment, servers, 1).await
    }
}

#[async_trait]
impl Case for Primaries {
    fn plan(&self) -> Plan {
        let about = "whole lives on a queue of 12 partitions, pushed 100 at a time, on a cluster of 3 primaries, or on a standalone server";
        Plan::new("cluster-primaries-3", about)
            .with_target(Target::new(SERVER_MICROS, Bound::AtMostTimes(1.15, STANDALONE)))
            .with_also_against(CLIENT_MICROS, STANDALONE)
            .with_also(PER_SECOND)
    }

    async fn open(&self, environment: &Environment) -> Result<Vec<Box<dyn Side>>> {
        // The compiler cannot prove that the future of the start is `Send`, so it stays on this thread.
        let start = || tokio::runtime::Handle::current().block_on(Cluster::builder().replicas(0).start());
        let servers = Servers::Cluster(tokio::task::block_in_place(start)?);
        sides(environment, servers, MANY).await
    }
}

/// The servers of a side, which end with it.
enum Servers {
    Node(RedisServer),
    Cluster(Cluster),
}

impl Servers {
    fn nodes(&self) -> &[RedisServer] {
        match self {
            Self::Node(node) => std::slice::from_ref(node),
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes().iter().map(|node| node.address().to_string()).collect();
        format!("redis-cluster://{}", hosts.join(","))
    }
}

struct OnCluster {
    lives: Lives,
    _servers: Servers,
}

async fn sides(environment: &Environment, servers: Servers, partitions: u16) -> Result<Vec<Box<dyn Side>>> {
    let mut meters = Vec::new();
    for node in 0..servers.nodes().len() {
        meters.push(Meter::open(&servers.nodes()[node]).await?);
    }
    let url = servers.url();
    let ours = lives(OURS, environment, &url, partitions).await?.with_meters(meters);
    let standalone = lives(STANDALONE, environment, &environment.server()?.url(None), partitions).await?;
    Ok(vec![Box::new(OnCluster { lives: ours, _servers: servers }), standalone.side()])
}

async fn lives(name: &'static str, environment: &Environment, url: &str, partitions: u16) -> Result<Lives> {
    let queue = queue("life")?;
    let options = StateOptions::default().with_partitions(queue.clone(), partitions);
    let state: Arc<dyn StateRole> = Arc::new(open_state_with(url, options).await?);
    Lives::new(name, &state, vec![queue], (environment.size(50_000), 100))
}

#[async_trait]
impl Side for OnCluster {
    fn name(&self) -> &str {
        self.lives.name()
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        self.lives.round(environment).await
    }
}
