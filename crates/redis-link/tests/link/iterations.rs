//! Iterations over all keys of one server.

use std::collections::BTreeSet;

use redis_link::Link;
use testkit::RedisServer;

use crate::{READS, config, eventually, link_to};

const KEYS: usize = 5000;

async fn filled(server: &RedisServer) -> BTreeSet<String> {
    let keys: BTreeSet<_> = (0..KEYS).map(|number| format!("key:{number}")).collect();
    let pairs = keys.iter().flat_map(|key| [key.as_str(), "value"]);
    server.command(&std::iter::once("MSET").chain(pairs).collect::<Vec<_>>()).await.unwrap();
    keys
}

/// Adds the keys of one step to `found`. Returns the next cursor.
async fn step(link: &Link, after: Option<String>, found: &mut BTreeSet<String>) -> Option<String> {
    let (mut keys, next) = link.scan(READS, "*", 100, after.as_deref()).await.unwrap();
    while keys.remaining() > 0 {
        found.insert(keys.next_text().unwrap());
    }
    next
}

/// Each process of a server gives the keys another order, and a cursor is a position in it.
#[tokio::test]
async fn an_iteration_returns_every_key_although_the_server_is_restarted_meanwhile() {
    let server = RedisServer::builder().appendonly(true).config("appendfsync", "always").start().await.unwrap();
    let (link, expected) = (link_to(&server).await, filled(&server).await);
    let (mut after, mut found) = (None, BTreeSet::new());
    while found.len() < KEYS / 2 {
        after = step(&link, after, &mut found).await;
        assert!(after.is_some(), "half of the keys are left");
    }
    server.kill().await;
    server.start_again().await.unwrap();
    eventually("the link is back", async || link.ping().await.is_ok()).await;
    while after.is_some() {
        after = step(&link, after, &mut found).await;
    }
    assert_eq!(expected.difference(&found).count(), 0);
}

/// Such a user does not learn which process answers, but its address.
#[tokio::test]
async fn a_user_without_info_iterates_over_all_keys_once() {
    let server = RedisServer::builder().acl_user("app", "secret", "~* &* +@all -info").start().await.unwrap();
    let link = Link::connect(config(&server.user_url("app", "secret"))).await.unwrap();
    let (expected, mut found, mut steps) = (filled(&server).await, BTreeSet::new(), 1);
    let mut after = step(&link, None, &mut found).await;
    while after.is_some() {
        after = step(&link, after, &mut found).await;
        steps += 1;
        assert!(steps <= KEYS / 50, "it does not begin again");
    }
    assert_eq!(found, expected);
}
