//! Refusals of real servers: the kind of each error, whether the call may be repeated, and the text.

use std::fs;
use std::time::{Duration, Instant};

use redis_link::{Link, args};
use store_core::{Error, ErrorKind};
use testkit::{Cluster, RedisServer};

use crate::{INCREMENT, READS, RECOGNISED, config, eventually, passed};

/// One attempt per call, so that the error is that of the server.
async fn once(server: &RedisServer) -> Link {
    Link::connect(config(&server.url(None)).with_max_retries(0)).await.unwrap()
}

async fn set(link: &Link) -> Result<(), Error> {
    link.command(RECOGNISED, "SET", args!["x", "1"]).await.map(drop)
}

async fn get(link: &Link) -> Result<(), Error> {
    link.command(READS, "GET", args!["x"]).await.map(drop)
}

/// Waits until the server refuses the call with this error, after which the call may be repeated.
async fn refused(what: &str, call: impl AsyncFn() -> Result<(), Error>) {
    let mut last = None;
    eventually(what, async || {
        last = call().await.err();
        last.is_some()
    })
    .await;
    let error = last.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable() && error.to_string().contains(what), "{error}");
}

#[tokio::test]
async fn a_server_that_loads_its_data_is_unavailable_until_it_has_loaded_them() {
    let primary = crate::server().await;
    let fill = "for i = 1, 3000 do redis.call('SET', 'key' .. i, string.rep('x', 100)) end";
    primary.command(&["EVAL", fill, "0"]).await.unwrap();
    let slow = RedisServer::builder().config("key-load-delay", "500").config("repl-diskless-load", "swapdb");
    let slow = slow.config("loading-process-events-interval-bytes", "1024").start().await.unwrap();
    slow.command(&["CONFIG", "SET", "repl-diskless-load", "disabled"]).await.unwrap();
    let link = once(&slow).await;
    let port = primary.port().to_string();
    slow.command(&["REPLICAOF", "127.0.0.1", &port]).await.unwrap();
    refused("the server is loading its data", async || get(&link).await).await;
    eventually("it has loaded them", async || get(&link).await.is_ok()).await;
}

