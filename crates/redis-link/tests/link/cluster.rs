//! Clusters: calls reach the node that has the slot of their keys.

use std::net::SocketAddr;
use std::time::Instant;

use redis_link::{Link, args};
use std::time::Duration;
use store_core::{Durability, Error};
use testkit::{Cluster, RedisServer};

use crate::{COUNTS, INCREMENT, READS, RECOGNISED, config, eventually, number};

pub(crate) fn url_of(addresses: &[SocketAddr]) -> String {
    let hosts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("redis-cluster://{}", hosts.join(","))
}

/// `login`: nothing, or user and password.
pub(crate) async fn link_to(cluster: &Cluster, login: &str) -> Link {
    let url = url_of(&cluster.addresses()).replace("://", &format!("://{login}"));
    Link::connect(config(&url).with_command_timeout(Duration::from_secs(1))).await.unwrap()
}

pub(crate) async fn started() -> (Cluster, Link) {
    let cluster = Cluster::builder().start().await.unwrap();
    let link = link_to(&cluster, "").await;
    (cluster, link)
}

pub(crate) async fn count(link: &Link, key: &str) -> Result<i64, Error> {
    let answer = link.call(COUNTS, &INCREMENT, &[key], args![1]).await?;
    let mut reply = answer.reader(COUNTS);
    reply.next_word()?;
    reply.next_int()
}

/// The value of the key at the node that has its slot.
async fn stored(cluster: &Cluster, key: &str) -> i64 {
    number(cluster.owner(cluster.slot(key).await.unwrap()).await, key).await
}

#[tokio::test]
async fn calls_reach_the_nodes_of_their_keys() {
    let (cluster, link) = started().await;
    let mut owners = std::collections::BTreeSet::new();
    for name in 0..60 {
        let key = format!("{{{name}}}:counter");
        assert_eq!(count(&link, &key).await.unwrap(), 1);
        link.command(READS, "SET", args![format!("plain:{name}"), name]).await.unwrap();
        assert_eq!(stored(&cluster, &key).await, 1);
        assert_eq!(stored(&cluster, &format!("plain:{name}")).await, name);
        owners.insert(cluster.owner(cluster.slot(&key).await.unwrap()).await.port());
    }
    assert_eq!(owners.len(), 3);
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_secs(10) };
    let written = link.call_durable(COUNTS, &INCREMENT, &["durable"], args![1], durability).await.unwrap();
    assert_eq!(written.1.replicas, 1);
}

#[tokio::test]
async fn keys_of_two_slots_are_refused_before_anything_is_sent() {
    let (cluster, link) = started().await;
    let result = link.call(RECOGNISED, &INCREMENT, &["a", "b"], args![1]).await;
    // Not the text of the keys, which may be data.
    let names_both = |error: &Error| error.to_string().ends_with(": key 1 has slot 15495, and key 2 slot 3300");
    assert!(matches!(&result, Err(error @ Error::InvalidArgument { .. }) if names_both(error)), "{result:?}");
    let result = link.command(READS, "DEL", args!["{a}1", "a", "b"]).await;
    assert!(matches!(&result, Err(Error::InvalidArgument { .. })), "{result:?}");
    assert_eq!((stored(&cluster, "a").await, stored(&cluster, "b").await), (0, 0));
}

/// The link learns of a node that has left its slots from the first call that another node answers.
#[tokio::test]
async fn a_moved_slot_is_followed() {
    let (cluster, link) = started().await;
    let slot = cluster.slot("counter").await.unwrap();
    assert_eq!(count(&link, "counter").await.unwrap(), 1);
    let (source, nodes) = (cluster.owner(slot).await, &cluster.nodes()[..3]);
    let target = nodes.iter().find(|node| node.port() != source.port()).unwrap();
    let migration = cluster.begin_migration(slot, target).await.unwrap();
    // Keys that have not moved are served by the source, those that have by the target.
    assert_eq!(count(&link, "counter").await.unwrap(), 2);
    assert!(migration.move_key(b"counter").await.unwrap());
    for expected in 3..6 {
        assert_eq!(count(&link, "counter").await.unwrap(), expected);
    }
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_secs(10) };
    link.call_durable(COUNTS, &INCREMENT, &["counter"], args![1], durability).await.unwrap();
    let absent = link.command(READS, "INCR", args!["counter"]).await.unwrap();
    assert_eq!(absent.reply.as_int(), Some(7));
    migration.finish().await.unwrap();
    assert_eq!(count(&link, "counter").await.unwrap(), 8);
    assert_eq!((cluster.owner(slot).await.port(), number(target, "counter").await), (target.port(), 8));
}

/// Another client's calls are matched to their replies while a slot moves to and fro.
#[tokio::test]
async fn no_reply_reaches_another_caller_while_slots_move() {
    let (cluster, link) = started().await;
    let slot = cluster.slot("{moving}").await.unwrap();
    let names: Vec<_> = (0..50).map(|name| format!("{{moving}}{name}")).collect();
    for (value, name) in names.iter().enumerate() {
        link.command(READS, "SET", args![name, value]).await.unwrap();
    }
    let moved = async {
        for _ in 0..6 {
            let source = cluster.owner(slot).await;
            let target = cluster.nodes()[..3].iter().find(|node| node.port() != source.port()).unwrap();
            let migration = cluster.begin_migration(slot, target).await.unwrap();
            while migration.move_keys(10).await.unwrap() > 0 {}
            migration.finish().await.unwrap();
        }
    };
    let read = async |offset: usize| {
        let mut read = 0;
        loop {
            for (value, name) in names.iter().enumerate().cycle().skip(offset).take(50) {
                let answer = link.command(READS, "GET", args![name]).await.unwrap();
                assert_eq!(answer.reply.as_int(), Some(value as i64), "{name}");
                read += 1;
            }
            if read >= 2_000 {
                return;
            }
        }
    };
    tokio::join!(moved, read(0), read(10), read(20), read(30));
}

