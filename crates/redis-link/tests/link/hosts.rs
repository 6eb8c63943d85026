//! Several hosts in one URL: a primary and its replicas, and a failover among them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use redis_link::{Channel, Event, Link, args};
use store_core::Error;
use testkit::RedisServer;
use tokio::net::{TcpListener, TcpStream};

use crate::subscriptions::{hear, next};
use crate::{COUNTS, INCREMENT, config, eventually};

async fn primary_and_replica() -> (RedisServer, RedisServer) {
    let one = RedisServer::builder().start().await.unwrap();
    let two = RedisServer::builder().replica_of(&one).start().await.unwrap();
    eventually("the replica is in sync", async || two.info("replication").await.unwrap()["master_link_status"] == "up")
        .await;
    (one, two)
}

/// Promotes `two`, and demotes `one`, which keeps its clients.
async fn swap(one: &RedisServer, two: &RedisServer) {
    two.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    one.command(&["REPLICAOF", "127.0.0.1", &two.port().to_string()]).await.unwrap();
}

/// An address that leads to the server that is set when a connection is opened. Connections that exist stay.
pub(crate) async fn address_of(server: &RedisServer) -> (u16, Arc<Mutex<SocketAddr>>) {
    let target = Arc::new(Mutex::new(server.address()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, leads_to) = (listener.local_addr().unwrap().port(), Arc::clone(&target));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let to = *leads_to.lock().unwrap();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, target)
}

async fn receivers(server: &RedisServer) -> i64 {
    server.command(&["PUBLISH", "news", "hello"]).await.unwrap().as_integer().unwrap()
}

/// Only the servers themselves report the change.
#[tokio::test]
async fn the_server_that_is_the_primary_is_found_again_after_a_change() {
    let (one, two) = primary_and_replica().await;
    let link = Link::connect(config(&format!("redis://{},{}", two.address(), one.address()))).await.unwrap();
    link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.unwrap();
    assert!(link.servers().contains(&format!("primary {} of", one.address())), "{}", link.servers());
    eventually("the replica has the key", async || two.command(&["GET", "x"]).await.unwrap().as_str() == Some("1"))
        .await;

    swap(&one, &two).await;
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
    let detail = error.detail();
    assert!(matches!(&error, Error::Unavailable { .. }) && detail.contains("two of the servers"), "{error:?}");
    assert!([&one, &two].iter().all(|server| detail.contains(&server.address().to_string())), "{error:?}");
}

/// A server keeps its subscribers when it becomes a replica.
#[tokio::test]
async fn subscriptions_leave_a_server_that_has_become_a_replica() {
    let (one, two) = primary_and_replica().await;
    let (port, leads_to) = address_of(&one).await;
    let urls = [format!("redis://{},{}", two.address(), one.address()), format!("redis://127.0.0.1:{port}")];
    let [of_two_hosts, of_one_name] = urls.map(|url| async move {
        let link = Link::connect(config(&url)).await.unwrap();
        let mut heard = hear(&link, Channel::plain("news"));
        assert_eq!(next(&mut heard).await, Some(Event::Subscribed));
        (link, heard)
    });
    let mut links = [of_two_hosts.await, of_one_name.await];
    swap(&one, &two).await;
    *leads_to.lock().unwrap() = two.address();
    for (link, heard) in &mut links {
        let call = async || link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.is_ok();
        eventually("calls reach the new primary", call).await;
        assert_eq!(next(heard).await, Some(Event::Subscribed));
    }
    assert_eq!(receivers(&two).await, 2);
    for (_, heard) in &mut links {
        assert_eq!(next(heard).await, Some(Event::Message("hello".into())));
    }
}

/// No call shows it.
#[tokio::test]
async fn an_idle_subscription_leaves_a_server_that_has_become_a_replica() {
    let (one, two) = primary_and_replica().await;
    let (port, leads_to) = address_of(&one).await;
    let link = Link::connect(config(&format!("redis://127.0.0.1:{port}"))).await.unwrap();
    let mut heard = hear(&link, Channel::plain("news"));
    assert_eq!(next(&mut heard).await, Some(Event::Subscribed));
    swap(&one, &two).await;
    *leads_to.lock().unwrap() = two.address();
    assert_eq!(next(&mut heard).await, Some(Event::Subscribed));
    assert_eq!(receivers(&two).await, 1);
}

/// The old primary was not demoted, for example because it could not be reached.
#[tokio::test]
async fn a_primary_that_was_replaced_is_left_although_it_answers() {
    let (one, two) = primary_and_replica().await;
    let link = Link::connect(config(&format!("redis://{},{}", two.address(), one.address()))).await.unwrap();
    let mut heard = hear(&link, Channel::plain("news"));
    assert_eq!(next(&mut heard).await, Some(Event::Subscribed));
    two.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    assert_eq!(next(&mut heard).await, Some(Event::Subscribed));
    assert_eq!((receivers(&one).await, receivers(&two).await), (0, 1));
    eventually("calls reach the new primary", async || link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.is_ok())
        .await;
    assert_eq!(two.command(&["GET", "x"]).await.unwrap().as_str(), Some("1"));
}
