//! The primary that sentinels report.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use redis_link::{Channel, Event, Link, LinkConfig, TlsFiles, args};
use store_core::{Durability, Error};
use testkit::{FaultProxy, RedisServer, Sentinels};
use tokio::task::JoinSet;

use crate::subscriptions::hear;
use crate::{COUNTS, INCREMENT, READS, config, eventually, number, passed};

pub(crate) fn url_of(addresses: &[SocketAddr], service: &str) -> String {
    let hosts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("redis-sentinel://{}/{service}", hosts.join(","))
}

fn settings(sentinels: &Sentinels) -> LinkConfig {
    config(&url_of(&sentinels.addresses(), sentinels.name())).with_command_timeout(Duration::from_secs(1))
}

async fn started() -> (Sentinels, Link) {
    let sentinels = Sentinels::builder().start().await.unwrap();
    let link = Link::connect(settings(&sentinels)).await.unwrap();
    (sentinels, link)
}

async fn count(link: &Link) -> bool {
    link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await.is_ok()
}

/// The port of the server to which a link sends its calls.
async fn port(link: &Link) -> Option<u16> {
    let answer = link.command(READS, "INFO", args!["server"]).await.ok()?;
    let text = answer.reply.as_str()?.to_owned();
    text.lines().find_map(|line| line.strip_prefix("tcp_port:"))?.trim().parse().ok()
}

/// Whether a link has a connection to the sentinel.
pub(crate) async fn is_watched(sentinel: &RedisServer) -> bool {
    sentinel.command(&["CLIENT", "LIST"]).await.unwrap().as_str().unwrap().contains("name=tests:link")
}

/// The ports of the primaries that sentinels report, without that of `old`.
async fn switched(sentinels: &Sentinels, old: &RedisServer) -> Vec<u16> {
    let mut ports = Vec::new();
    for sentinel in sentinels.sentinels() {
        let address = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinels.name()]).await.unwrap();
        ports.extend(address.as_strings().unwrap().pop().unwrap().parse::<u16>());
    }
    ports.retain(|port| *port != old.port());
    ports
}

#[tokio::test]
async fn calls_follow_a_failover_by_command() {
    let (sentinels, link) = started().await;
    let old = sentinels.primary().await;
    assert!(count(&link).await);
    assert_eq!(port(&link).await, Some(old.port()));
    let new = sentinels.failover().await;
    eventually("calls reach the new primary", async || count(&link).await).await;
    assert_eq!(port(&link).await, Some(new.port()));
    assert_eq!(number(new, "counter").await, 2);
}

#[tokio::test]
async fn calls_follow_the_death_of_the_primary() {
    let (sentinels, link) = started().await;
    let old = sentinels.primary().await;
    assert!(count(&link).await);
    old.kill().await;
    let new = sentinels.wait_for_failover(old).await;
    let replaced = Instant::now();
    eventually("calls reach the new primary", async || count(&link).await).await;
    println!("reached {:?} after the sentinels agreed", replaced.elapsed());
    assert_eq!(port(&link).await, Some(new.port()));
}

/// A primary that was suspended answers again, although it was replaced: the writes that it would acknowledge would be lost.
#[tokio::test]
async fn a_stale_primary_gets_no_calls() {
    let (sentinels, link) = started().await;
    let old = sentinels.primary().await;
    assert!(count(&link).await);
    old.pause().unwrap();
    let new = sentinels.wait_for_failover(old).await;
    let replaced = Instant::now();
    eventually("the link has left the old primary", async || port(&link).await == Some(new.port())).await;
    println!("left {:?} after the sentinels agreed", replaced.elapsed());
    assert!(replaced.elapsed() < Duration::from_secs(5));
    old.resume().unwrap();
    let before = number(old, "counter").await;
    for _ in 0..20 {
        assert!(count(&link).await);
    }
    assert_eq!(number(old, "counter").await, before);
    assert!(number(new, "counter").await >= 20);
}

