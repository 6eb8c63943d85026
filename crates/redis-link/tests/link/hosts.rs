//! Several hosts in one URL: a primary and its replicas, and a failover among them.

use redis_link::{Link, args};
use store_core::Error;
use testkit::RedisServer;

use crate::{COUNTS, INCREMENT, config, eventually};

/// Only the servers themselves report the change.
#[tokio::test]
async fn the_server_that_is_the_primary_is_found_again_after_a_change() {
    let one = RedisServer::builder().start().await.unwrap();
    let two = RedisServer::builder().replica_of(&one).start().await.unwrap();
    let link = Link::connect(config(&format!("redis://{},{}", two.address(), one.address()))).await.unwrap();
    link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.unwrap();
    assert!(link.servers().contains(&format!("primary {} of", one.address())), "{}", link.servers());
    eventually("the replica has the key", async || two.command(&["GET", "x"]).await.unwrap().as_str() == Some("1"))
        .await;

    let port = two.port().to_string();
    two.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    one.command(&["REPLICAOF", "127.0.0.1", &port]).await.unwrap();
    eventually("calls reach the new primary", async || link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.is_ok())
        .await;
    assert!(link.servers().contains(&format!("primary {} of", two.address())), "{}", link.servers());
    let value = two.command(&["GET", "x"]).await.unwrap().as_str().unwrap().parse::<u32>().unwrap();
    assert!(value >= 2, "{value}");
}

#[tokio::test]
async fn two_primaries_are_refused() {
    let one = RedisServer::builder().start().await.unwrap();
    let two = RedisServer::builder().start().await.unwrap();
    let error = Link::connect(config(&format!("redis://{},{}", two.address(), one.address()))).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { .. }) && error.detail().contains("two of the servers"), "{error:?}");
}
