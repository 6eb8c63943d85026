use std::time::Duration;

use testkit::{Cluster, CommandError, DEADLINE, RedisServer, RespConnection, Sentinels, wait_until};

async fn refusal(server: &RedisServer, command: &[&str]) -> String {
    match server.command(command).await {
        Err(CommandError::Refused(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

async fn writes(server: &RedisServer) -> bool {
    server.command(&["SET", "key", "1"]).await.is_ok()
}

/// Clients reach it, and it takes their writes until it misses its replicas.
#[tokio::test]
async fn a_primary_is_separated_from_its_replicas_only() {
    let data = RedisServer::builder().config("min-replicas-to-write", "1").config("min-replicas-max-lag", "1");
    let sentinels = Sentinels::builder().data(data).through_proxies().start().await.unwrap();
    let primary = sentinels.primary().await;
    let replicas = sentinels.replicas().await;
    let mut client = RespConnection::open(sentinels.proxy(primary).address()).await.unwrap();

    sentinels.proxy(primary).hold_replication();
    client.command(&["SET", "key", "held"]).await.unwrap();
    assert_eq!(client.command(&["WAIT", "1", "200"]).await.unwrap().as_integer(), Some(0));
    wait_until("the primary refuses writes", DEADLINE, async || !writes(primary).await).await;
    assert!(refusal(primary, &["SET", "key", "2"]).await.starts_with("NOREPLICAS"));
    for replica in &replicas {
        assert!(replica.command(&["GET", "key"]).await.unwrap().is_nil());
    }
    // new connections of replicas are held too
    primary.command(&["CLIENT", "KILL", "TYPE", "replica"]).await.unwrap();
    assert_eq!(client.command(&["WAIT", "1", "200"]).await.unwrap().as_integer(), Some(0));

    sentinels.proxy(primary).pass().await;
    sentinels.wait_settled().await;
    assert_eq!(client.command(&["SET", "key", "passed"]).await.unwrap().as_str(), Some("OK"));
    assert_eq!(client.command(&["WAIT", "2", "5000"]).await.unwrap().as_integer(), Some(2));
    assert_eq!(sentinels.primary().await.port(), primary.port());
}

/// Clients, replicas and sentinels lose it; it does not know.
#[tokio::test]
async fn an_isolated_primary_is_replaced_and_demoted_when_it_is_reached_again() {
    let sentinels = Sentinels::builder().through_proxies().start().await.unwrap();
    let old = sentinels.primary().await;
    sentinels.proxy(old).blackhole().await;
    let new = sentinels.wait_for_failover(old).await;
    assert!(writes(new).await && writes(old).await);
    let address = sentinels.sentinels()[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]).await.unwrap();
    assert_eq!(address.as_strings().unwrap()[1], sentinels.proxy(new).port().to_string());

    sentinels.proxy(old).pass().await;
    wait_until("the old primary refuses writes", DEADLINE, async || !writes(old).await).await;
    sentinels.wait_settled().await;
    assert_eq!(sentinels.replicas().await.len(), 2);
}

#[tokio::test]
async fn nodes_of_a_cluster_redirect_to_their_proxies() {
    let cluster = Cluster::builder().through_proxies().start().await.unwrap();
    let slot = cluster.slot("key").await.unwrap();
    let owner = cluster.owner(slot).await;
    let other = cluster.nodes().iter().find(|node| node.port() != owner.port()).unwrap();
    let proxy = cluster.proxy(owner);
    assert_eq!(refusal(other, &["GET", "key"]).await, format!("MOVED {slot} 127.0.0.1:{}", proxy.port()));
    assert!(cluster.addresses().contains(&proxy.address()));

    let mut client = RespConnection::open(proxy.address()).await.unwrap();
    client.command(&["SET", "key", "1"]).await.unwrap();
    proxy.hold_replication();
    client.command(&["SET", "key", "2"]).await.unwrap();
    assert_eq!(client.command(&["WAIT", "1", "200"]).await.unwrap().as_integer(), Some(0));
    proxy.pass().await;
    assert_eq!(client.command(&["WAIT", "1", "5000"]).await.unwrap().as_integer(), Some(1));

    proxy.half_open();
    client.send(&["GET", "key"]).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), client.receive()).await.is_err());
    owner.kill().await;
    let new = cluster.wait_for_failover(slot, owner).await;
    cluster.wait_settled().await;
    assert_eq!(
        refusal(other_than(&cluster, &[owner, new]), &["GET", "key"]).await,
        format!("MOVED {slot} 127.0.0.1:{}", cluster.proxy(new).port())
    );
}

fn other_than<'a>(cluster: &'a Cluster, nodes: &[&RedisServer]) -> &'a RedisServer {
    let other = cluster.nodes().iter().find(|node| nodes.iter().all(|excluded| excluded.port() != node.port()));
    other.expect("there are further nodes")
}

#[tokio::test]
async fn clients_are_disconnected_scripts_are_gone_and_memory_is_full_on_demand() {
    let server = RedisServer::state().start().await.unwrap();
    let mut client = server.connect().await.unwrap();
    let digest = client.command(&["SCRIPT", "LOAD", "return 1"]).await.unwrap();
    let run = ["EVALSHA", digest.as_str().unwrap(), "0"];
    assert_eq!(client.command(&run).await.unwrap().as_integer(), Some(1));
    server.flush_scripts().await.unwrap();
    assert!(matches!(client.command(&run).await, Err(CommandError::Refused(error)) if error.starts_with("NOSCRIPT")));

    let mut subscriber = server.connect().await.unwrap();
    subscriber.command(&["SUBSCRIBE", "channel"]).await.unwrap();
    assert_eq!(server.disconnect_clients().await.unwrap(), 2);
    assert!(matches!(client.command(&["PING"]).await, Err(CommandError::Connection(_))));
    assert!(matches!(subscriber.receive().await, Err(CommandError::Connection(_))));

    server.set_memory_limit(1).await.unwrap();
    assert!(refusal(&server, &["SET", "key", "1"]).await.starts_with("OOM"));
    server.set_memory_limit(0).await.unwrap();
    assert!(writes(&server).await);
}
