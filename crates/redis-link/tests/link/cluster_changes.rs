//! Changes of a cluster that no call shows, and what the link asks the nodes meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use redis_link::Link;
use testkit::{Cluster, RedisServer};

use crate::cluster::{count, link_to, started, url_of};
use crate::cluster_outages::connections;
use crate::hosts::address_of;
use crate::{READS, config, eventually, passed};

/// The target was visited before the key moved there, and the source after. The slot does not move before the iteration ends.
#[tokio::test]
async fn an_iteration_returns_a_key_that_moves_behind_it() {
    let (cluster, link) = started().await;
    let last = &cluster.nodes()[2];
    let mut key = String::new();
    for name in 0.. {
        key = format!("{{{name}}}");
        if cluster.owner(cluster.slot(&key).await.unwrap()).await.port() == last.port() {
            break;
        }
    }
    assert_eq!(count(&link, &key).await.unwrap(), 1);
    let migration = cluster.begin_migration(cluster.slot(&key).await.unwrap(), &cluster.nodes()[0]).await.unwrap();
    let (mut after, mut found, mut steps) = (None, BTreeSet::new(), 0);
    loop {
        let (mut keys, next) = link.scan(READS, "*", 1000, after.as_deref()).await.unwrap();
        while keys.remaining() > 0 {
            found.insert(keys.next_text().unwrap());
        }
        steps += 1;
        if steps == 1 {
            assert!(found.is_empty() && migration.move_key(key.as_bytes()).await.unwrap());
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, BTreeSet::from([key]));
    assert_eq!(steps, 6, "each of three nodes is visited twice");
}

/// Another cluster behind the name that the URL has: other nodes, other addresses, lower epochs.
#[tokio::test]
async fn a_cluster_that_was_created_again_is_followed() {
    let (old, new) = (Cluster::builder().replicas(0), Cluster::builder().replicas(0));
    let (old, new) = tokio::join!(old.start(), new.start());
    let (old, new) = (old.unwrap(), new.unwrap());
    for turn in 0..100 {
        old.nodes()[turn % 3].command(&["CLUSTER", "BUMPEPOCH"]).await.unwrap();
    }
    eventually("the old cluster has the higher epoch", async || {
        epoch(&old.nodes()[0]).await > epoch(&new.nodes()[0]).await
    })
    .await;
    let (port, leads_to) = address_of(&old.nodes()[0]).await;
    let url = format!("redis-cluster://127.0.0.1:{port}");
    let link = Link::connect(config(&url).with_command_timeout(Duration::from_secs(1))).await.unwrap();
    assert_eq!(count(&link, "counter").await.unwrap(), 1);
    for node in old.nodes() {
        node.kill().await;
    }
    *leads_to.lock().unwrap() = new.nodes()[0].address();
    for key in 0..30 {
        eventually("each slot is served", async || count(&link, &format!("{{{key}}}")).await.is_ok()).await;
    }
    let text = link.servers();
    assert!(new.nodes().iter().all(|node| text.contains(&node.port().to_string())), "{text}");
}

async fn epoch(node: &RedisServer) -> u64 {
    let info = node.command(&["CLUSTER", "INFO"]).await.unwrap();
    let epoch = info.as_str().unwrap().lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"));
    epoch.unwrap().trim().parse().unwrap()
}

async fn questions(node: &RedisServer) -> u64 {
    let stats = node.info("commandstats").await.unwrap();
    let calls = stats
        .get("cmdstat_cluster|slots")
        .and_then(|text| text.strip_prefix("calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

/// Calls fail all the time, and the answers are the same.
#[tokio::test]
async fn nodes_are_asked_less_often_while_their_answers_are_the_same() {
    let cluster = Cluster::builder().replicas(0).node_timeout(Duration::from_secs(60)).start().await.unwrap();
    let link = Link::connect(config(&url_of(&cluster.addresses())).with_max_retries(0)).await.unwrap();
    let dead = cluster.owner(cluster.slot("counter").await.unwrap()).await;
    let survivor = cluster.nodes().iter().find(|node| node.port() != dead.port()).unwrap();
    dead.kill().await;
    let failing = async {
        loop {
            assert!(count(&link, "counter").await.is_err());
            passed(Duration::from_millis(5)).await;
        }
    };
    let asked = async {
        // The pauses have grown to their bound.
        passed(Duration::from_secs(3)).await;
        let before = questions(survivor).await;
        passed(Duration::from_secs(4)).await;
        questions(survivor).await - before
    };
    let asked = tokio::select! {
        () = failing => unreachable!("calls fail for ever"),
        asked = asked => asked,
    };
    assert!((8..=18).contains(&asked), "{asked} questions in 4 s");
}

/// The target is not among the nodes that the others report.
#[tokio::test]
async fn connections_to_a_target_without_slots_are_kept() {
    let cluster = Cluster::builder().replicas(0).start().await.unwrap();
    let [first, _, empty] = cluster.nodes() else { unreachable!("three nodes") };
    let range = ["10922", "16383"];
    for node in [first, empty] {
        node.command(&["CLUSTER", "DELSLOTSRANGE", range[0], range[1]]).await.unwrap();
    }
    first.command(&["CLUSTER", "ADDSLOTSRANGE", range[0], range[1]]).await.unwrap();
    first.command(&["CLUSTER", "BUMPEPOCH"]).await.unwrap();
    eventually("all nodes agree", async || {
        for node in cluster.nodes() {
            let info = node.command(&["CLUSTER", "INFO"]).await.unwrap();
            let nodes = node.command(&["CLUSTER", "NODES"]).await.unwrap();
            let line = nodes
                .as_str()
                .unwrap()
                .lines()
                .find(|line| line.contains(&format!(":{}@", empty.port())))
                .unwrap()
                .to_owned();
            if !info.as_str().unwrap().contains("cluster_state:ok") || line.contains("-16383") {
                return false;
            }
        }
        true
    })
    .await;
    let link = link_to(&cluster, "").await;
    assert!(!link.servers().contains(&empty.port().to_string()), "{}", link.servers());
    let _migration = cluster.begin_migration(cluster.slot("counter").await.unwrap(), empty).await.unwrap();
    eventually("a call reaches the target", async || count(&link, "counter").await.is_ok()).await;
    // Three shared ones, and one for calls behind ASKING.
    eventually("all connections are open", async || connections(empty).await.len() == 4).await;
    let seen = connections(empty).await;
    // A call that loses its connection has the nodes asked.
    for turn in 0..30 {
        first.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
        eventually("calls reach the target again", async || count(&link, "counter").await.is_ok()).await;
        let now = connections(empty).await;
        assert!(now.is_superset(&seen), "{turn}: {seen:?} {now:?}");
    }
}
