use std::time::{Duration, Instant};

use testkit::{DEADLINE, RedisServer, RespConnection, Sentinels, wait_until};

async fn role(server: &RedisServer) -> String {
    let mut info = server.info("replication").await.expect("the server answers");
    info.remove("role").expect("a server has a role")
}

async fn writes(server: &RedisServer) -> bool {
    server.command(&["SET", "key", "1"]).await.is_ok()
}

#[tokio::test]
async fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let started = Instant::now();
    let sentinels = Sentinels::builder().start().await.unwrap();
    crate::assert_ready_in_time("three sentinels and three servers", started.elapsed()).await;
    let old = sentinels.primary().await;
    assert_eq!((old.port(), sentinels.replicas().await.len()), (sentinels.data()[0].port(), 2));
    let mut connection = old.connect().await.unwrap();
    connection.command(&["SET", "before", "1"]).await.unwrap();
    assert_eq!(connection.command(&["WAIT", "2", "5000"]).await.unwrap().as_integer(), Some(2));

    let killed = Instant::now();
    old.kill().await;
    let new = sentinels.wait_for_failover(old).await;
    println!("replaced after {:?}", killed.elapsed());
    assert!(killed.elapsed() < Duration::from_secs(10));
    assert!(writes(new).await);
    assert_eq!(new.command(&["GET", "before"]).await.unwrap().as_str(), Some("1"));
    sentinels.wait_settled().await;
    assert_eq!(sentinels.replicas().await.len(), 1);

    old.start_again().await.unwrap();
    wait_until("the old primary is a replica", DEADLINE, async || role(old).await == "slave").await;
    sentinels.wait_settled().await;
    assert_eq!(sentinels.replicas().await.len(), 2);
    assert_eq!(sentinels.primary().await.port(), new.port());
    assert!(!writes(old).await);
}

/// The replica that was promoted must not start with the file that made it a replica.
#[tokio::test]
async fn a_failover_by_command_is_kept_by_servers_and_sentinels_that_start_again() {
    let sentinels = Sentinels::builder().start().await.unwrap();
    let old = sentinels.primary().await;
    let new = sentinels.failover().await;
    assert_ne!(new.port(), old.port());
    assert_eq!(role(old).await, "slave");
    for sentinel in sentinels.sentinels() {
        sentinel.start_again().await.unwrap();
    }
    sentinels.wait_settled().await;
    assert_eq!(sentinels.primary().await.port(), new.port());
    new.start_again().await.unwrap();
    assert_eq!(role(new).await, "master");
}

/// In the meantime both take writes: a split brain.
#[tokio::test]
async fn a_paused_primary_is_replaced_and_takes_writes_until_it_is_demoted() {
    let sentinels = Sentinels::builder().start().await.unwrap();
    let old = sentinels.primary().await;
    old.pause().unwrap();
    let new = sentinels.wait_for_failover(old).await;
    assert!(writes(new).await);
    let paused = sentinels.sentinels().iter().map(RedisServer::pause).collect::<Result<Vec<_>, _>>();
    paused.unwrap();
    old.resume().unwrap();
    assert!(writes(old).await && writes(new).await);
    for sentinel in sentinels.sentinels() {
        sentinel.resume().unwrap();
    }
    wait_until("the old primary refuses writes", DEADLINE, async || !writes(old).await).await;
    sentinels.wait_settled().await;
}

#[tokio::test]
async fn passwords_and_host_names_are_those_of_all_nodes() {
    let sentinels = Sentinels::builder()
        .name("state")
        .data(RedisServer::state().password("data \"secret"))
        .sentinel_password("sentinel \"secret")
        .hostnames()
        .start()
        .await
        .unwrap();
    let first = sentinels.addresses()[0];
    let mut stranger = RespConnection::open(first).await.unwrap();
    assert!(stranger.command(&["SENTINEL", "MASTERS"]).await.is_err());
    let reply = sentinels.sentinels()[0].command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "state"]).await.unwrap();
    assert_eq!(reply.as_strings().unwrap()[0], "localhost");
    let old = sentinels.primary().await;
    let mut stranger = RespConnection::open(old.address()).await.unwrap();
    assert!(stranger.command(&["PING"]).await.is_err());

    old.kill().await;
    sentinels.wait_for_failover(old).await;
    old.start_again().await.unwrap();
    sentinels.wait_settled().await;
    assert_eq!(sentinels.replicas().await.len(), 2);
}

#[tokio::test]
async fn tls_is_spoken_between_all_nodes() {
    let sentinels = Sentinels::builder().data(RedisServer::builder().tls()).replicas(1).start().await.unwrap();
    let mut plain = RespConnection::open(sentinels.addresses()[0]).await.unwrap();
    assert!(plain.command(&["PING"]).await.is_err());
    let old = sentinels.primary().await;
    assert!(writes(sentinels.failover().await).await);
    assert!(!writes(old).await);
}

#[tokio::test]
async fn the_periods_of_sentinel_are_its_own_on_request() {
    let period = async |sentinels: &Sentinels| {
        let reply = sentinels.sentinels()[0].command(&["SENTINEL", "DEBUG"]).await.unwrap().as_strings().unwrap();
        reply[reply.iter().position(|name| name == "PING-PERIOD").unwrap() + 1].clone()
    };
    let own = Sentinels::builder().own_periods().down_after(Duration::from_secs(2)).replicas(0).start().await.unwrap();
    let fast = Sentinels::builder().replicas(0).start().await.unwrap();
    assert_eq!((period(&own).await.as_str(), period(&fast).await.as_str()), ("1000", "300"));
    fast.sentinels()[0].start_again().await.unwrap();
    assert_eq!(period(&fast).await, "300");
}
