use std::time::Duration;

use redis_link::{Link, Script, args};
use store_core::{Durability, Error, Reached};
use testkit::{FaultProxy, RedisServer, mentions};

use crate::{COUNTS, INCREMENT, config, is_indeterminate, link_to, number, server};

fn replicated(replicas: u32, within: Duration) -> Durability {
    Durability::Replicated { replicas, within }
}

#[tokio::test]
async fn a_write_waits_for_its_replica() {
    let primary = server().await;
    let replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    let link = link_to(&primary).await;
    for count in 1..=20 {
        let level = replicated(1, Duration::from_secs(20));
        let (answer, reached) = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await.unwrap();
        assert_eq!((answer.attempts, reached), (1, Reached::new(1, false)));
        assert_eq!(number(&replica, "c").await, count, "acknowledged, so the replica has it");
    }
    let accepted = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], Durability::Accepted).await.unwrap();
    assert_eq!(accepted.1, Reached::default());
    let calls = primary.command_calls().await.unwrap();
    assert_eq!(calls["wait"], 21, "one more for the script that had to be loaded");
}

#[tokio::test]
async fn an_unmet_level_is_an_error_and_the_write_is_kept() {
    let server = server().await;
    let link = link_to(&server).await;
    let level = replicated(2, Duration::from_millis(20));
    let result = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await;
    let Err(Error::NotDurable { wanted, reached, .. }) = result else { panic!("{result:?}") };
    assert_eq!((wanted, reached), (level, Reached::new(0, false)));
    assert_eq!(number(&server, "c").await, 1);
    let nothing = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], replicated(0, Duration::ZERO)).await;
    assert!(matches!(nothing, Err(Error::InvalidArgument { .. })), "{nothing:?}");
    assert_eq!(number(&server, "c").await, 1);
}

/// A wait on another connection, or at another server, would count replicas for a write that it has never seen.
#[tokio::test]
async fn a_wait_whose_connection_ends_grants_nothing() {
    let primary = server().await;
    let replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    let link = link_to(&primary).await;
    let level = replicated(1, Duration::from_secs(20));
    link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await.unwrap();
    replica.pause().unwrap();
    let writing = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level);
    let interrupting = async {
        crate::eventually("the write has happened", async || number(&primary, "c").await == 2).await;
        primary.disconnect_clients().await.unwrap();
        replica.resume().unwrap();
    };
    let (written, ()) = tokio::join!(writing, interrupting);
    assert!(is_indeterminate(&written), "{written:?}");
    let (_, reached) = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await.unwrap();
    assert_eq!((reached, number(&replica, "c").await), (Reached::new(1, false), 3));
}

#[tokio::test]
async fn a_wait_may_last_for_ever() {
    let primary = RedisServer::builder().appendonly(true).config("appendfsync", "always").start().await.unwrap();
    let _replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    let link = link_to(&primary).await;
    let within = Duration::MAX;
    for level in [Durability::Replicated { replicas: 1, within }, Durability::Fsynced { within }] {
        let (_, reached) = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await.unwrap();
        assert!(reached.satisfies(level), "{level:?}: {reached:?}");
    }
}

#[tokio::test]
async fn waiting_does_not_delay_other_calls() {
    let server = server().await;
    let link = link_to(&server).await;
    let waiting = tokio::spawn({
        let link = link.clone();
        async move { link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], replicated(1, Duration::from_secs(5))).await }
    });
    crate::eventually("the write has happened", async || number(&server, "c").await == 1).await;
    for _ in 0..9 {
        link.ping().await.unwrap();
    }
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn on_disk_is_granted_only_if_it_is_proved() {
    let always = RedisServer::builder().appendonly(true).config("appendfsync", "always").start().await.unwrap();
    let on_disk = Durability::Fsynced { within: Duration::from_secs(5) };
    let link = link_to(&always).await;
    let (_, reached) = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], on_disk).await.unwrap();
    assert!(reached.on_disk);
    always.kill().await;
    always.start_again().await.unwrap();
    assert_eq!(number(&always, "c").await, 1);

    let memory = server().await;
    let link = link_to(&memory).await;
    let result = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], on_disk).await;
    assert!(matches!(result, Err(Error::Unsupported { .. })), "{result:?}");
    assert_eq!(number(&memory, "c").await, 0, "refused before it was written");

    let rules = "~* +@all -config";
    let hidden = RedisServer::builder().appendonly(true).acl_user("app", "p", rules).start().await.unwrap();
    let link = Link::connect(config(&hidden.user_url("app", "p"))).await.unwrap();
    let result = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], on_disk).await;
    assert!(matches!(result, Err(Error::Unsupported { .. })), "{result:?}");
}

