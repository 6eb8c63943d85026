//! What listeners of broadcasts miss is reported: after a lost connection, and after a failover. What a server forbids is refused.

use std::time::Duration;

use bytes::Bytes;
use conformance::{Engine, Options, RedisEngine, Stores};
use store_core::{BroadcastEvent, BroadcastListener, BroadcastName, Error};
use testkit::{Cluster, DEADLINE, RedisServer, Sentinels, wait_until};

/// How long a test waits for a message before it publishes another one.
const SOON: Duration = Duration::from_millis(100);

fn name() -> BroadcastName {
    BroadcastName::new("control").unwrap()
}

async fn opened(cache: &RedisServer, state: &str, patience: Duration) -> Stores {
    let engine = RedisEngine::connect_within("redis", &cache.url(None), state, patience).await.unwrap();
    engine.open("control", &Options::default()).await.unwrap()
}

async fn publish(stores: &Stores, text: &'static str) -> store_core::Result<u64> {
    stores.state.broadcasts().publish(&name(), &Bytes::from_static(text.as_bytes())).await
}

async fn next(listener: &mut BroadcastListener) -> BroadcastEvent {
    tokio::time::timeout(DEADLINE, listener.next()).await.expect("an event comes in time").unwrap()
}

fn message(text: &'static str) -> BroadcastEvent {
    BroadcastEvent::Message(Bytes::from_static(text.as_bytes()))
}

/// A message arrives, then what breaks the connection happens. The listener gets a gap, and after it messages again.
async fn gets_a_gap(stores: &Stores, breaks: impl AsyncFnOnce()) {
    let mut listeners = [
        stores.state.broadcasts().listen(&name()).await.unwrap(),
        stores.other_state.broadcasts().listen(&name()).await.unwrap(),
    ];
    publish(stores, "before").await.unwrap();
    for listener in &mut listeners {
        // The last messages of an earlier round may arrive late.
        let mut event = next(listener).await;
        while event == message("after") {
            event = next(listener).await;
        }
        assert_eq!(event, message("before"));
    }
    breaks().await;
    for listener in &mut listeners {
        assert_eq!(next(listener).await, BroadcastEvent::Gap);
    }
    for listener in &mut listeners {
        // A failover may interrupt the listeners twice.
        wait_until("messages arrive again", DEADLINE, async || {
            let _ = publish(stores, "after").await;
            tokio::time::timeout(SOON, listener.next()).await.is_ok_and(|event| event.unwrap() == message("after"))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_a_gap() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let stores = opened(&cache, &state.url(None), Duration::from_secs(5)).await;
    let kill = async || {
        assert_eq!(state.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap().as_integer(), Some(1));
    };
    gets_a_gap(&stores, kill).await;
    gets_a_gap(&stores, kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_a_gap() {
    let cache = RedisServer::cache().start().await.unwrap();
    let sentinels = Sentinels::builder().data(RedisServer::state()).start().await.unwrap();
    let hosts: Vec<_> = sentinels.addresses().iter().map(ToString::to_string).collect();
    let url = format!("redis-sentinel://{}/{}", hosts.join(","), sentinels.name());
    let stores = opened(&cache, &url, Duration::from_secs(2)).await;
    let fail_over = async || {
        sentinels.failover().await;
    };
    gets_a_gap(&stores, fail_over).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_a_primary_of_a_cluster_is_a_gap() {
    let cache = RedisServer::cache().start().await.unwrap();
    let cluster = Cluster::builder().node(RedisServer::state()).start().await.unwrap();
    let hosts: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    let stores = opened(&cache, &format!("redis-cluster://{}", hosts.join(",")), Duration::from_secs(2)).await;
    let kill = async || {
        let slot = cluster.slot("{b.control}").await.unwrap();
        let old = cluster.owner(slot).await;
        old.kill().await;
        cluster.wait_for_failover(slot, old).await;
    };
    gets_a_gap(&stores, kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_rights_on_channels_is_refused() {
    let state = RedisServer::state().acl_user("app", "secret", "~* resetchannels +@all");
    let (cache, state) = tokio::join!(RedisServer::cache().start(), state.start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let url = state.url(None).replace("redis://", "redis://app:secret@");
    let stores = opened(&cache, &url, Duration::from_secs(1)).await;
    let refused = publish(&stores, "reload").await;
    assert!(matches!(refused, Err(Error::Forbidden { .. })), "{refused:?}");
    let silent = stores.state.broadcasts().listen(&name()).await;
    assert!(matches!(silent, Err(Error::Unavailable { .. })), "{silent:?}");
    state.command(&["ACL", "SETUSER", "app", "&*"]).await.unwrap();
    assert_eq!(publish(&stores, "reload").await.unwrap(), 0);
}