#[tokio::test]
async fn a_failover_by_command_is_followed() {
    let (cluster, link) = started().await;
    let slot = cluster.slot("counter").await.unwrap();
    assert_eq!(count(&link, "counter").await.unwrap(), 1);
    let old = cluster.owner(slot).await;
    let replica = cluster.replicas_of(old).await[0];
    cluster.failover(replica).await;
    eventually("the call reaches the new primary", async || count(&link, "counter").await.is_ok()).await;
    assert_eq!(number(replica, "counter").await, 2);
}

#[tokio::test]
async fn the_death_of_a_primary_is_followed_and_the_others_serve_meanwhile() {
    let (cluster, link) = started().await;
    let slot = cluster.slot("counter").await.unwrap();
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_secs(10) };
    link.call_durable(COUNTS, &INCREMENT, &["counter"], args![1], durability).await.unwrap();
    let old = cluster.owner(slot).await;
    old.kill().await;
    let new = cluster.wait_for_failover(slot, old).await;
    let replaced = Instant::now();
    eventually("the call reaches the new primary", async || count(&link, "counter").await.is_ok()).await;
    println!("reached {:?} after the failover", replaced.elapsed());
    assert!(number(new, "counter").await >= 2);
    old.start_again().await.unwrap();
    cluster.wait_settled().await;
    for name in 0..30 {
        let key = format!("after:{name}");
        assert_eq!(count(&link, &key).await.unwrap(), 1);
        assert_eq!(stored(&cluster, &key).await, 1);
    }
}

/// A primary that stands still answers nothing and closes nothing.
#[tokio::test]
async fn a_primary_that_stands_still_is_left() {
    let (cluster, link) = started().await;
    let slot = cluster.slot("counter").await.unwrap();
    assert_eq!(count(&link, "counter").await.unwrap(), 1);
    let old = cluster.owner(slot).await;
    old.pause().unwrap();
    let new = cluster.wait_for_failover(slot, old).await;
    eventually("the call reaches the new primary", async || count(&link, "counter").await.is_ok()).await;
    old.resume().unwrap();
    let before = number(new, "counter").await;
    for more in 1..=20 {
        assert_eq!(count(&link, "counter").await.unwrap(), before + more);
    }
}

/// The URL names one node; all others are learned from it.
#[tokio::test]
async fn one_named_node_suffices_and_may_die() {
    let cluster = Cluster::builder().start().await.unwrap();
    let named = &cluster.nodes()[0];
    let link = Link::connect(config(&url_of(&[named.address()]))).await.unwrap();
    named.kill().await;
    let slots: Vec<_> = (0..30).map(|name| format!("{{{name}}}")).collect();
    for key in &slots {
        eventually("each slot is served", async || count(&link, key).await.is_ok()).await;
    }
}

#[tokio::test]
async fn a_server_without_slots_is_refused_as_a_cluster() {
    let server = RedisServer::builder().start().await.unwrap();
    let error = Link::connect(config(&url_of(&[server.address()]))).await.unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }) && error.to_string().contains("no node"), "{error}");
    server.kill().await;
    let error = Link::connect(config(&url_of(&[server.address()]))).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}

/// The nodes report either no host or `?`, because they announce no name.
#[tokio::test]
async fn nodes_without_a_name_are_found() {
    for (preferred, host) in [("unknown-endpoint", "localhost"), ("hostname", "127.0.0.1")] {
        let node = RedisServer::builder().config("cluster-preferred-endpoint-type", preferred);
        let cluster = Cluster::builder().node(node).replicas(0).start().await.unwrap();
        let url = format!("redis-cluster://localhost:{}", cluster.nodes()[0].port());
        let link = Link::connect(config(&url).with_command_timeout(Duration::from_secs(1))).await.unwrap();
        for node in cluster.nodes() {
            assert!(link.servers().contains(&format!("{host}:{}", node.port())), "{}", link.servers());
        }
        let slot = cluster.slot("counter").await.unwrap();
        let source = cluster.owner(slot).await;
        assert_eq!(count(&link, "counter").await.unwrap(), 1);
        let target = cluster.nodes().iter().find(|node| node.port() != source.port()).unwrap();
        let migration = cluster.begin_migration(slot, target).await.unwrap();
        assert!(migration.move_key(b"counter").await.unwrap());
        let redirected = count(&link, "counter").await;
        match preferred {
            "unknown-endpoint" => assert_eq!(redirected.unwrap(), 2),
            // The node reports only a port.
            _ => assert!(matches!(redirected, Err(Error::Unavailable { .. })), "{redirected:?}"),
        }
        migration.finish().await.unwrap();
        eventually("the call reaches the new node", async || count(&link, "counter").await.is_ok()).await;
    }
}

/// Without the refusal, calls would go to the cluster with the higher epoch.
#[tokio::test]
async fn a_url_that_names_nodes_of_two_clusters_is_refused() {
    let (one, two) = (RedisServer::builder().cluster().start(), RedisServer::builder().cluster().start());
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    let error = Link::connect(config(&url_of(&[one.address(), two.address()]))).await.unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }) && error.detail().contains("two clusters"), "{error}");
    assert!([&one, &two].iter().all(|node| error.detail().contains(&node.address().to_string())), "{error}");
}
