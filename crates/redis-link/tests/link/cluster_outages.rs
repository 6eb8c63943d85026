//! Outages of one primary: how many connections to other nodes they close, and links that start meanwhile.

use std::collections::BTreeSet;

use std::time::Duration;

use redis_link::Link;
use testkit::{Cluster, RedisServer};

use crate::cluster::{count, link_to, url_of};
use crate::{config, eventually};

/// The ids of the link's connections to a node.
pub(crate) async fn connections(node: &RedisServer) -> BTreeSet<String> {
    let clients = node.command(&["CLIENT", "LIST"]).await.unwrap();
    let ours = clients.as_str().unwrap().lines().filter(|line| line.contains("name=tests:link"));
    ours.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// While the cluster is down, nodes answer `CLUSTERDOWN`, and with each such answer the library loses a connection. After the first
/// one, no call is sent to the node until it reports that the cluster is up: at most one answer on each of three connections. Without
/// this, eight tasks cost a node up to 21 connections. With `cluster-require-full-coverage no` there is no such answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_other_nodes_survive_the_death_of_a_primary() {
    for (coverage, most) in [("yes", 6), ("no", 3)] {
        let node = RedisServer::builder().config("cluster-require-full-coverage", coverage);
        let cluster = Cluster::builder().node(node).start().await.unwrap();
        let link = link_to(&cluster, "").await;
        let old = cluster.owner(cluster.slot("counter").await.unwrap()).await;
        let others: Vec<_> = cluster.nodes()[..3].iter().filter(|node| node.port() != old.port()).collect();
        let mut seen = vec![BTreeSet::new(); others.len()];
        let look = async |seen: &mut Vec<BTreeSet<String>>| {
            for (node, seen) in others.iter().zip(seen) {
                seen.extend(connections(node).await);
            }
        };
        look(&mut seen).await;
        assert!(seen.iter().all(|seen| seen.len() == 3), "{seen:?}");
        let calls = async |task: usize| {
            for key in 0.. {
                let _ = count(&link, &format!("{{{task}-{key}}}")).await;
            }
        };
        let all =
            async { tokio::join!(calls(0), calls(1), calls(2), calls(3), calls(4), calls(5), calls(6), calls(7)) };
        let failover = async {
            old.kill().await;
            eventually("the slots of the dead primary are served", async || {
                look(&mut seen).await;
                count(&link, "counter").await.is_ok()
            })
            .await;
            look(&mut seen).await;
        };
        tokio::select! {
            _ = all => {}
            () = failover => {}
        }
        assert!(seen.iter().all(|seen| seen.len() <= most), "coverage {coverage}: {seen:?}");
    }
}

/// The dead primary does not refuse connections; it is silent.
#[tokio::test]
async fn a_link_starts_with_a_short_connect_time_out_while_a_primary_is_silent() {
    let cluster = Cluster::builder().replicas(0).node_timeout(Duration::from_secs(60)).start().await.unwrap();
    let silent = cluster.owner(cluster.slot("counter").await.unwrap()).await;
    silent.pause().unwrap();
    let settings = config(&url_of(&cluster.addresses())).with_connect_timeout(Duration::from_secs(1));
    let link = Link::connect(settings.with_max_retries(0)).await;
    silent.resume().unwrap();
    let link = link.unwrap();
    eventually("the silent primary is reached later", async || count(&link, "counter").await.is_ok()).await;
}