/// The sentinels cannot demote the old primary, which answers as before: the writes that it acknowledges would be lost.
#[tokio::test]
async fn a_stale_primary_that_answers_is_left_within_a_second() {
    let (sentinels, link) = started().await;
    let old = sentinels.primary().await;
    for user in ["-slaveof", "-replicaof"] {
        old.command(&["ACL", "SETUSER", "default", user]).await.unwrap();
    }
    let mut load = JoinSet::new();
    for _ in 0..64 {
        let link = link.clone();
        load.spawn(async move {
            loop {
                count(&link).await;
            }
        });
    }
    eventually("the old primary is loaded", async || number(old, "counter").await > 1000).await;
    // Refused while no replica has reported its state recently enough.
    eventually("a sentinel begins the failover", async || {
        sentinels.sentinels()[0].command(&["SENTINEL", "FAILOVER", sentinels.name()]).await.is_ok()
    })
    .await;
    let mut ports = Vec::new();
    eventually("a quorum has switched", async || {
        ports = switched(&sentinels, old).await;
        ports.len() >= 2
    })
    .await;
    let (before, replaced) = (number(old, "counter").await, Instant::now());
    passed(Duration::from_secs(1)).await;
    let new = sentinels.data().iter().find(|server| server.port() == ports[0]).unwrap();
    let (last, on_new) = (number(old, "counter").await, number(new, "counter").await);
    println!("{} writes in {:?} after a quorum had switched", last - before, replaced.elapsed());
    eventually("writes reach the new primary", async || number(new, "counter").await > on_new + 1000).await;
    let info = old.info("replication").await.unwrap();
    assert_eq!((info["role"].as_str(), number(old, "counter").await), ("master", last), "it answers, and nobody asks");
    load.abort_all();
}

/// The sentinels report a server that has become a replica, and that would accept writes.
#[tokio::test]
async fn a_replica_that_sentinels_report_gets_no_calls() {
    let (sentinels, link) = started().await;
    let old = sentinels.primary().await;
    assert!(count(&link).await);
    // The sentinels cannot change anything.
    for server in sentinels.data() {
        server.command(&["ACL", "SETUSER", "default", "-slaveof"]).await.unwrap();
    }
    old.command(&["CONFIG", "SET", "replica-read-only", "no"]).await.unwrap();
    old.command(&["REPLICAOF", "127.0.0.1", "1"]).await.unwrap();
    old.disconnect_clients().await.unwrap();
    eventually("the connections have ended", async || !link.is_connected()).await;
    assert_eq!(switched(&sentinels, old).await, [0_u16; 0], "the sentinels report the replica");
    let before = number(old, "counter").await;
    for _ in 0..3 {
        let error = link.call(COUNTS, &INCREMENT, &["counter"], args![1]).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    }
    let error = Link::connect(settings(&sentinels)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.detail().contains("the server is no longer a primary"), "{error}");
    assert_eq!(number(old, "counter").await, before);
}

/// A write that waits for replicas of the old primary is not left waiting.
#[tokio::test]
async fn a_durable_write_to_a_replaced_primary_ends_with_the_failover() {
    let (sentinels, link) = started().await;
    let old = sentinels.primary().await;
    let durability = Durability::Replicated { replicas: 2, within: Duration::from_secs(20) };
    link.call_durable(COUNTS, &INCREMENT, &["counter"], args![1], durability).await.unwrap();
    old.pause().unwrap();
    let written = link.call_durable(COUNTS, &INCREMENT, &["counter"], args![1], durability);
    let (ended, ()) = tokio::join!(written, async {
        sentinels.wait_for_failover(old).await;
    });
    assert!(matches!(ended, Err(Error::Indeterminate { .. })), "{ended:?}");
    let durability = Durability::Replicated { replicas: 1, within: Duration::from_secs(20) };
    eventually("durable writes reach the new primary", async || {
        link.call_durable(COUNTS, &INCREMENT, &["counter"], args![1], durability).await.is_ok()
    })
    .await;
    old.resume().unwrap();
}

#[tokio::test]
async fn subscriptions_follow_a_failover() {
    let (sentinels, link) = started().await;
    let mut subscription = hear(&link, Channel::plain("news"));
    assert_eq!(subscription.next().await, Some(Event::Subscribed));
    let new = sentinels.failover().await;
    assert_eq!(subscription.next().await, Some(Event::Subscribed));
    new.command(&["PUBLISH", "news", "1"]).await.unwrap();
    assert_eq!(subscription.next().await, Some(Event::Message("1".into())));
}

/// The URL names one sentinel; the others are learned from it.
#[tokio::test]
async fn a_failover_is_followed_after_the_named_sentinel_is_gone() {
    let sentinels = Sentinels::builder().start().await.unwrap();
    let [named, rest @ ..] = sentinels.sentinels() else { unreachable!("three sentinels") };
    let link = Link::connect(config(&url_of(&[named.address()], sentinels.name()))).await.unwrap();
    for sentinel in rest {
        eventually("the link watches the other sentinels", async || is_watched(sentinel).await).await;
    }
    named.kill().await;
    let old = sentinels.primary().await;
    old.kill().await;
    let new = sentinels.wait_for_failover(old).await;
    eventually("calls reach the new primary", async || count(&link).await).await;
    assert_eq!(port(&link).await, Some(new.port()));
}