#[tokio::test]
async fn a_replica_without_its_primary_is_unavailable_if_it_serves_no_stale_data() {
    let primary = crate::server().await;
    let replica =
        RedisServer::builder().replica_of(&primary).config("replica-serve-stale-data", "no").start().await.unwrap();
    let link = once(&replica).await;
    get(&link).await.unwrap();
    primary.kill().await;
    refused("a replica that has lost its primary", async || get(&link).await).await;
    primary.start_again().await.unwrap();
    eventually("it has its primary again", async || get(&link).await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_cannot_write_a_snapshot_is_unavailable_for_writes() {
    let server = RedisServer::builder().config("enable-protected-configs", "yes").start().await.unwrap();
    let link = once(&server).await;
    let gone = server.dir().join("gone");
    fs::create_dir(&gone).unwrap();
    server.command(&["CONFIG", "SET", "dir", gone.to_str().unwrap(), "save", "3600 1"]).await.unwrap();
    fs::remove_dir(&gone).unwrap();
    server.command(&["BGSAVE"]).await.unwrap();
    refused("the server cannot write to its disk", async || set(&link).await).await;
    get(&link).await.expect("reads are answered");
    server.command(&["CONFIG", "SET", "dir", server.dir().to_str().unwrap()]).await.unwrap();
    server.command(&["BGSAVE"]).await.unwrap();
    eventually("the disk is written again", async || set(&link).await.is_ok()).await;
}

#[tokio::test]
async fn a_server_that_cannot_sync_its_append_only_file_is_unavailable_for_writes() {
    let server = RedisServer::builder().appendonly(true).config("appendfsync", "everysec").records_fsyncs();
    let server = server.start().await.unwrap();
    let link = once(&server).await;
    set(&link).await.unwrap();
    server.fail_fsyncs(true).unwrap();
    refused("the server cannot write to its disk", async || {
        passed(Duration::from_millis(50)).await;
        set(&link).await
    })
    .await;
    get(&link).await.expect("reads are answered");
    server.fail_fsyncs(false).unwrap();
    // Redis 7.0 syncs again only after a write, and it refuses writes: an operator has to intervene.
    server.command(&["CONFIG", "SET", "appendonly", "no"]).await.unwrap();
    server.command(&["CONFIG", "SET", "appendonly", "yes"]).await.unwrap();
    eventually("writes are accepted again", async || set(&link).await.is_ok()).await;
}

/// Its append-only file cannot grow.
#[tokio::test]
async fn a_server_whose_disk_is_full_is_unavailable_for_writes_until_it_has_space_again() {
    let server = RedisServer::builder().appendonly(true).fills_disk().start().await.unwrap();
    let link = once(&server).await;
    set(&link).await.unwrap();
    server.fill_disk(true).unwrap();
    refused("the server cannot write to its disk", async || set(&link).await).await;
    let refusal = server.command(&["SET", "x", "2"]).await.unwrap_err().to_string();
    assert!(refusal.contains("MISCONF"), "{refusal}");
    get(&link).await.expect("reads are answered");
    server.fill_disk(false).unwrap();
    eventually("writes are accepted again", async || set(&link).await.is_ok()).await;
    server.start_again().await.unwrap();
    assert_eq!(server.command(&["GET", "x"]).await.unwrap().as_str(), Some("1"));
}

#[tokio::test]
async fn a_call_for_a_slot_that_no_node_serves_may_be_repeated() {
    let server = RedisServer::builder().cluster().start().await.unwrap();
    let link = once(&server).await;
    set(&link).await.unwrap();
    let slot = server.command(&["CLUSTER", "KEYSLOT", "x"]).await.unwrap().as_integer().unwrap().to_string();
    server.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await.unwrap();
    server.command(&["CLUSTER", "DELSLOTS", &slot]).await.unwrap();
    for _ in 0..3 {
        eventually("the link is connected", async || link.is_connected()).await;
        let error = set(&link).await.unwrap_err();
        // The client library closes the connection and does not report which call was refused. The link reopens the connection.
        let text = "the cluster is down or does not serve a slot, and the connection was closed";
        assert_eq!((error.kind(), &*error.detail()), (ErrorKind::Indeterminate, text));
        assert!(error.is_retryable());
        assert!(get(&link).await.is_err_and(|error| error.is_retryable()));
    }
    server.command(&["CLUSTER", "ADDSLOTS", &slot]).await.unwrap();
    eventually("the slot is served again", async || set(&link).await.is_ok()).await;
}

#[tokio::test]
async fn a_call_whose_keys_are_at_two_nodes_while_their_slot_moves_is_unavailable() {
    let (cluster, _) = crate::cluster::started().await;
    let url = format!("redis-cluster://127.0.0.1:{}", cluster.nodes()[0].port());
    let link = Link::connect(config(&url).with_max_retries(0)).await.unwrap();
    let both = async || link.call(RECOGNISED, &INCREMENT, &["{a}1", "{a}2"], args![1]).await.map(drop);
    both().await.unwrap();
    link.command(RECOGNISED, "SET", args!["{a}2", 1]).await.unwrap();
    let migration = begun(&cluster).await;
    assert!(migration.move_key(b"{a}1").await.unwrap());
    refused("the slot of the key is moving to another server", async || both().await).await;
    migration.finish().await.unwrap();
    eventually("the slot has moved", async || both().await.is_ok()).await;
}

/// The rest of the lease is left for other attempts.
#[tokio::test]
async fn a_call_for_a_lease_waits_for_a_slot_that_moves_for_half_of_the_lease() {
    const HELD: Duration = Duration::from_millis(600);
    let (cluster, _) = crate::cluster::started().await;
    let url = format!("redis-cluster://127.0.0.1:{}", cluster.nodes()[0].port());
    let link = Link::connect(config(&url).with_max_retries(1)).await.unwrap();
    let both = async |lease: Duration| {
        let begun = Instant::now();
        let called = link.for_lease(lease).call(RECOGNISED, &INCREMENT, &["{a}1", "{a}2"], args![1]).await;
        (called.map(drop), begun.elapsed())
    };
    both(HELD).await.0.unwrap();
    link.command(RECOGNISED, "SET", args!["{a}2", 1]).await.unwrap();
    let migration = begun(&cluster).await;
    assert!(migration.move_key(b"{a}1").await.unwrap());
    let (refused, waited) = both(HELD).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert!(waited >= HELD / 2 && waited < Duration::from_secs(4), "{waited:?}");
    let since = Instant::now();
    let moved = async {
        eventually("the slot was held", async || since.elapsed() > HELD).await;
        migration.finish().await.unwrap();
    };
    let ((answered, waited), ()) = tokio::join!(both(Duration::from_secs(30)), moved);
    answered.unwrap();
    assert!(waited > HELD, "the nodes refused the call: {waited:?}");
}

async fn begun(cluster: &Cluster) -> testkit::SlotMigration<'_> {
    let slot = cluster.slot("{a}1").await.unwrap();
    let source = cluster.owner(slot).await.port();
    let target = cluster.nodes()[..3].iter().find(|node| node.port() != source).unwrap();
    cluster.begin_migration(slot, target).await.unwrap()
}