#[tokio::test]
async fn a_lost_reply_is_indeterminate_and_not_repeated() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let link = Link::connect(config(&server.url_through(&proxy, None))).await.unwrap();
    let level = replicated(1, Duration::from_millis(1));
    assert!(link.call_durable(COUNTS, &INCREMENT, &["warm"], args![1], level).await.is_err());
    proxy.cut_after_request(mentions("counter"));
    let result = link.call_durable(COUNTS, &INCREMENT, &["counter"], args![1], level).await;
    assert!(is_indeterminate(&result), "{result:?}");
    assert_eq!((proxy.fired(), number(&server, "counter").await), (1, 1));
}

/// Here the pipeline has the write alone and no wait.
#[tokio::test]
async fn a_lost_reply_is_indeterminate_where_the_reply_itself_proves_the_disk() {
    let always = RedisServer::builder().appendonly(true).config("appendfsync", "always").start().await.unwrap();
    let proxy = FaultProxy::start(always.address()).await.unwrap();
    let link = Link::connect(config(&always.url_through(&proxy, None))).await.unwrap();
    let on_disk = Durability::Fsynced { within: Duration::from_secs(5) };
    link.call_durable(COUNTS, &INCREMENT, &["warm"], args![1], on_disk).await.unwrap();
    proxy.cut_after_request(mentions("counter"));
    let result = link.call_durable(COUNTS, &INCREMENT, &["counter"], args![1], on_disk).await;
    assert!(is_indeterminate(&result), "{result:?}");
    assert_eq!((proxy.fired(), number(&always, "counter").await), (1, 1));
}

/// A question that cannot be asked at the moment does not make the server unable.
#[tokio::test]
async fn a_busy_server_is_unavailable_and_not_unsupported() {
    static FOR_EVER: Script = Script::new("test/for_ever", "#!lua\nwhile true do end");
    let server = RedisServer::builder().appendonly(true).config("appendfsync", "always");
    let server = server.config("busy-reply-threshold", "1").start().await.unwrap();
    let settings = config(&server.url(None)).with_command_timeout(Duration::from_millis(500)).with_max_retries(0);
    let link = Link::connect(settings).await.unwrap();
    let on_disk = Durability::Fsynced { within: Duration::from_secs(1) };
    link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], on_disk).await.unwrap();
    link.call(COUNTS, &FOR_EVER, &["c"], vec![]).await.unwrap_err();
    crate::eventually("the server is busy", async || {
        let result = link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], on_disk).await;
        assert!(!matches!(result, Err(Error::Unsupported { .. })), "{result:?}");
        matches!(result, Err(Error::Unavailable { detail, .. }) if detail.contains("busy"))
    })
    .await;
    server.command(&["SCRIPT", "KILL"]).await.unwrap();
}

#[tokio::test]
async fn more_durable_calls_than_connections_take_turns() {
    let primary = server().await;
    let _replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    let link = link_to(&primary).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let link = link.clone();
        let level = replicated(1, Duration::from_secs(20));
        calls.spawn(async move { link.call_durable(COUNTS, &INCREMENT, &["c"], args![1], level).await.unwrap() });
    }
    calls.join_all().await;
    assert_eq!(number(&primary, "c").await, 60);
    let clients: usize = primary.info("clients").await.unwrap()["connected_clients"].parse().unwrap();
    assert!(clients <= 3 + 16 + 1, "{clients}");
}
