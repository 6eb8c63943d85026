//! The record of the layouts in a namespace.

use std::time::Duration;

use redis_link::layout::{Aggregate, Layouts};
use redis_link::{Link, LinkConfig, ServerUrl};
use testkit::{FaultProxy, RedisServer, mentions};

use crate::{namespace, service};
use state_store::{StateOptions, StateStore};

async fn record(server: &RedisServer) -> String {
    server.command(&["GET", "test:layouts"]).await.unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_record_gains_the_kinds_of_data_that_it_does_not_have() {
    let server = RedisServer::state().start().await.unwrap();
    server.command(&["SET", "test:layouts", "queue 4 lease 1 quota 7"]).await.unwrap();
    crate::open(&server.url(None), StateOptions::default()).await.unwrap();
    let all = "queue 4 lease 1 quota 7 pool 1 idempotency 1 resume_token 1 step 1 run 1 topic 1 retry 1";
    assert_eq!(record(&server).await, all);
}

/// Another store changes the record after this one has read it and before this one writes it.
#[tokio::test]
async fn two_stores_that_record_layouts_at_the_same_time_lose_none() {
    let server = RedisServer::state().start().await.unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    crate::open(&server.url(None), StateOptions::default()).await.unwrap();
    let before = record(&server).await;
    let url = ServerUrl::parse(&server.url_through(&proxy, None)).unwrap();
    let config = LinkConfig::new(url, "tests:next").with_command_timeout(Duration::from_secs(10));
    let next = Link::connect(config).await.unwrap().with_layouts(Layouts::default().with(Aggregate::Lease, 1, 2));
    proxy.hold_at_request(mentions("resume_token"));
    let newest = StateOptions::default().with_newest_layouts(true);
    let (opened, ()) = tokio::join!(StateStore::open(next, namespace(), service(), newest), async {
        proxy.wait_fired(1).await;
        server.command(&["SET", "test:layouts", &format!("{before} quota 7")]).await.unwrap();
        proxy.pass().await;
    });
    opened.unwrap();
    assert_eq!(record(&server).await, format!("{} quota 7", before.replace("lease 1", "lease 2")));
}
