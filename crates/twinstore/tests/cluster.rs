//! The worker state store on a cluster, through failovers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use testkit::{Cluster, DEADLINE, RedisServer, wait_until};
use twinstore::config::StoresOptions;
use twinstore::prelude::*;

const JOBS: u64 = 600;

#[derive(serde::Serialize, serde::Deserialize)]
struct Mail(u64);

impl JobType for Mail {
    const QUEUE: &'static str = "mails";
}

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

/// What a replica has acknowledged survives the death of its primary. The queue has a partition on each of the three.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_job_is_lost_when_primaries_die() {
    let (cache, cluster) = started().await;
    let options = StoresOptions::new().with_partitions(QueueName::new("mails").unwrap(), 3);
    let stores = Stores::open_with(&environment(&cache, &cluster), options).await.unwrap();
    let handled = Arc::new(Mutex::new(BTreeMap::new()));
    let seen = Arc::clone(&handled);
    let worker = stores.state().worker().with_handler(move |mail: Mail, _: Job| {
        let seen = Arc::clone(&seen);
        async move {
            *seen.lock().unwrap().entry(mail.0).or_insert(0) += 1;
            Ok(())
        }
    });
    let worker = worker.build().unwrap();
    let handle = worker.handle();
    let running = tokio::spawn(worker.run());

    let queue = stores.state().queue_of::<Mail>();
    let pushed = async {
        for number in 0..JOBS {
            // The id makes the job the same one, however often the push is tried.
            let job = queue.job(&Mail(number)).unwrap().with_id(JobId::new(format!("mail-{number}")).unwrap());
            wait_until("the job is pushed", DEADLINE, async || queue.push_one(job.clone()).await.is_ok()).await;
        }
    };
    let killed = async {
        wait_until("a third is handled", DEADLINE, async || handled.lock().unwrap().len() > 200).await;
        let primary = &cluster.nodes()[1];
        primary.kill().await;
        cluster.wait_for_failover(8000, primary).await;
        // Without a replica, no write to its slots reaches one.
        primary.start_again().await.unwrap();
        cluster.wait_settled().await;
    };
    tokio::join!(pushed, killed);
    wait_until("each job is handled", DEADLINE, async || handled.lock().unwrap().len() == JOBS as usize).await;
    handle.shutdown();
    running.await.unwrap().unwrap();
    stores.close().await;
}

#[tokio::test]
async fn claims_leases_and_keys_are_found_whatever_their_slot() {
    let (cache, cluster) = started().await;
    let stores = Stores::open(&environment(&cache, &cluster)).await.unwrap();
    assert!(stores.health().await.is_ready());
    let (leases, idempotency) = (stores.state().leases(), stores.state().idempotency());
    for number in 0..12 {
        let name = twinstore::lease::LeaseName::new(format!("report-{number}")).unwrap();
        let holder = twinstore::name::HolderName::unique("billing").unwrap();
        let candidate = stores.state().candidate(name.clone(), holder).campaign().unwrap();
        wait_until("it leads", DEADLINE, async || candidate.is_leader()).await;
        assert!(leases.inspect(&name).await.unwrap().is_some());
    }
    drop(idempotency);
    stores.close().await;
}
