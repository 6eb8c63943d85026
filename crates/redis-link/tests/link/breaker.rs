use std::time::{Duration, Instant};

use redis_link::{Link, args};
use store_core::Error;
use testkit::{DEADLINE, FaultProxy, RedisServer, wait_until};

use crate::{COUNTS, INCREMENT, READS, config, eventually, is_unavailable, server};

const PAUSE: Duration = Duration::from_millis(500);

async fn impatient_link(url: &str) -> Link {
    let settings = config(url).with_command_timeout(Duration::from_millis(100)).with_max_retries(3);
    Link::connect(settings.with_breaker(5, PAUSE)).await.unwrap()
}

/// The median time of calls that all fail.
async fn median_of_failures(link: &Link) -> Duration {
    let mut times = Vec::new();
    for _ in 0..100 {
        let started = Instant::now();
        link.command(READS, "GET", args!["x"]).await.unwrap_err();
        times.push(started.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

async fn is_open(link: &Link) -> bool {
    let result = link.command(READS, "GET", args!["x"]).await;
    matches!(result, Err(Error::Unavailable { detail, .. }) if detail.contains("sent again after a pause"))
}

#[tokio::test]
async fn a_link_with_a_breaker_does_not_wait_for_a_connection() {
    let server = server().await;
    let link = impatient_link(&server.url(None)).await;
    server.kill().await;
    eventually("the link is down", async || !link.is_connected()).await;
    let median = median_of_failures(&link).await;
    assert!(median < Duration::from_millis(5), "{median:?}");
    assert!(is_unavailable(&link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await));
    server.start_again().await.unwrap();
    eventually("a connection is up", async || link.is_connected()).await;
    link.command(READS, "GET", args!["x"]).await.expect("the call is sent as soon as a connection is up");
}

#[tokio::test]
async fn the_breaker_opens_for_a_silent_server_and_closes_when_it_answers() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    for through_proxy in [false, true] {
        let url = if through_proxy { server.url_through(&proxy, None) } else { server.url(None) };
        let link = impatient_link(&url).await;
        if through_proxy {
            proxy.blackhole().await
        } else {
            server.pause().unwrap()
        }
        eventually("the breaker is open", async || is_open(&link).await).await;
        let median = median_of_failures(&link).await;
        assert!(median < Duration::from_millis(5), "{median:?}");
        if through_proxy {
            proxy.pass().await
        } else {
            server.resume().unwrap()
        }
        // A connection that was closed meanwhile is reopened within a second.
        let started = Instant::now();
        wait_until("calls are answered", DEADLINE, async || link.command(READS, "GET", args!["x"]).await.is_ok()).await;
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        for _ in 0..10 {
            link.command(READS, "GET", args!["x"]).await.unwrap();
        }
    }
}

/// An error is an answer; a ping is always sent.
#[tokio::test]
async fn errors_open_no_breaker_and_a_ping_is_always_sent() {
    let server = RedisServer::builder().start().await.unwrap();
    let link = impatient_link(&server.url(None)).await;
    server.command(&["SET", "text", "x"]).await.unwrap();
    for _ in 0..20 {
        link.command(COUNTS, "INCR", args!["text"]).await.unwrap_err();
    }
    link.command(READS, "GET", args!["text"]).await.unwrap();
    server.pause().unwrap();
    eventually("the breaker is open", async || is_open(&link).await).await;
    server.resume().unwrap();
    eventually("the server answers", async || link.ping().await.is_ok()).await;
}
