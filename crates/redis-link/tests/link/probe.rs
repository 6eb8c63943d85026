use std::time::{Duration, Instant};

use redis_link::{Fact, LinkConfig, Probe};
use store_core::{Error, Timestamp};
use testkit::{FaultProxy, RedisServer, free_port, random_prefix};

use crate::{config, server};

async fn probe(server: &RedisServer) -> Probe {
    Probe::open(config(&server.url(None))).await.unwrap()
}

#[tokio::test]
async fn a_server_is_described() {
    let server = RedisServer::state().config("save", "60 1").databases(5).start().await.unwrap();
    server.command_in(3, &["SET", "x", "1"]).await.unwrap();
    let probe = probe(&server).await;
    let info = probe.server_info().await.known().unwrap();
    assert!(info.version().unwrap() >= (7, 0, 0));
    assert_eq!((info.role.as_deref(), info.tcp_port), (Some("master"), Some(server.port())));
    assert_eq!((info.max_memory, info.max_memory_policy.as_deref()), (Some(256 << 20), Some("noeviction")));
    assert_eq!((info.is_aof_enabled, info.is_loading, info.is_cluster), (Some(true), Some(false), Some(false)));
    assert_eq!(info.keyspace, [(3, 1)]);
    assert!(info.run_id.is_some() && info.replication_id.is_some() && info.used_memory.is_some());
    let settings = probe.server_settings().await;
    assert_eq!(settings.maxmemory_policy, Fact::Known("noeviction".into()));
    assert_eq!(settings.appendonly, Fact::Known("yes".into()));
    assert_eq!(settings.appendfsync, Fact::Known("everysec".into()));
    assert_eq!(settings.save, Fact::Known("60 1".into()));
    assert_eq!((settings.databases, settings.min_replicas_to_write), (Fact::Known(5), Fact::Known(0)));
    let skew = Timestamp::system_now().since(probe.time().await.known().unwrap());
    assert!(skew < Duration::from_secs(30), "{skew:?}");
}

#[tokio::test]
async fn a_replica_names_its_primary() {
    let primary = server().await;
    let replica = RedisServer::builder().replica_of(&primary).start().await.unwrap();
    let of_primary = probe(&primary).await.server_info().await.known().unwrap();
    let probe = probe(&replica).await;
    let of_replica = probe.server_info().await.known().unwrap();
    assert_eq!(of_primary.connected_replicas, Some(1));
    assert_eq!((of_replica.role.as_deref(), of_replica.primary_port), (Some("slave"), Some(primary.port())));
    assert_eq!(of_replica.replication_id, of_primary.replication_id);
    assert_eq!(probe.is_writable(&random_prefix()).await, Fact::Known(false));
}

