//! The durability that the writes of each capability request.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use testkit::RedisServer;
use twinstore::config::StoresOptions;
use twinstore::durability::{Durabilities, Durability};
use twinstore::heartbeat::{Beat, PoolName};
use twinstore::idempotency::{Fingerprint, IdempotentRequest, OperationError};
use twinstore::name::HolderName;
use twinstore::prelude::*;
use twinstore::{Bytes, ErrorKind};

async fn opened(state: &RedisServer, variables: &[(&str, &str)], options: StoresOptions) -> Stores {
    let url = state.url(None);
    let own = [
        ("SERVICE_NAME", "billing"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", url.as_str()),
        ("STORE_PREFLIGHT", "warn"), // too few replicas
    ];
    let environment = Environment::from_variables(own.iter().chain(variables).copied());
    Stores::open_with(&environment, options).await.unwrap()
}

#[tokio::test]
async fn each_capability_requests_its_own() {
    let server = RedisServer::state().start().await.unwrap();
    let one = Durability::Replicated { replicas: 1, within: Duration::from_millis(50) };
    let in_code = Durabilities::default().with_heartbeats(one).with_idempotency(one);
    let variables = [("REDIS_STATE_MIN_REPLICAS", "1"), ("REDIS_STATE_QUEUE_DURABILITY", "accepted")];
    let stores = opened(&server, &variables, StoresOptions::new().with_durabilities(in_code)).await;
    let state = stores.state();
    assert_eq!(state.durability(), Durability::Accepted);
    let beat = Beat::new(PoolName::new("pool").unwrap(), HolderName::new("member").unwrap(), Duration::from_secs(9));
    assert_eq!(state.heartbeats().beat(&beat).await.unwrap_err().kind(), ErrorKind::NotDurable);
    let operation = state.operation::<u32, u32>(HandleName::new("charge").unwrap());
    let key = Key::new("order-1").unwrap();
    let refused = operation.run(&key, &1, async || panic!("it must not run")).await.unwrap_err();
    assert!(matches!(refused, OperationError::Store(Error::NotDurable { .. })), "{refused:?}");

    let lower = [("REDIS_STATE_IDEMPOTENCY_DURABILITY", "accepted")];
    let stores = opened(&server, &lower, StoresOptions::new().with_durabilities(in_code)).await;
    let operation = stores.state().operation::<u32, u32>(HandleName::new("charge").unwrap());
    let ran = operation.run(&key, &1, async || Ok(7)).await.unwrap();
    assert!(matches!(ran, Ran::Fresh(7)), "the refused attempt left the key free: {ran:?}");
}

/// `WAIT` waits for the last write of its connection. Without a write, the server would confirm a write that no replica has.
#[tokio::test]
async fn a_repeated_call_writes_again() {
    let server = RedisServer::state().start().await.unwrap();
    let replica = RedisServer::builder().replica_of(&server).start().await.unwrap();
    let one = Durability::Replicated { replicas: 1, within: Duration::from_secs(10) };
    let options = StoresOptions::new().with_durabilities(Durabilities::default().with_idempotency(one));
    let stores = opened(&server, &[], options).await;
    let idempotency = stores.state().idempotency();
    let request = IdempotentRequest::new(Key::new("order-1").unwrap(), Fingerprint::of(b"1"));
    let ttl = Ttl::from_secs(60);
    let sets = async || server.command_calls().await.unwrap().get("set").copied().unwrap_or(0);
    let first = sets().await;
    let begun = idempotency.begin(&request, ttl).await.unwrap();
    let second = sets().await;
    assert_eq!(idempotency.begin(&request, ttl).await.unwrap(), begun);
    assert_eq!((second - first, sets().await - second), (1, 1));
    let (response, before) = (Bytes::from("done"), sets().await);
    let finished = idempotency.finish(&request, &response, ttl).await.unwrap();
    assert_eq!(idempotency.finish(&request, &response, ttl).await.unwrap(), finished);
    assert_eq!(sets().await - before, 2);
    drop(replica);
}

#[tokio::test]
async fn a_level_without_replicas_is_refused() {
    let variables = [("REDIS_STATE_LEASE_DURABILITY", "replicated"), ("REDIS_STATE_HEARTBEAT_DURABILITY", "much")];
    let own = [
        ("SERVICE_NAME", "billing"),
        ("REDIS_CONN_BASE_URL", "embedded:"),
        ("REDIS_WORKERCACHE_CONN_URL", "redis://127.0.0.1:1"),
    ];
    let environment = Environment::from_variables(own.into_iter().chain(variables));
    let refused = Stores::open(&environment).await.unwrap_err().to_string();
    for (name, why) in [("REDIS_STATE_LEASE_DURABILITY", "is 0"), ("REDIS_STATE_HEARTBEAT_DURABILITY", "is not")] {
        assert!(refused.lines().any(|line| line.contains(name) && line.contains(why)), "{refused}");
    }
}
