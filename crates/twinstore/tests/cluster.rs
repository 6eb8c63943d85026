//! The worker state store on a cluster, through failovers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod working;

use testkit::{Cluster, DEADLINE, RedisServer, wait_until};
use twinstore::config::StoresOptions;
use twinstore::prelude::*;

use working::works_through;

fn environment(cache: &RedisServer, cluster: &Cluster) -> Environment {
    let hosts: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    Environment::from_variables([
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", cache.url(None)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", format!("redis-cluster://{}", hosts.join(","))),
        ("REDIS_STATE_MIN_REPLICAS", "1".to_owned()),
    ])
}

async fn started() -> (RedisServer, Cluster) {
    let cluster = Cluster::builder().node(RedisServer::state()).start();
    let (cache, cluster) = tokio::join!(RedisServer::cache().start(), cluster);
    (cache.unwrap(), cluster.unwrap())
}

/// A write that the replica has acknowledged survives the death of the primary. The queue has a partition on each of the three
/// primaries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_job_is_lost_when_primaries_die() {
    let (cache, cluster) = started().await;
    let options = StoresOptions::new().with_partitions(QueueName::new("mails").unwrap(), 3);
    let stores = Stores::open_with(&environment(&cache, &cluster), options).await.unwrap();
    works_through(&stores, async || {
        let primary = &cluster.nodes()[1];
        primary.kill().await;
        cluster.wait_for_failover(8000, primary).await;
        // Without a replica, no write to these slots can be confirmed.
        primary.start_again().await.unwrap();
        cluster.wait_settled().await;
    })
    .await;
    stores.close().await;
}

#[tokio::test]
async fn leaderships_and_leases_are_found_whatever_their_slot() {
    let (cache, cluster) = started().await;
    let stores = Stores::open(&environment(&cache, &cluster)).await.unwrap();
    assert!(stores.health().await.is_ready());
    let leases = stores.state().leases();
    for number in 0..12 {
        let name = twinstore::lease::LeaseName::new(format!("report-{number}")).unwrap();
        let holder = twinstore::name::HolderName::unique("billing").unwrap();
        let candidate = stores.state().candidate(name.clone(), holder).campaign().unwrap();
        wait_until("it leads", DEADLINE, async || candidate.is_leader()).await;
        assert!(leases.inspect(&name).await.unwrap().is_some());
    }
    stores.close().await;
}
