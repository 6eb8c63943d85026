//! The worker on a queue of 12 partitions in a cluster of which one node does not answer.

use std::time::Duration;

use redis_link::keys::QueueKeys;
use store_core::{Durability, Namespace, NewJob, Queue, RetryPolicy};
use testkit::{Cluster, DEADLINE, FaultProxy, RedisServer, wait_until};

use super::{Ran, Running, open, queue, recording};

const PARTITIONS: u16 = 12;

/// The proxy before the node that has a partition. It has four.
async fn proxy_of(cluster: &Cluster, partition: u16) -> &FaultProxy {
    let keys = QueueKeys::new(&Namespace::new("test").unwrap(), &queue(), partition, PARTITIONS);
    cluster.proxy(cluster.owner(cluster.slot(&keys.meta).await.unwrap()).await)
}

/// The leases last for the default of 15 s, and the jobs have one attempt.
#[tokio::test]
async fn jobs_of_other_partitions_run_once_while_a_node_does_not_answer() {
    let builder = Cluster::builder().node(RedisServer::state()).replicas(0).through_proxies();
    let cluster = builder.start().await.unwrap();
    let hosts: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    let url = format!("redis-cluster://{}", hosts.join(","));
    let store = open(&url, PARTITIONS, Duration::from_secs(1)).await;
    for _ in 0..PARTITIONS {
        // Pushes take turns.
        let job = NewJob::new("").with_retry(RetryPolicy::never());
        let _receipt = store.push(&queue(), &[job], Durability::Accepted).await.unwrap();
    }
    let silent = proxy_of(&cluster, 5).await;
    silent.blackhole().await;
    let ran = Ran::default();
    let worker = Running::start(recording(&store, &ran));
    wait_until("the other jobs are done", DEADLINE, async || worker.handle.stats().completed == 8).await;
    silent.pass().await;
    wait_until("all jobs are done", DEADLINE, async || worker.handle.stats().completed == 12).await;
    ran.assert_each_once();
    worker.shutdown().await;
}