/// The sentinel has closed its side, and the network has lost the news.
#[tokio::test]
async fn a_half_open_connection_to_a_sentinel_is_noticed_and_replaced() {
    let sentinels = Sentinels::builder().start().await.unwrap();
    let sentinel = &sentinels.sentinels()[0];
    let proxy = FaultProxy::start(sentinel.address()).await.unwrap();
    let url = url_of(&[proxy.address()], sentinels.name());
    let _link = Link::connect(config(&url).with_command_timeout(Duration::from_secs(1))).await.unwrap();
    let is_watched = async || is_watched(sentinel).await;
    eventually("the link watches the sentinel", is_watched).await;
    let begun = Instant::now();
    proxy.half_open();
    eventually("the sentinel has lost the connection", async || !is_watched().await).await;
    eventually("the connection is replaced", is_watched).await;
    // 5 s and one command time-out; and 2 s for the new connection
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn calls_continue_while_no_sentinel_can_be_reached() {
    let (sentinels, link) = started().await;
    for sentinel in sentinels.sentinels() {
        sentinel.kill().await;
    }
    let primary = &sentinels.data()[0];
    primary.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await.unwrap();
    eventually("a lost connection is opened again", async || count(&link).await).await;
}

#[tokio::test]
async fn sentinels_have_credentials_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    std::fs::write(&right, "of-sentinels\n").unwrap();
    std::fs::write(&wrong, "of-data\n").unwrap();
    let data = RedisServer::builder().password("of-data");
    let sentinels = Sentinels::builder().data(data).sentinel_password("of-sentinels").start().await.unwrap();
    let settings = settings(&sentinels).with_password_file(&wrong);
    let link = Link::connect(settings.clone().with_sentinel_password_file(&right)).await.unwrap();
    assert!(count(&link).await);
    for refused in [settings.clone(), settings.with_sentinel_password_file(&wrong)] {
        let error = Link::connect(refused).await.unwrap_err();
        assert!(matches!(error, Error::Unauthenticated { .. }), "{error}");
        assert!(error.to_string().contains("sentinels"), "{error}");
    }
}

/// No sentinel accepts the old password, and all connections to the sentinels are lost.
#[tokio::test]
async fn a_rotated_password_of_sentinels_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "first").unwrap();
    let sentinels = Sentinels::builder().sentinel_password("first").start().await.unwrap();
    let link = Link::connect(settings(&sentinels).with_sentinel_password_file(&file)).await.unwrap();
    for sentinel in sentinels.sentinels() {
        sentinel.set_user_password("default", "second").await.unwrap();
        sentinel.command(&["SENTINEL", "CONFIG", "SET", "sentinel-pass", "second"]).await.unwrap();
    }
    std::fs::write(&file, "second").unwrap();
    for sentinel in sentinels.sentinels() {
        sentinel.disconnect_clients().await.unwrap();
    }
    let new = sentinels.failover().await;
    eventually("calls reach the new primary", async || port(&link).await == Some(new.port())).await;
    assert!(count(&link).await);
}

/// The sentinels require a certificate of the client, the data servers do not.
#[tokio::test]
async fn sentinels_get_a_certificate_of_their_own() {
    let data = RedisServer::builder().tls();
    let sentinels = Sentinels::builder().data(data).own_authority().start().await.unwrap();
    let sentinel = &sentinels.sentinels()[0];
    let url = url_of(&sentinels.addresses(), sentinels.name()).replace("redis-", "rediss-");
    let settings = config(&url).with_tls(TlsFiles::new().with_ca(sentinels.data()[0].ca_file()));
    let own = TlsFiles::new().with_ca(sentinel.ca_file());
    let refused = Link::connect(settings.clone().with_sentinel_tls(own.clone())).await;
    assert!(matches!(refused, Err(Error::Tls { .. })), "{refused:?}");
    let own = own.with_identity(sentinel.client_cert_file(), sentinel.client_key_file());
    let link = Link::connect(settings.with_sentinel_tls(own)).await.unwrap();
    assert!(count(&link).await);
}

#[tokio::test]
async fn a_wrong_name_or_a_wrong_server_is_told() {
    let sentinels = Sentinels::builder().start().await.unwrap();
    let data = sentinels.data()[0].address();
    let error = Link::connect(config(&url_of(&sentinels.addresses(), "nobody"))).await.unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }) && error.to_string().contains("monitor"), "{error}");
    let error = Link::connect(config(&url_of(&[data], sentinels.name()))).await.unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }) && error.to_string().contains("no sentinel"), "{error}");
    for sentinel in sentinels.sentinels() {
        sentinel.kill().await;
    }
    let error = Link::connect(settings(&sentinels)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}
