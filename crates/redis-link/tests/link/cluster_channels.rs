//! Subscriptions on a cluster: each channel is subscribed to at the node that has its slot.

use std::time::{Duration, Instant};

use redis_link::{Channel, Event, Link, args};
use testkit::{Cluster, RedisServer};

use crate::cluster::{link_to, started};
use crate::subscriptions::{Heard, hear, next};
use crate::{READS, eventually};

async fn subscribed(link: &Link, channel: Channel) -> Heard {
    let mut heard = hear(link, channel);
    assert_eq!(next(&mut heard).await, Some(Event::Subscribed));
    heard
}

/// How many subscribers of the node have received the message.
async fn spublish(node: &RedisServer, channel: &str, message: &str) -> i64 {
    node.command(&["SPUBLISH", channel, message]).await.unwrap().as_integer().unwrap()
}

fn message(text: &'static str) -> Option<Event> {
    Some(Event::Message(text.into()))
}

/// How many connections of this process receive messages of the node.
async fn connections(node: &RedisServer) -> usize {
    let list = node.command(&["CLIENT", "LIST", "TYPE", "PUBSUB"]).await.unwrap();
    list.as_str().unwrap().lines().filter(|line| !line.is_empty()).count()
}

async fn owner_of<'a>(cluster: &'a Cluster, channel: &str) -> &'a RedisServer {
    cluster.owner(cluster.slot(channel).await.unwrap()).await
}

/// A primary other than the owner.
fn other<'a>(cluster: &'a Cluster, owner: &RedisServer) -> &'a RedisServer {
    cluster.nodes()[..3].iter().find(|node| node.port() != owner.port()).unwrap()
}

#[tokio::test]
async fn sharded_channels_share_one_connection_for_each_node() {
    let (cluster, link) = started().await;
    let names: Vec<_> = (0..30).map(|tag| format!("tw:wake:a{{{tag}}}")).collect();
    let mut heard = Vec::new();
    for name in &names {
        heard.push(subscribed(&link, Channel::sharded(name.as_str())).await);
    }
    for (name, heard) in names.iter().zip(&mut heard) {
        assert_eq!(spublish(owner_of(&cluster, name).await, name, "only here").await, 1);
        assert_eq!(next(heard).await, message("only here"));
    }
    for node in &cluster.nodes()[..3] {
        assert_eq!(connections(node).await, 1);
    }
    drop(heard);
    for node in &cluster.nodes()[..3] {
        eventually("the connection is closed", async || connections(node).await == 0).await;
    }
}

/// Each node forwards its messages to all others.
#[tokio::test]
async fn a_plain_channel_reaches_the_link_from_each_node() {
    let (cluster, link) = started().await;
    let mut heard = subscribed(&link, Channel::plain("tw:wake:a")).await;
    for node in &cluster.nodes()[..3] {
        node.command(&["PUBLISH", "tw:wake:a", "from anywhere"]).await.unwrap();
        assert_eq!(next(&mut heard).await, message("from anywhere"));
    }
}

/// The server ends the subscription, and the client library drops the server's message. A call shows that the slot has moved.
#[tokio::test]
async fn the_subscription_of_a_moved_slot_is_begun_again_at_its_new_node() {
    let (cluster, link) = started().await;
    let mut heard = subscribed(&link, Channel::sharded("tw:wake:a{counter}")).await;
    let slot = cluster.slot("{counter}").await.unwrap();
    let source = cluster.owner(slot).await;
    let target = other(&cluster, source);
    cluster.begin_migration(slot, target).await.unwrap().finish().await.unwrap();
    let called = Instant::now();
    link.command(READS, "SET", args!["counter", 1]).await.unwrap();
    assert_eq!(next(&mut heard).await, Some(Event::Subscribed));
    assert!(called.elapsed() < Duration::from_secs(1), "{:?}", called.elapsed());
    assert_eq!(spublish(target, "tw:wake:a{counter}", "moved").await, 1);
    assert_eq!(next(&mut heard).await, message("moved"));
    eventually("no connection to the source is left", async || connections(source).await == 0).await;
}

