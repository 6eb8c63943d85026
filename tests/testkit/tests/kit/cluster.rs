use std::time::{Duration, Instant};

use testkit::{Cluster, CommandError, RedisServer, RespConnection};

async fn refusal(server: &RedisServer, command: &[&str]) -> String {
    match server.command(command).await {
        Err(CommandError::Refused(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let started = Instant::now();
    let cluster = Cluster::builder().start().await.unwrap();
    crate::assert_ready_in_time("a cluster of 3 + 3", started.elapsed()).await;
    let slot = cluster.slot("key").await.unwrap();
    let old = cluster.owner(slot).await;
    assert_eq!(cluster.replicas_of(old).await.len(), 1);
    let mut connection = old.connect().await.unwrap();
    connection.command(&["SET", "key", "1"]).await.unwrap();
    assert_eq!(connection.command(&["WAIT", "1", "5000"]).await.unwrap().as_integer(), Some(1));

    let killed = Instant::now();
    old.kill().await;
    let new = cluster.wait_for_failover(slot, old).await;
    println!("replaced after {:?}", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(10));
    cluster.wait_settled().await;
    assert_eq!(new.command(&["GET", "key"]).await.unwrap().as_str(), Some("1"));

    old.start_again().await.unwrap();
    cluster.wait_settled().await;
    assert_eq!(cluster.replicas_of(new).await[0].port(), old.port());
    let moved = format!("MOVED {slot} 127.0.0.1:{}", new.port());
    assert_eq!(refusal(old, &["SET", "key", "2"]).await, moved);
}

#[tokio::test]
async fn every_node_answers_with_the_owner_and_a_failover_by_command_changes_it() {
    let cluster = Cluster::builder().start().await.unwrap();
    for key in ["a", "b", "c", "d"] {
        let slot = cluster.slot(key).await.unwrap();
        let owner = cluster.owner(slot).await;
        owner.command(&["SET", key, "1"]).await.unwrap();
        for node in cluster.nodes().iter().filter(|node| node.port() != owner.port()) {
            assert_eq!(refusal(node, &["GET", key]).await, format!("MOVED {slot} 127.0.0.1:{}", owner.port()));
        }
    }
    let slot = cluster.slot("a").await.unwrap();
    let old = cluster.owner(slot).await;
    let replica = cluster.replicas_of(old).await[0];
    cluster.failover(replica).await;
    assert_eq!(cluster.owner(slot).await.port(), replica.port());
    assert_eq!(replica.command(&["GET", "a"]).await.unwrap().as_str(), Some("1"));
    assert!(refusal(old, &["GET", "a"]).await.starts_with("MOVED"));
}

#[tokio::test]
async fn a_paused_primary_is_replaced_and_is_a_replica_after_it_resumes() {
    let cluster = Cluster::builder().start().await.unwrap();
    let old = cluster.owner(0).await;
    old.pause().unwrap();
    let new = cluster.wait_for_failover(0, old).await;
    old.resume().unwrap();
    cluster.wait_settled().await;
    assert_eq!(cluster.replicas_of(new).await[0].port(), old.port());
}

#[tokio::test]
async fn a_moving_slot_answers_ask_until_it_has_moved() {
    let cluster = Cluster::builder().node(RedisServer::builder().password("secret")).replicas(0).start().await.unwrap();
    let slot = cluster.slot("{a}").await.unwrap();
    let source = cluster.owner(slot).await;
    let target = cluster.nodes().iter().find(|node| node.port() != source.port()).unwrap();
    for key in ["{a}1", "{a}2", "{a}3"] {
        source.command(&["SET", key, key]).await.unwrap();
    }
    let migration = cluster.begin_migration(slot, target).await.unwrap();
    assert!(source.command(&["GET", "{a}1"]).await.is_ok());
    assert!(migration.move_key(b"{a}1").await.unwrap());
    assert!(!migration.move_key(b"{a}1").await.unwrap());

    let ask = format!("ASK {slot} 127.0.0.1:{}", target.port());
    assert_eq!(refusal(source, &["GET", "{a}1"]).await, ask);
    assert_eq!(refusal(source, &["SET", "{a}new", "1"]).await, ask);
    assert!(refusal(source, &["MGET", "{a}1", "{a}2"]).await.starts_with("TRYAGAIN"));
    assert!(refusal(target, &["GET", "{a}1"]).await.starts_with("MOVED"));
    let mut asking = target.connect().await.unwrap();
    asking.command(&["ASKING"]).await.unwrap();
    assert_eq!(asking.command(&["GET", "{a}1"]).await.unwrap().as_str(), Some("{a}1"));

    migration.finish().await.unwrap();
    assert_eq!(cluster.owner(slot).await.port(), target.port());
    assert!(refusal(source, &["GET", "{a}3"]).await.starts_with("MOVED"));
    assert_eq!(target.command(&["MGET", "{a}1", "{a}2", "{a}3"]).await.unwrap().as_strings().unwrap().len(), 3);
}

#[tokio::test]
async fn an_abandoned_migration_leaves_the_slot_where_it_was() {
    let cluster = Cluster::builder().primaries(2).replicas(0).start().await.unwrap();
    let (source, target) = (&cluster.nodes()[0], &cluster.nodes()[1]);
    let migration = cluster.begin_migration(7, target).await.unwrap();
    assert_eq!((migration.source().port(), migration.target().port()), (source.port(), target.port()));
    migration.abandon().await.unwrap();
    cluster.wait_settled().await;
    assert_eq!(cluster.owner(7).await.port(), source.port());
    let nodes = source.command(&["CLUSTER", "NODES"]).await.unwrap();
    assert!(!nodes.as_str().unwrap().contains("[7"));
}

#[tokio::test]
async fn a_slot_moves_atomically_where_the_servers_can() {
    let cluster = Cluster::builder().node(RedisServer::builder().password("secret")).replicas(0).start().await.unwrap();
    let slot = cluster.slot("key").await.unwrap();
    let source = cluster.owner(slot).await;
    let target = cluster.nodes().iter().find(|node| node.port() != source.port()).unwrap();
    source.command(&["SET", "key", "1"]).await.unwrap();
    let info = source.info("server").await.unwrap();
    let is_valkey_9 = info.get("valkey_version").is_some_and(|version| version.starts_with("9."));
    assert_eq!(cluster.migrate_atomically(slot, target).await.unwrap(), is_valkey_9);
    let owner = cluster.owner(slot).await;
    assert_eq!(owner.port(), if is_valkey_9 { target.port() } else { source.port() });
    assert_eq!(owner.command(&["GET", "key"]).await.unwrap().as_str(), Some("1"));
}

#[tokio::test]
async fn nodes_with_tls_and_a_password_form_a_cluster() {
    let node = RedisServer::builder().password("secret").tls();
    let cluster = Cluster::builder().node(node).start().await.unwrap();
    let owner = cluster.owner(1).await;
    assert_eq!(cluster.replicas_of(owner).await.len(), 1);
    let target = cluster.owner(16383).await;
    cluster.begin_migration(1, target).await.unwrap().finish().await.unwrap();
    assert_eq!(cluster.owner(1).await.port(), target.port());
}

#[tokio::test]
async fn all_nodes_end_with_a_test_that_fails() {
    let cluster = Cluster::builder().start().await.unwrap();
    cluster.nodes()[0].pause().unwrap();
    let (addresses, dirs) = (cluster.addresses(), cluster.nodes().iter().map(|node| node.dir().to_path_buf()));
    let dirs = dirs.collect::<Vec<_>>();
    let failed = tokio::spawn(async move {
        let _cluster = cluster;
        panic!("on purpose");
    });
    assert!(failed.await.unwrap_err().is_panic());
    for address in addresses {
        assert!(RespConnection::open(address).await.is_err());
    }
    for dir in dirs {
        std::fs::remove_dir_all(dir).unwrap();
    }
}
