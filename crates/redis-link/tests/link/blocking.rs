use std::time::Duration;

use redis_link::{Arg, Link, Reply, args};
use store_core::Op;
use testkit::{FaultProxy, RedisServer};

use crate::{config, eventually, is_indeterminate, link_to, server};

const WAIT: Op = Op::QueueWait;

async fn pop(link: &Link, key: &str, block: Duration) -> store_core::Result<Option<Reply>> {
    link.blocking(WAIT, "BLPOP", args![key, Arg::seconds(block)], block).await
}

async fn blocked(server: &RedisServer) -> usize {
    server.info("clients").await.unwrap()["blocked_clients"].parse().unwrap()
}

#[tokio::test]
async fn a_wait_without_a_result_returns_none() {
    let server = server().await;
    let link = link_to(&server).await;
    assert_eq!(pop(&link, "list", Duration::from_millis(50)).await.unwrap(), None);
    let moved = args!["list", "other", "LEFT", "RIGHT", Arg::seconds(Duration::from_millis(50))];
    assert_eq!(link.blocking(WAIT, "BLMOVE", moved, Duration::from_millis(50)).await.unwrap(), None);
}

#[tokio::test]
async fn a_present_or_a_later_value_is_returned() {
    let server = server().await;
    let link = link_to(&server).await;
    server.command(&["RPUSH", "list", "message"]).await.unwrap();
    let mut reader = pop(&link, "list", Duration::from_secs(20)).await.unwrap().unwrap().reader(WAIT);
    assert_eq!((reader.next_text().unwrap(), reader.next_text().unwrap()), ("list".into(), "message".into()));
    let waiting = tokio::spawn({
        let link = link.clone();
        async move { pop(&link, "list", Duration::from_secs(20)).await }
    });
    eventually("the call blocks", async || blocked(&server).await == 1).await;
    server.command(&["RPUSH", "list", "later"]).await.unwrap();
    assert!(waiting.await.unwrap().unwrap().is_some());
}

/// The block may be longer than the command time-out and than the silence after which a connection is closed.
#[tokio::test]
async fn a_long_block_does_not_time_out() {
    let server = server().await;
    let settings = config(&server.url(None)).with_command_timeout(Duration::from_millis(400));
    let link = Link::connect(settings).await.unwrap();
    assert_eq!(pop(&link, "list", Duration::from_millis(2500)).await.unwrap(), None);
}

#[tokio::test]
async fn concurrent_blocks_do_not_queue_behind_each_other_and_reuse_connections() {
    let server = server().await;
    let link = link_to(&server).await;
    for _ in 0..2 {
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..8 {
            let link = link.clone();
            calls.spawn(async move { pop(&link, &format!("list:{number}"), Duration::from_secs(20)).await });
        }
        eventually("all of them block", async || blocked(&server).await == 8).await;
        link.ping().await.unwrap();
        for number in (0..8).rev() {
            server.command(&["RPUSH", &format!("list:{number}"), "x"]).await.unwrap();
        }
        assert!(calls.join_all().await.into_iter().all(|reply| reply.unwrap().is_some()));
        assert_eq!(server.info("clients").await.unwrap()["connected_clients"], "12", "3 shared, 8 that block, the kit");
    }
}

#[tokio::test]
async fn a_dropped_call_stops_waiting_on_the_server() {
    let server = server().await;
    let link = link_to(&server).await;
    let waiting = tokio::spawn({
        let link = link.clone();
        async move { pop(&link, "list", Duration::from_secs(25)).await }
    });
    eventually("the call blocks", async || blocked(&server).await == 1).await;
    waiting.abort();
    eventually("the server has noticed", async || blocked(&server).await == 0).await;
    server.command(&["RPUSH", "list", "kept"]).await.unwrap();
    assert_eq!(server.command(&["LLEN", "list"]).await.unwrap().as_integer(), Some(1));
    assert!(pop(&link, "list", Duration::from_secs(20)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_connection_that_is_lost_while_it_blocks_is_indeterminate() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let link = Link::connect(config(&server.url_through(&proxy, None))).await.unwrap();
    let waiting = tokio::spawn({
        let link = link.clone();
        async move { pop(&link, "list", Duration::from_secs(25)).await }
    });
    eventually("the call blocks", async || blocked(&server).await == 1).await;
    proxy.cut_connections().await;
    assert!(is_indeterminate(&waiting.await.unwrap()));
    eventually("the next one works", async || pop(&link, "list", Duration::from_millis(5)).await.is_ok()).await;
}

#[tokio::test]
async fn closing_the_link_ends_blocking_calls() {
    let server = server().await;
    let link = link_to(&server).await;
    let waiting = tokio::spawn({
        let link = link.clone();
        async move { pop(&link, "list", Duration::from_secs(25)).await }
    });
    eventually("the call blocks", async || blocked(&server).await == 1).await;
    link.close().await;
    assert!(waiting.await.unwrap().is_err());
    eventually("the server has noticed", async || blocked(&server).await == 0).await;
}