/// The node has the slot again, but it has ended the subscription. The link checks that when it asks for the slots.
#[tokio::test]
async fn a_slot_that_comes_back_is_subscribed_again() {
    let (cluster, link) = started().await;
    let mut heard = subscribed(&link, Channel::sharded("tw:wake:a{counter}")).await;
    let slot = cluster.slot("{counter}").await.unwrap();
    let source = cluster.owner(slot).await;
    for target in [other(&cluster, source), source] {
        cluster.begin_migration(slot, target).await.unwrap().finish().await.unwrap();
    }
    // The channel has a subscriber again, which is another one.
    let mut stranger = source.connect().await.unwrap();
    stranger.command(&["SSUBSCRIBE", "tw:wake:a{counter}"]).await.unwrap();
    let another = cluster.slot("another").await.unwrap();
    let target = other(&cluster, cluster.owner(another).await);
    cluster.begin_migration(another, target).await.unwrap().finish().await.unwrap();
    link.command(READS, "SET", args!["another", 1]).await.unwrap();
    assert_eq!(next(&mut heard).await, Some(Event::Subscribed));
    assert_eq!(spublish(source, "tw:wake:a{counter}", "back").await, 2);
    assert_eq!(next(&mut heard).await, message("back"));
}

/// A call shows a manual failover; the lost connection shows the death of a primary.
#[tokio::test]
async fn subscriptions_follow_a_failover() {
    for dies in [false, true] {
        let (cluster, link) = started().await;
        let mut heard = [
            subscribed(&link, Channel::sharded("tw:wake:a{counter}")).await,
            subscribed(&link, Channel::plain("{counter}")).await,
        ];
        let slot = cluster.slot("{counter}").await.unwrap();
        let old = cluster.owner(slot).await;
        let new = match dies {
            true => {
                old.kill().await;
                cluster.wait_for_failover(slot, old).await
            }
            false => {
                let replica = cluster.replicas_of(old).await[0];
                cluster.failover(replica).await;
                replica
            }
        };
        let replaced = Instant::now();
        if !dies {
            link.command(READS, "SET", args!["counter", 1]).await.unwrap();
        }
        for heard in &mut heard {
            assert_eq!(next(heard).await, Some(Event::Subscribed));
        }
        println!("subscribed {:?} after the failover, dies: {dies}", replaced.elapsed());
        assert_eq!(spublish(new, "tw:wake:a{counter}", "new").await, 1);
        assert_eq!(next(&mut heard[0]).await, message("new"));
        new.command(&["PUBLISH", "{counter}", "plain"]).await.unwrap();
        assert_eq!(next(&mut heard[1]).await, message("plain"));
        if !dies {
            eventually("no connection to the old primary is left", async || connections(old).await == 0).await;
        }
    }
}

/// The other channels receive messages.
#[tokio::test]
async fn a_refused_sharded_channel_is_tried_again() {
    let node = RedisServer::builder().acl_user("app", "secret", "~* &tw:wake:* +@all");
    let cluster = Cluster::builder().node(node).start().await.unwrap();
    let link = link_to(&cluster, "app:secret@").await;
    let mut allowed = subscribed(&link, Channel::sharded("tw:wake:a{counter}")).await;
    let mut refused = hear(&link, Channel::sharded("other{counter}"));
    assert!(tokio::time::timeout(Duration::from_millis(300), refused.next()).await.is_err());
    let owner = owner_of(&cluster, "{counter}").await;
    spublish(owner, "tw:wake:a{counter}", "served").await;
    assert_eq!(next(&mut allowed).await, message("served"));
    owner.command(&["ACL", "SETUSER", "app", "&other*"]).await.unwrap();
    assert_eq!(next(&mut refused).await, Some(Event::Subscribed));
    spublish(owner, "other{counter}", "now").await;
    assert_eq!(next(&mut refused).await, message("now"));
}
