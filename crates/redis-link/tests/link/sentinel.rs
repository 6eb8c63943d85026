//! The primary that sentinels report.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use redis_link::{Channel, Event, Link, LinkConfig, TlsFiles, args};
use store_core::{Durability, Error};
use testkit::{RedisServer, Sentinels};
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
    let new = sentinels.wait_for_failover(old).await;
    let (before, replaced) = (number(old, "counter").await, Instant::now());
    passed(Duration::from_secs(1)).await;
    let (last, on_new) = (number(old, "counter").await, number(new, "counter").await);
    println!("{} writes in {:?} after the sentinels agreed", last - before, replaced.elapsed());
    eventually("writes reach the new primary", async || number(new, "counter").await > on_new + 1000).await;
    let info = old.info("replication").await.unwrap();
    assert_eq!((info["role"].as_str(), number(old, "counter").await), ("master", last), "it answers, and nobody asks");
    load.abort_all();
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
        let name = "tests:link";
        eventually("the link watches the other sentinels", async || {
            let clients = sentinel.command(&["CLIENT", "LIST"]).await.unwrap();
            clients.as_str().unwrap().contains(&format!("name={name}"))
        })
        .await;
    }
    named.kill().await;
    let old = sentinels.primary().await;
    old.kill().await;
    let new = sentinels.wait_for_failover(old).await;
    eventually("calls reach the new primary", async || count(&link).await).await;
    assert_eq!(port(&link).await, Some(new.port()));
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
