//! The link to Kvrocks, which a proxy in front of Redis emulates.

use std::time::Duration;

use redis_link::{Channel, Event, Fact, Link, LinkConfig, Probe, Script, args};
use store_core::{Durability, Error, ErrorKind, Reached};
use testkit::{KvrocksProxy, RedisServer, RespConnection};

use crate::subscriptions::{hear, next};
use crate::{COUNTS, INCREMENT, READS, RECOGNISED, config, eventually, number, server};

/// A script of the kind that a full server runs: its first line has a flag.
static FREES: Script = Script::frees("test/frees", &["call('SET', KEYS[1], ARGV[2])\nreturn {'set'}"]);

const YES: Fact<bool> = Fact::Known(true);
const NO: Fact<bool> = Fact::Known(false);

async fn link_to(proxy: &KvrocksProxy) -> Link {
    Link::connect(config(&proxy.url())).await.unwrap()
}

#[tokio::test]
async fn scripts_are_loaded_without_flags_and_again_when_they_are_gone() {
    let server = server().await;
    let proxy = KvrocksProxy::start(&server).await.unwrap();
    let mut other = RespConnection::open(proxy.address()).await.unwrap();
    // also if the URL does not name Kvrocks
    for url in [proxy.url(), proxy.url().replace("kvrocks", "redis")] {
        let link = Link::connect(config(&url)).await.unwrap();
        for value in 1..4 {
            link.call(COUNTS, &FREES, &["set"], args![value]).await.unwrap();
            assert_eq!(number(&server, "set").await, value, "{url}");
            other.command(&["SCRIPT", "FLUSH"]).await.unwrap();
        }
    }
    let loaded = other.command(&["SCRIPT", "LOAD", FREES.source()]).await.unwrap_err();
    assert!(loaded.to_string().contains("allow-oom is not supported"), "{loaded}");
}

#[tokio::test]
async fn what_it_is_capable_of_is_found_by_asking() {
    let server = server().await;
    let proxy = KvrocksProxy::start(&server).await.unwrap();
    let link = link_to(&proxy).await;
    let found = link.capabilities();
    let yes = [&found.resp3, &found.scripts, &found.publish_in_scripts, &found.wait, &found.config];
    assert!(yes.iter().all(|fact| **fact == YES), "{found}");
    let no = [&found.script_flags, &found.sharded_publish, &found.waitaof, &found.synced_writes, &found.select];
    assert!(no.iter().all(|fact| **fact == NO), "{found}");
    assert_eq!(found.expire_conditions, NO, "{found}");
    assert!(found.to_string().contains("SELECT               no       the server has one database"), "{found}");
    assert!(format!("{link:?}").contains("capabilities"));

    let old = KvrocksProxy::start_without_wait(&server).await.unwrap();
    assert_eq!(link_to(&old).await.capabilities().wait, NO);
    let resp2 = KvrocksProxy::start_without_resp3(&server).await.unwrap();
    assert_eq!(link_to(&resp2).await.capabilities().resp3, NO);

    let probe = Probe::open(LinkConfig::new(crate::url(&proxy.url()), "tests:probe")).await.unwrap();
    assert_eq!(probe.capabilities(), &*found);
    assert_eq!(probe.can_select(3).await, NO, "it answers OK and does not switch");
}

#[tokio::test]
async fn messages_arrive_whatever_their_form() {
    let server = server().await;
    for proxy in
        [KvrocksProxy::start(&server).await.unwrap(), KvrocksProxy::start_without_resp3(&server).await.unwrap()]
    {
        let link = link_to(&proxy).await;
        let mut heard = hear(&link, Channel::plain("channel"));
        for expected in [Event::Subscribed, Event::Message("text".into()), Event::Message("message".into())] {
            assert_eq!(next(&mut heard).await, Some(expected.clone()));
            let message = if expected == Event::Subscribed { "text" } else { "message" };
            server.command(&["PUBLISH", "channel", message]).await.unwrap();
        }
        assert!(link.is_connected());
    }
}

#[tokio::test]
async fn a_password_is_sent_alone_and_users_are_refused_before_anything_is_sent() {
    let server = RedisServer::builder().password("right").start().await.unwrap();
    let proxy = KvrocksProxy::start(&server).await.unwrap();
    let url = |userinfo: &str| proxy.url().replace("://", &format!("://{userinfo}@"));
    for userinfo in [":right", "default:right"] {
        Link::connect(config(&url(userinfo))).await.unwrap().ping().await.unwrap();
    }
    for (userinfo, kind) in [(":wrong", ErrorKind::Unauthenticated), ("app:right", ErrorKind::InvalidArgument)] {
        let error = Link::connect(config(&url(userinfo))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{userinfo}: {error}");
    }
    let without = Link::connect(config(&proxy.url())).await.unwrap_err();
    assert_eq!(without.kind(), ErrorKind::Unauthenticated, "{without}");
}

#[tokio::test]
async fn a_write_is_on_disk_only_where_each_write_is_synced() {
    let server = RedisServer::builder().appendonly(true).config("appendfsync", "always").start().await.unwrap();
    let level = Durability::Fsynced { within: Duration::from_secs(5) };
    let proxies =
        [KvrocksProxy::start(&server).await.unwrap(), KvrocksProxy::start_with_synced_writes(&server).await.unwrap()];
    let (asynchronous, synced) = (link_to(&proxies[0]).await, link_to(&proxies[1]).await);
    let refused = asynchronous.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.to_string().contains("`rocksdb.write_options.sync yes`"), "{refused}");
    assert_eq!(number(&server, "c").await, 0);
    for count in 1..3 {
        let (_, reached) = synced.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await.unwrap();
        assert_eq!((reached, number(&server, "c").await), (Reached::new(0, true), count));
    }
}

