//! A name that leads to another server after the start.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use testkit::{DEADLINE, FaultProxy, RedisServer, wait_until};
use twinstore::Role;
use twinstore::prelude::*;

/// The codes of what is wrong with a role.
async fn wrong(stores: &Stores, role: Role) -> BTreeSet<&'static str> {
    stores.health().await.of(role).wrong.iter().map(|finding| finding.code.name()).collect()
}

/// At the start the stores are two servers. Then the name of the cache gets the address of the worker state store.
#[tokio::test]
async fn a_cache_whose_name_moves_to_the_state_server_makes_a_pod_unready_until_it_moves_back() {
    let (cache, state) = tokio::join!(RedisServer::cache().start(), RedisServer::state().start());
    let (cache, state) = (cache.unwrap(), state.unwrap());
    let name = FaultProxy::start(cache.address()).await.unwrap();
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", cache.url_through(&name, None)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", state.url(None)),
    ]);
    let stores = Stores::open(&environment).await.unwrap();
    assert!(stores.health().await.is_ready());
    name.lead_to(state.address());
    name.cut_connections().await;
    let is_found = async || wrong(&stores, Role::State).await.contains("same-instance");
    wait_until("one server for both roles is found", DEADLINE, is_found).await;
    assert_eq!(wrong(&stores, Role::State).await, BTreeSet::from(["same-instance"]));
    assert_eq!(wrong(&stores, Role::Cache).await, BTreeSet::from(["role-mismatch", "same-instance"]));
    assert!(!stores.health().await.is_ready());

    name.lead_to(cache.address());
    name.cut_connections().await;
    wait_until("the pod is ready", DEADLINE, async || stores.health().await.is_ready()).await;
    assert!(wrong(&stores, Role::Cache).await.is_empty());
    stores.close().await;
}