#[tokio::test]
async fn a_forbidden_fact_is_unknown() {
    let rules = "~app:* -@all +ping +select +evalsha +script|load +get";
    let server = RedisServer::builder().acl_user("app", "p", rules).start().await.unwrap();
    let probe = Probe::open(config(&server.user_url("app", "p"))).await.unwrap();
    assert!(matches!(probe.server_info().await, Fact::Unknown(_)));
    assert!(matches!(probe.server_settings().await.appendonly, Fact::Unknown(_)));
    assert!(matches!(probe.time().await, Fact::Unknown(_)));
    assert!(matches!(probe.user().await, Fact::Unknown(_)));
    assert!(matches!(probe.is_writable("app:x").await, Fact::Unknown(_)));
    let error = probe.set_probe_key(0, "app:x", "1", Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
    let asked: [&[&str]; 5] =
        [&["GET", "app:x"], &["SET", "app:x", "1"], &["GET", "other"], &["NOSUCHCOMMAND"], &["EVALSHA", "x", "0"]];
    assert_eq!(probe.lacks_permission(&asked).await, Fact::Known(vec![1, 2, 3]));
}

/// "Not found" would mean that two URLs lead to two servers.
#[tokio::test]
async fn a_probe_key_that_could_not_be_searched_for_is_not_missing() {
    let server = RedisServer::builder()
        .acl_user("narrow", "p", "~own:* +@all")
        .acl_user("fixed", "p", "~* +@all -select")
        .start()
        .await
        .unwrap();
    server.command(&["SET", "mark", "v"]).await.unwrap();
    let narrow = Probe::open(config(&server.user_url("narrow", "p"))).await.unwrap();
    assert!(matches!(narrow.find_probe_key("mark", "v", 16).await, Fact::Unknown(_)));
    let fixed = Probe::open(config(&server.user_url("fixed", "p"))).await.unwrap();
    assert_eq!(fixed.find_probe_key("mark", "v", 16).await, Fact::Known(vec![0]));
    assert!(matches!(fixed.find_probe_key("mark", "other", 16).await, Fact::Unknown(_)));
    assert!(matches!(fixed.can_select(1).await, Fact::Unknown(_)));
}

#[tokio::test]
async fn a_user_who_may_not_run_scripts_lacks_everything() {
    let rules = "~* -@all +ping +get";
    let server = RedisServer::builder().acl_user("app", "p", rules).start().await.unwrap();
    let probe = Probe::open(config(&server.user_url("app", "p"))).await.unwrap();
    assert_eq!(probe.lacks_permission(&[&["GET", "x"], &["SET", "x", "1"]]).await, Fact::Known(vec![0, 1]));
}

#[tokio::test]
async fn users_are_described_as_far_as_their_rights_allow() {
    let server = RedisServer::builder().acl_user("app", "p", "~tw:* +@all").start().await.unwrap();
    let user = probe(&server).await.user().await.known().unwrap();
    assert_eq!((user.name.as_str(), user.needs_no_password), ("default", Fact::Known(true)));
    let named = Probe::open(config(&server.user_url("app", "p"))).await.unwrap().user().await.known().unwrap();
    assert_eq!((named.name.as_str(), named.needs_no_password), ("app", Fact::Known(false)));
    assert_eq!((named.commands, named.keys), (Fact::Known("+@all".into()), Fact::Known("~tw:*".into())));
}

#[tokio::test]
async fn a_server_open_to_all_is_distinguished_from_one_with_a_password() {
    let open = RedisServer::builder().acl_user("app", "p", "~* +@all").start().await.unwrap();
    assert_eq!(Probe::is_open_to_all(config(&open.user_url("app", "p"))).await, Fact::Known(true));
    let closed = RedisServer::builder().password("p").start().await.unwrap();
    assert_eq!(Probe::is_open_to_all(config(&closed.url(None))).await, Fact::Known(false));
    let down = config(&format!("redis://127.0.0.1:{}", free_port().unwrap()));
    assert!(matches!(Probe::is_open_to_all(down).await, Fact::Unknown(_)));
}

#[tokio::test]
async fn a_probe_key_is_found_in_any_database_and_only_on_the_same_server() {
    let server = RedisServer::builder().databases(100).start().await.unwrap();
    let other = crate::server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let (key, value) = (random_prefix(), random_prefix());
    let writer = probe(&server).await;
    writer.set_probe_key(97, &key, &value, Duration::from_secs(60)).await.unwrap();
    let reader = Probe::open(config(&server.url_through(&proxy, Some(4)))).await.unwrap();
    assert_eq!(reader.find_probe_key(&key, &value, 100).await, Fact::Known(vec![97]));
    assert_eq!(reader.find_probe_key(&key, &value, 5000).await, Fact::Known(vec![97]));
    assert_eq!(reader.find_probe_key(&key, "another", 100).await, Fact::Known(vec![]));
    assert_eq!(probe(&other).await.find_probe_key(&key, &value, 16).await, Fact::Known(vec![]));
    assert_eq!((reader.can_select(99).await, reader.can_select(100).await), (Fact::Known(true), Fact::Known(false)));
    assert_eq!(reader.is_writable(&key).await, Fact::Known(true));
    assert_eq!(server.command_in(4, &["EXISTS", &key]).await.unwrap().as_integer(), Some(1), "back in its database");
    let ttl = server.command_in(97, &["PTTL", &key]).await.unwrap().as_integer().unwrap();
    assert!((1..=60_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn servers_that_do_not_answer_are_reported_within_the_connect_time_out() {
    let server = server().await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let quick = |url: &str| -> LinkConfig { config(url).with_connect_timeout(Duration::from_millis(300)) };
    let open = Probe::open(quick(&server.url_through(&proxy, None))).await.unwrap();
    proxy.blackhole().await;
    let started = Instant::now();
    let error = Probe::open(quick(&server.url_through(&proxy, None))).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(matches!(open.server_info().await, Fact::Unknown(_)));
    assert!(started.elapsed() < Duration::from_secs(10));
    let down = Probe::open(quick(&format!("redis://127.0.0.1:{}", free_port().unwrap()))).await.unwrap_err();
    assert!(matches!(down, Error::Unavailable { .. }), "{down:?}");
}

#[tokio::test]
async fn names_are_resolved() {
    let addresses = redis_link::Endpoint::new("LOCALHOST", 7).resolve().await.unwrap();
    assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 7), "{addresses:?}");
    assert!(redis_link::Endpoint::new("no-such-host.invalid", 7).resolve().await.is_err());
}
