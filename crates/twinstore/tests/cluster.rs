//! The worker state store on a cluster, through failovers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod working;

use std::collections::BTreeSet;
use std::time::Duration;

use store_core::{AcquireRequest, Acquired, Beat, ClaimRequest, Outcome};
use testkit::{Cluster, DEADLINE, RedisServer, wait_until};
use twinstore::config::StoresOptions;
use twinstore::health::Pressure;
use twinstore::heartbeat::PoolName;
use twinstore::lease::LeaseName;
use twinstore::name::HolderName;
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

/// A node that evicts data becomes a primary, and the cluster is marked as a cache meanwhile.
#[tokio::test]
async fn a_wrong_node_that_becomes_a_primary_makes_a_pod_unready_until_it_is_corrected() {
    let (cache, cluster) = started().await;
    let stores = Stores::open(&environment(&cache, &cluster)).await.unwrap();
    assert!(stores.health().await.is_ready());
    assert!(format!("{stores:?}").contains("(State, \"cluster with the primaries 127.0.0.1:"), "{stores:?}");
    let mark = "twinstore:role";
    let primary = cluster.owner(cluster.slot(mark).await.unwrap()).await;
    let replica = cluster.replicas_of(primary).await.remove(0);
    replica.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    primary.command(&["SET", mark, "cache"]).await.unwrap();
    cluster.failover(replica).await;
    let codes = async || {
        let wrong = stores.health().await.state.wrong;
        wrong.iter().map(|finding| finding.code.name()).collect::<BTreeSet<_>>()
    };
    let expected = BTreeSet::from(["role-mismatch", "state-evicts"]);
    wait_until("both are found", DEADLINE, async || codes().await == expected).await;
    assert!(!stores.health().await.is_ready());
    replica.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await.unwrap();
    replica.command(&["SET", mark, "state"]).await.unwrap();
    wait_until("the pod is ready", DEADLINE, async || stores.health().await.is_ready()).await;
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

/// Values of 100 kB in the slot of one key, until the node uses this many bytes.
const FILL: &str = "local value, used, n = string.rep('x', 100000), 0, 0
    repeat
      n = n + 1
      redis.call('SET', KEYS[1] .. n, value)
      used = tonumber(string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)'))
    until used >= tonumber(ARGV[1])";

/// Waits until the pressure has this level.
async fn until(stores: &Stores, level: Pressure) {
    let mut pressure = stores.state().pressure();
    let reached = pressure.wait_for(|reading| reading.level == level);
    tokio::time::timeout(DEADLINE, reached).await.expect("the level is reached").unwrap();
}

/// The fullest primary counts: while one is full, nothing that adds data is sent to any, and everything else runs on all.
#[tokio::test]
async fn one_full_primary_stops_what_adds_data_and_nothing_else() {
    const HOUR: Duration = Duration::from_secs(3600);
    let node = RedisServer::state().config("maxmemory", "32mb");
    let cluster = Cluster::builder().node(node).replicas(0).start();
    let (cache, cluster) = tokio::join!(RedisServer::cache().start(), cluster);
    let (cache, cluster) = (cache.unwrap(), cluster.unwrap());
    let hosts: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    let environment = Environment::from_variables([
        ("SERVICE_NAME", "billing".to_owned()),
        ("REDIS_CONN_BASE_URL", cache.url(None)),
        ("REDIS_CACHE_DB", "3".to_owned()),
        ("REDIS_WORKERCACHE_CONN_URL", format!("redis-cluster://{}", hosts.join(","))),
    ]);
    let (name, holder) = (QueueName::new("mails").unwrap(), HolderName::new("worker").unwrap());
    let options = StoresOptions::new().with_partitions(name.clone(), 3);
    let stores = Stores::open_with(&environment, options).await.unwrap();
    until(&stores, Pressure::Normal).await;
    let queue = stores.state().queue();
    for _ in 0..3 {
        let jobs: Vec<_> = (0..10).map(|_| NewJob::new("1")).collect();
        let _pushed = queue.push(&name, &jobs, Durability::Accepted).await.unwrap();
    }
    for node in cluster.nodes() {
        assert!(node.command(&["DBSIZE"]).await.unwrap().as_integer() > Some(0), "each node has a partition");
    }

    let slot = cluster.slot("{filling}").await.unwrap();
    let full = cluster.owner(slot).await;
    let limit = 32 << 20;
    full.command(&["EVAL", FILL, "1", "{filling}", &(limit * 87 / 100).to_string()]).await.unwrap();
    until(&stores, Pressure::Critical).await;
    let reading = stores.state().pressure().borrow().clone();
    assert!(reading.used_percent() >= Some(85) && reading.max_memory == Some(limit), "{reading:?}");
    let health = stores.health().await;
    assert!(health.is_ready() && !health.accepts_data(), "{health:?}");
    // Pushes take turns: each of the three partitions is the next one once.
    for _ in 0..3 {
        let refused = queue.push_one(&name, NewJob::new("1")).await;
        assert!(matches!(refused, Err(Error::Limit { retry_after: Some(_), .. })), "{refused:?}");
    }
    let mut settled = 0;
    while settled < 30 {
        let request = ClaimRequest::new(name.clone(), holder.clone(), 30, HOUR);
        for job in queue.claim(&request).await.unwrap().jobs {
            queue.settle_one(&name, job.lease, Outcome::Complete(None)).await.unwrap();
            settled += 1;
        }
    }
    for number in 0..12 {
        let lease = AcquireRequest::new(LeaseName::new(format!("report-{number}")).unwrap(), holder.clone(), HOUR);
        let acquired = stores.state().leases().acquire(&lease, Durability::Accepted).await.unwrap().value;
        let Acquired::Yes(held) = acquired else { panic!("it is free") };
        assert!(stores.state().leases().renew(&held, HOUR).await.unwrap().is_some());
        let pool = PoolName::new(format!("pool-{number}")).unwrap();
        stores.state().heartbeats().beat(&Beat::new(pool, holder.clone(), HOUR)).await.unwrap();
    }

    full.command(&["FLUSHALL", "SYNC"]).await.unwrap();
    until(&stores, Pressure::Normal).await;
    assert!(stores.health().await.accepts_data());
    queue.push_one(&name, NewJob::new("1")).await.unwrap();
    stores.close().await;
}
