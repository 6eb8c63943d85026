use std::time::{Duration, Instant};

use redis_link::{Link, args};
use testkit::{DEADLINE, FaultProxy, RedisServer, wait_until};

use crate::{COUNTS, INCREMENT, READS, config, eventually, is_indeterminate, link_to, number, passed, server};

#[tokio::test]
async fn a_call_to_a_silent_server_ends_with_the_command_time_out() {
    let server = server().await;
    let settings = config(&server.url(None)).with_command_timeout(Duration::from_millis(100)).with_max_retries(2);
    let link = Link::connect(settings).await.unwrap();
    server.pause().unwrap();
    let result = link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await;
    assert!(is_indeterminate(&result), "{result:?}");
    let result = link.command(READS, "GET", args!["counter"]).await;
    assert!(is_indeterminate(&result), "{result:?}");
    server.resume().unwrap();
    eventually("calls are answered again", async || link.ping().await.is_ok()).await;
    assert!(number(&server, "counter").await <= 1);
}

/// The calls of a connection share one timer. The connection counts as dead 1.75 time-outs after the first one.
#[tokio::test]
async fn each_call_of_a_silent_connection_ends_after_its_own_time_out() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let server = server().await;
    let settings = config(&server.url(None)).with_command_timeout(TIMEOUT);
    let link = Link::connect(settings.with_pool_size(1).with_max_retries(0)).await.unwrap();
    server.pause().unwrap();
    let call = async |after: Duration| {
        passed(after).await;
        let sent = Instant::now();
        let result = link.command(READS, "GET", args!["x"]).await;
        assert!(is_indeterminate(&result), "{result:?}");
        sent.elapsed()
    };
    let took: [Duration; 3] = tokio::join!(call(Duration::ZERO), call(TIMEOUT / 4), call(TIMEOUT / 2)).into();
    assert!(took.iter().all(|took| (TIMEOUT..TIMEOUT + TIMEOUT / 5).contains(took)), "{took:?}");
}

#[tokio::test]
async fn calls_are_answered_again_after_a_crash() {
    let server = RedisServer::builder().appendonly(true).config("appendfsync", "always").start().await.unwrap();
    let link = link_to(&server).await;
    for round in 1..=2 {
        link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await.unwrap();
        server.kill().await;
        assert!(link.ping().await.is_err());
        eventually("the link has noticed that the server is down", async || !link.is_connected()).await;
        let started = Instant::now();
        assert!(link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await.is_err());
        assert!(started.elapsed() < Duration::from_secs(9), "it fails without waiting for the command time-out");
        server.start_again().await.unwrap();
        eventually("the link is back", async || link.ping().await.is_ok()).await;
        assert_eq!(number(&server, "counter").await, round);
    }
}

#[tokio::test]
async fn closed_connections_are_reopened_one_by_one() {
    let server = server().await;
    let link = link_to(&server).await;
    for _ in 0..3 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
        eventually("the link is back", async || link.ping().await.is_ok()).await;
        eventually("all connections are up and named", async || named(&server).await == 3).await;
    }
}

/// Behind a network that drops everything, a connection never ends. Further writes to it must not count as a sign of
/// life.
#[tokio::test]
async fn a_dead_connection_is_closed_although_it_is_used() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let settings = config(&server.url_through(&proxy, None)).with_command_timeout(Duration::from_millis(100));
    let link = Link::connect(settings.with_pool_size(1).with_max_retries(0)).await.unwrap();
    proxy.blackhole().await;
    wait_until("the dead connection is closed", DEADLINE, async || {
        link.ping().await.unwrap_err();
        !link.is_connected()
    })
    .await;
    proxy.cut_connections().await;
    proxy.pass().await;
    eventually("the link is back", async || link.ping().await.is_ok()).await;
}

/// If a server does not read, the write itself waits, and nothing else happens on that connection.
#[tokio::test]
async fn a_connection_that_cannot_be_written_to_is_closed() {
    let server = server().await;
    let settings = config(&server.url(None)).with_command_timeout(Duration::from_millis(100));
    let link = Link::connect(settings.with_pool_size(1).with_max_retries(0)).await.unwrap();
    server.pause().unwrap();
    let value = vec![b'x'; 8 << 20];
    // After 1.75 times the command time-out the connection is given up.
    for _ in 0..2 {
        assert!(is_indeterminate(&link.command(READS, "SET", args!["large", value.clone()]).await));
    }
    wait_until("the connection is closed", DEADLINE, async || {
        link.ping().await.unwrap_err();
        !link.is_connected()
    })
    .await;
    server.resume().unwrap();
    eventually("the link is back", async || link.ping().await.is_ok()).await;
}

#[tokio::test]
async fn calls_are_spread_over_all_connections() {
    for pool_size in [1, 2, 3, 4] {
        let server = server().await;
        let link = Link::connect(config(&server.url(None)).with_pool_size(pool_size)).await.unwrap();
        eventually("all connections are named", async || named(&server).await == pool_size).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let link = link.clone();
            calls.spawn(async move { link.command(READS, "GET", args!["x"]).await.unwrap() });
        }
        calls.join_all().await;
        let clients = server.command(&["CLIENT", "LIST"]).await.unwrap();
        let clients = clients.as_str().unwrap();
        let used = clients.lines().filter(|line| line.contains("name=tests:link") && line.contains("cmd=get"));
        assert_eq!(used.count(), pool_size, "{clients}");
    }
}

async fn named(server: &RedisServer) -> usize {
    let clients = server.command(&["CLIENT", "LIST"]).await.unwrap();
    clients.as_str().unwrap().lines().filter(|line| line.contains("name=tests:link")).count()
}
