use std::time::Duration;

use redis_link::{Link, LinkConfig, args};
use store_core::Error;
use testkit::{FaultProxy, RedisServer, mentions};

use crate::{
    COUNTS, INCREMENT, READS, RECOGNISED, config, eventually, is_indeterminate, is_unavailable, link_to, number, server,
};

async fn through_proxy(change: impl FnOnce(LinkConfig) -> LinkConfig) -> (RedisServer, FaultProxy, Link) {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let link = Link::connect(change(config(&server.url_through(&proxy, None)))).await.unwrap();
    link.call(COUNTS, &INCREMENT, &["warm"], args![1]).await.unwrap();
    (server, proxy, link)
}

#[tokio::test]
async fn a_lost_reply_of_a_counter_is_not_repeated() {
    let (server, proxy, link) = through_proxy(|config| config).await;
    proxy.cut_after_request(mentions("counter"));
    let result = link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await;
    assert!(is_indeterminate(&result), "{result:?}");
    assert_eq!((proxy.fired(), number(&server, "counter").await), (1, 1));
    proxy.cut_after_request(mentions("counter"));
    let result = link.command(COUNTS, "INCR", args!["counter"]).await;
    assert!(is_indeterminate(&result), "{result:?}");
    assert_eq!((proxy.fired(), number(&server, "counter").await), (2, 2));
}

#[tokio::test]
async fn a_request_that_the_store_recognises_is_sent_again_after_a_lost_reply() {
    let (server, proxy, link) = through_proxy(|config| config.with_max_retries(10)).await;
    proxy.cut_after_request(mentions("pushed"));
    let answer = link.call(RECOGNISED, &INCREMENT, &["pushed"], args![1]).await.unwrap();
    assert!(answer.attempts > 1, "{answer:?}");
    assert_eq!((proxy.fired(), number(&server, "pushed").await), (1, 2), "this script recognises no repetition");
}

#[tokio::test]
async fn a_request_that_never_arrived_is_indeterminate_too() {
    let (server, proxy, link) = through_proxy(|config| config).await;
    proxy.cut_before_request(mentions("counter"));
    let result = link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await;
    assert!(is_indeterminate(&result), "{result:?}");
    assert_eq!((proxy.fired(), number(&server, "counter").await), (1, 0));
}

#[tokio::test]
async fn a_call_without_any_connection_was_not_executed() {
    let (_server, proxy, link) = through_proxy(|config| config.with_max_retries(1)).await;
    proxy.reset().await;
    eventually("the link has noticed that the server is down", async || !link.is_connected()).await;
    let result = link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await;
    assert!(is_unavailable(&result), "{result:?}");
}

/// The last attempts find no connection, but the first may have been executed: the error must not deny it.
#[tokio::test]
async fn a_later_attempt_does_not_hide_that_an_earlier_one_is_indeterminate() {
    let (server, proxy, link) = through_proxy(|config| config.with_max_retries(5).with_pool_size(1)).await;
    proxy.cut_after_request(mentions("doubt"));
    let refused = async {
        proxy.wait_fired(1).await;
        proxy.reset().await;
    };
    let (result, ()) = tokio::join!(link.call(RECOGNISED, &INCREMENT, &["doubt"], args![1]), refused);
    match result {
        Err(error) => assert!(matches!(error, Error::Indeterminate { .. }), "{error:?}"),
        Ok(answer) => assert!(answer.attempts > 1, "{answer:?}"),
    }
    assert!(number(&server, "doubt").await >= 1);
}

/// A dropped call may be executed, but it must not stay in a buffer and run when the server comes back much later.
#[tokio::test]
async fn a_dropped_call_does_not_run_after_its_time_out() {
    let (server, proxy, link) = through_proxy(|config| {
        config.with_command_timeout(Duration::from_millis(200)).with_pool_size(1).with_max_retries(0)
    })
    .await;
    proxy.blackhole().await;
    for _ in 0..20 {
        let call = link.call(COUNTS, &INCREMENT, &["dropped"], args![1]);
        assert!(tokio::time::timeout(Duration::from_millis(5), call).await.is_err());
    }
    // Its bytes may still arrive; a connection that is silent for long is closed together with them.
    eventually("the silent connection is closed", async || !link.is_connected()).await;
    proxy.cut_connections().await;
    proxy.pass().await;
    eventually("the link is back", async || link.ping().await.is_ok()).await;
    assert_eq!(number(&server, "dropped").await, 0);
}

#[tokio::test]
async fn a_call_above_the_bound_is_refused_immediately() {
    let server = server().await;
    let link = Link::connect(config(&server.url(None)).with_max_waiting(2)).await.unwrap();
    server.pause().unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let link = link.clone();
        waiting.spawn(async move { link.command(READS, "GET", args!["x"]).await });
    }
    let first = waiting.join_next().await.unwrap().unwrap();
    assert!(is_unavailable(&first), "{first:?}");
    server.resume().unwrap();
    while let Some(result) = waiting.join_next().await {
        result.unwrap().unwrap();
    }
    link.ping().await.unwrap();
}

/// Health asks the server, not how busy this process is.
#[tokio::test]
async fn a_ping_is_sent_although_too_many_calls_wait() {
    let server = server().await;
    let link = Link::connect(config(&server.url(None)).with_max_waiting(1)).await.unwrap();
    server.pause().unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let link = link.clone();
        waiting.spawn(async move { link.command(READS, "GET", args!["x"]).await });
    }
    let refused = waiting.join_next().await.unwrap().unwrap();
    assert!(is_unavailable(&refused), "{refused:?}");
    let pings = async { tokio::join!(link.ping_within(Duration::from_secs(10)), link.ping()) };
    let (within, ping) = tokio::join!(pings, async { server.resume().unwrap() }).0;
    assert!(within.is_ok() && ping.is_ok(), "{within:?} {ping:?}");
}

#[tokio::test]
async fn a_closed_link_refuses_calls_and_leaves_no_connection() {
    let server = server().await;
    let link = link_to(&server).await;
    let clone = link.clone();
    link.blocking(READS, "BLPOP", args!["none", "0.001"], Duration::from_millis(1)).await.unwrap();
    link.close().await;
    assert!(is_unavailable(&clone.ping().await));
    assert!(!clone.is_connected());
    eventually("the connections are closed", async || {
        server.info("clients").await.unwrap()["connected_clients"] == "1"
    })
    .await;
    let dropped = link_to(&server).await;
    dropped.ping().await.unwrap();
    drop(dropped);
    eventually("the last clone closes them too", async || {
        server.info("clients").await.unwrap()["connected_clients"] == "1"
    })
    .await;
}