#[tokio::test]
async fn replicas_are_not_waited_for_without_wait() {
    let server = server().await;
    let level = Durability::Replicated { replicas: 1, within: Duration::from_millis(20) };
    let proxies =
        [KvrocksProxy::start_without_wait(&server).await.unwrap(), KvrocksProxy::start(&server).await.unwrap()];
    let (old, new) = (link_to(&proxies[0]).await, link_to(&proxies[1]).await);
    let refused = old.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await.unwrap_err();
    assert_eq!((refused.kind(), number(&server, "c").await), (ErrorKind::Unsupported, 0), "{refused}");
    let unmet = new.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await;
    assert!(matches!(unmet, Err(Error::NotDurable { .. })), "{unmet:?}");
    assert_eq!(number(&server, "c").await, 1);
}

#[tokio::test]
async fn errors_are_recognised_behind_its_own_words() {
    static RAISED: Script = Script::new("test/raised", "#!lua\nerror({err = 'TWINVALID raised'})");
    static RETURNED: Script = Script::new("test/returned", "#!lua\nreturn redis.error_reply('TWLIMIT 250 full')");
    static UNKNOWN: Script = Script::new("test/unknown", "#!lua\nreturn redis.call('HEXPIRE', KEYS[1], 1)");
    let server = server().await;
    server.command(&["LPUSH", "list", "canary"]).await.unwrap();
    let proxy = KvrocksProxy::start(&server).await.unwrap();
    let link = link_to(&proxy).await;
    for (script, kind) in [
        (&INCREMENT, ErrorKind::Corrupt),
        (&RAISED, ErrorKind::InvalidArgument),
        (&RETURNED, ErrorKind::Limit),
        (&UNKNOWN, ErrorKind::Unsupported),
    ] {
        let error = link.call(COUNTS, script, &["list"], args![1]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}: {error}", script.name());
        assert!(!error.to_string().contains("canary"));
    }
    let plain = link.command(READS, "GET", args!["list"]).await.unwrap_err();
    assert_eq!(plain.kind(), ErrorKind::Corrupt, "{plain}");
}

/// Several hosts in one URL: the role that each reports decides.
#[tokio::test]
async fn the_one_of_several_hosts_that_is_the_primary_is_used_also_after_a_change() {
    let one = server().await;
    let two = RedisServer::builder().replica_of(&one).start().await.unwrap();
    let (first, second) = (KvrocksProxy::start(&one).await.unwrap(), KvrocksProxy::start(&two).await.unwrap());
    let link = Link::connect(config(&format!("kvrocks://{},{}", second.address(), first.address()))).await.unwrap();
    link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.unwrap();
    assert!(link.servers().contains(&format!("primary {} of the servers", first.address())), "{}", link.servers());
    eventually("the replica has the key", async || number(&two, "x").await == 1).await;

    let port = two.port().to_string();
    two.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    one.command(&["REPLICAOF", "127.0.0.1", &port]).await.unwrap();
    eventually("calls reach the new primary", async || link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.is_ok())
        .await;
    assert!(link.servers().contains(&format!("primary {} of the servers", second.address())), "{}", link.servers());
    assert!(number(&two, "x").await >= 2);
}

/// At `max-db-size` it refuses writes, also in the middle of a script, whose earlier writes are kept. It serves reads.
#[tokio::test]
async fn a_full_database_is_a_limit_and_may_interrupt_scripts() {
    let server = server().await;
    let proxy = KvrocksProxy::start(&server).await.unwrap();
    let link = link_to(&proxy).await;
    link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.unwrap();
    server.set_memory_limit(1).await.unwrap();
    let counted = link.call(COUNTS, &INCREMENT, &["x"], args![1]).await.unwrap_err();
    let repeated = link.call(RECOGNISED, &FREES, &["x"], args![1]).await.unwrap_err();
    let command = link.command(READS, "SET", args!["y", 1]).await.unwrap_err();
    assert!(matches!(&command, Error::Limit { retry_after: Some(_), .. }), "{command:?}");
    assert!(!counted.is_retryable() && repeated.is_retryable());
    for error in [counted, repeated] {
        assert!(matches!(&error, Error::Indeterminate { .. }), "{error:?}");
        assert!(error.detail().contains("max-db-size"), "{error}");
    }
    assert_eq!(link.command(READS, "GET", args!["x"]).await.unwrap().reply.as_int(), Some(1));
}
