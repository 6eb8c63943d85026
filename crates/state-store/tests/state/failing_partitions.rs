//! Claims from a queue of three partitions, one on each node of a cluster, of which one does not answer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use redis_link::keys::QueueKeys;
use state_store::{StateOptions, StateStore};
use store_core::{
    Claim, ClaimRequest, Durability, Error, HolderName, NewJob, Queue, QueueInspect, QueueName, RequestId,
};
use testkit::{Cluster, DEADLINE, FaultProxy, RedisServer, wait_until};

use crate::{namespace, open_within};

const PARTITIONS: u16 = 3;
/// No lease ends during a test.
const LEASE: Duration = Duration::from_secs(3600);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest time for which claims leave a partition out.
const LONGEST: Duration = Duration::from_secs(5);

fn queue() -> QueueName {
    QueueName::new("mails").unwrap()
}

/// A cluster, and a store whose queue has one job in each partition.
async fn started() -> (Cluster, StateStore) {
    let builder = Cluster::builder().node(RedisServer::state()).replicas(0).through_proxies();
    let cluster = builder.start().await.unwrap();
    let hosts: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    let options = StateOptions::default().with_partitions(queue(), PARTITIONS);
    let url = format!("redis-cluster://{}", hosts.join(","));
    let store = open_within(&url, options, COMMAND_TIMEOUT).await.unwrap();
    push_everywhere(&store).await;
    (cluster, store)
}

/// Pushes take turns.
async fn push_everywhere(store: &StateStore) {
    for _ in 0..PARTITIONS {
        let _receipt = store.push(&queue(), &[NewJob::new("")], Durability::Accepted).await.unwrap();
    }
}

/// The proxy before the node that has a partition.
async fn proxy_of(cluster: &Cluster, partition: u16) -> &FaultProxy {
    let keys = QueueKeys::new(&namespace(), &queue(), partition, PARTITIONS);
    cluster.proxy(cluster.owner(cluster.slot(&keys.meta).await.unwrap()).await)
}

/// A claim that visits the partitions from `first` on.
fn request(first: u16) -> ClaimRequest {
    let mut request = ClaimRequest::new(queue(), HolderName::new("worker").unwrap(), 10, LEASE);
    let start = |request: &ClaimRequest| u16::from_be_bytes(*request.request.as_bytes().first_chunk().unwrap());
    while start(&request) % PARTITIONS != first {
        request.request = RequestId::generate();
    }
    request
}

fn partitions(claim: &Claim) -> BTreeSet<u16> {
    assert!(claim.jobs.iter().all(|job| job.attempt == 1));
    claim.jobs.iter().map(|job| job.lease.partition).collect()
}

#[tokio::test]
async fn a_partition_whose_reply_is_lost_again_and_again_holds_up_no_other_one() {
    let (cluster, store) = started().await;
    let silent = proxy_of(&cluster, 1).await;
    silent.blackhole().await;
    let first = request(0);
    let lost = store.claim(&first).await;
    assert!(matches!(lost, Err(Error::Indeterminate { .. })), "{lost:?}");
    let repeated = store.claim(&first.repeated()).await.unwrap();
    assert_eq!(partitions(&repeated), BTreeSet::from([0, 2]));
    assert!(repeated.next.is_some_and(|next| next <= LONGEST), "{:?}", repeated.next);

    let begun = Instant::now();
    let claim = store.claim(&request(1)).await.unwrap();
    assert!(claim.jobs.is_empty() && claim.next.is_some_and(|next| next <= LONGEST), "{claim:?}");
    assert!(begun.elapsed() < COMMAND_TIMEOUT / 2, "it did not wait for the partition: {:?}", begun.elapsed());

    silent.pass().await;
    let works_again = async || store.claim(&request(2)).await.is_ok_and(|claim| partitions(&claim).contains(&1));
    wait_until("the partition is tried again", DEADLINE, works_again).await;
}

#[tokio::test]
async fn a_claim_passes_a_partition_that_is_down() {
    let (cluster, store) = started().await;
    let down = proxy_of(&cluster, 0).await;
    down.reset().await;
    let is_noticed = async || matches!(store.counts(&queue()).await, Err(Error::Unavailable { .. }));
    wait_until("the store has no connection to it", DEADLINE, is_noticed).await;
    let claim = store.claim(&request(0)).await.unwrap();
    assert_eq!(partitions(&claim), BTreeSet::from([1, 2]));
    // The others have no more jobs, which is an answer.
    let claim = store.claim(&request(0)).await.unwrap();
    assert!(claim.jobs.is_empty() && claim.next.is_some_and(|next| next <= LONGEST), "{claim:?}");

    for partition in 1..PARTITIONS {
        proxy_of(&cluster, partition).await.reset().await;
    }
    let all_are_down = async || matches!(store.claim(&request(0)).await, Err(Error::Unavailable { .. }));
    wait_until("no partition answers", DEADLINE, all_are_down).await;
    for partition in 0..PARTITIONS {
        proxy_of(&cluster, partition).await.pass().await;
    }
    let works_again = async || store.claim(&request(1)).await.is_ok_and(|claim| partitions(&claim).contains(&0));
    wait_until("the partition is tried again", DEADLINE, works_again).await;
}
