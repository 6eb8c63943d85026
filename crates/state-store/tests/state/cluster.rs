//! The store on a cluster: workers wait on the node of each partition, and slots move while they wait.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_link::keys::QueueKeys;
use state_store::{StateOptions, StateStore};
use store_core::{
    ClaimRequest, Durability, Error, Extension, HolderName, Inventory, NewJob, Outcome, Queue, QueueName, REGISTRATION,
    Settlement, Waiter, Wakeup,
};
use testkit::{Cluster, DEADLINE, RedisServer, wait_until};

use crate::{namespace, open};

const LEASE: Duration = Duration::from_secs(60);
/// How soon a worker gets a job whose slot has moved.
const SOON: Duration = Duration::from_secs(1);

fn queue() -> QueueName {
    QueueName::new("mails").unwrap()
}

fn url_of(cluster: &Cluster) -> String {
    let hosts: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    format!("redis-cluster://{}", hosts.join(","))
}

async fn started() -> Cluster {
    Cluster::builder().node(RedisServer::state()).start().await.unwrap()
}

/// The store of one process, with its own channels.
async fn process(cluster: &Cluster, partitions: u16) -> StateStore {
    open(&url_of(cluster), StateOptions::default().with_partitions(queue(), partitions)).await.unwrap()
}

/// A waiter whose claim found nothing, and which reserves jobs.
async fn registered(store: &StateStore, reserve: usize) -> Arc<dyn Waiter> {
    let waiter = store.waiter();
    let found = waiter.claim(&request(reserve), reserve).await.unwrap();
    assert!(found.jobs.is_empty());
    waiter
}

fn request(max: usize) -> ClaimRequest {
    ClaimRequest::new(queue(), HolderName::new("waiter").unwrap(), max, LEASE)
}

async fn push(store: &StateStore, name: &str) -> Result<(), Error> {
    let durability = Durability::Replicated { replicas: 1, within: DEADLINE };
    store.push(&queue(), &[NewJob::new(name.to_owned())], durability).await.map(drop)
}

/// The payloads of the jobs that come next, as a worker gets them: handed over, or claimed after a notification.
/// A claim that finds as many jobs as requested does not register the waiter, so the next claim follows immediately.
async fn received(waiter: &Arc<dyn Waiter>) -> Vec<String> {
    const MOST: usize = 10;
    let mut jobs = Vec::new();
    while jobs.is_empty() {
        match waiter.next(REGISTRATION).await.unwrap() {
            Some(Wakeup::Claimed { claim, .. }) => jobs = claim.jobs,
            _ => loop {
                let claimed = match waiter.claim(&request(MOST), MOST).await {
                    Ok(claim) => claim.jobs,
                    // A worker tries again, too.
                    Err(Error::Unavailable { .. }) => continue,
                    Err(error) => panic!("{error}"),
                };
                let last = claimed.len() < MOST;
                jobs.extend(claimed);
                if last {
                    break;
                }
            },
        }
    }
    jobs.iter().map(|job| String::from_utf8(job.payload.to_vec()).unwrap()).collect()
}

/// Receives until all these jobs have arrived.
async fn receive_all(waiter: &Arc<dyn Waiter>, mut missing: HashSet<String>) {
    let all = async {
        while !missing.is_empty() {
            for name in received(waiter).await {
                missing.remove(&name);
            }
        }
    };
    let waited = tokio::time::timeout(REGISTRATION + DEADLINE, all).await;
    assert!(waited.is_ok(), "lost: {missing:?}");
}

/// The slot of the only partition.
async fn slot(cluster: &Cluster) -> u16 {
    cluster.slot(&QueueKeys::new(&namespace(), &queue(), 0, 1).meta).await.unwrap()
}

fn other<'a>(cluster: &'a Cluster, owner: &RedisServer) -> &'a RedisServer {
    cluster.nodes()[..3].iter().find(|node| node.port() != owner.port()).unwrap()
}

/// How many messages the nodes have forwarded to all others.
async fn broadcasts(cluster: &Cluster) -> usize {
    let mut count = 0;
    for node in cluster.nodes() {
        let info = node.command(&["CLUSTER", "INFO"]).await.unwrap();
        let mut lines = info.as_str().unwrap().lines();
        let sent = lines.find_map(|line| line.strip_prefix("cluster_stats_messages_publish_sent:"));
        count += sent.map_or(0, |sent| sent.trim().parse::<usize>().unwrap());
    }
    count
}

#[tokio::test]
async fn jobs_of_each_partition_are_handed_over_without_a_word_to_other_nodes() {
    let cluster = started().await;
    let (consumer, producer) = (process(&cluster, 12).await, process(&cluster, 12).await);
    push(&producer, "first").await.unwrap();
    assert_eq!(consumer.claim(&request(1)).await.unwrap().jobs.len(), 1);
    let waiter = registered(&consumer, 24).await;
    let mut partitions = HashSet::new();
    for number in 0..12 {
        push(&producer, &number.to_string()).await.unwrap();
        match waiter.next(DEADLINE).await.unwrap() {
            Some(Wakeup::Claimed { claim, .. }) => {
                let [job] = claim.jobs.as_slice() else { panic!("{claim:?}") };
                assert_eq!(job.payload, number.to_string());
                partitions.insert(job.lease.partition);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((partitions.len(), broadcasts(&cluster).await), (12, 0));
}

/// The consumer sends nothing until a message arrives: its slot map is that of the start.
#[tokio::test]
async fn a_waiter_is_woken_after_its_slot_has_moved() {
    let cluster = started().await;
    let (consumer, producer) = (process(&cluster, 1).await, process(&cluster, 1).await);
    let slot = slot(&cluster).await;
    push(&producer, "first").await.unwrap();
    assert_eq!(consumer.claim(&request(1)).await.unwrap().jobs.len(), 1);
    for round in 0..3 {
        let waiter = registered(&consumer, 2).await;
        let target = other(&cluster, cluster.owner(slot).await);
        let migration = cluster.begin_migration(slot, target).await.unwrap();
        migration.move_keys(3).await.unwrap();
        let names = [0, 1].map(|number| format!("{round}: {number} while it moves"));
        // A node refuses a script if it has only some of the keys, and the push is repeated meanwhile.
        let pushes = async { tokio::join!(push(&producer, &names[0]), push(&producer, &names[1])) };
        let ((first, second), finished) = tokio::join!(pushes, migration.finish());
        finished.unwrap();
        let mut pushed = HashSet::new();
        for (name, result) in names.into_iter().zip([first, second]) {
            match result {
                Ok(()) => drop(pushed.insert(name)),
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        receive_all(&waiter, pushed).await;
        let name = format!("{round}: moved");
        push(&producer, &name).await.unwrap();
        let at = Instant::now();
        receive_all(&waiter, [name].into()).await;
        println!("round {round}: received {:?} after the push", at.elapsed());
        assert!(at.elapsed() < SOON, "{:?}", at.elapsed());
    }
}

/// While a slot moves with `MIGRATE`, both nodes refuse every script of which they have only some of the keys.
#[tokio::test]
async fn calls_wait_for_a_slot_that_moves_for_two_seconds_and_renewals_for_half_of_their_leases() {
    const HELD: Duration = Duration::from_secs(2);
    let cluster = started().await;
    let store = process(&cluster, 1).await;
    push(&store, "first").await.unwrap();
    let lease = store.claim(&request(1)).await.unwrap().jobs.remove(0).lease;
    let target = other(&cluster, cluster.owner(slot(&cluster).await).await);
    let migration = cluster.begin_migration(slot(&cluster).await, target).await.unwrap();
    migration.move_keys(1).await.unwrap();
    let begun = Instant::now();
    let (jobs, settlements) = ([NewJob::new("second")], [Settlement::new(lease.clone(), Outcome::Complete(None))]);
    let pushed = async { (store.push(&queue(), &jobs, Durability::Accepted).await, begun.elapsed()) };
    let settled = async { (store.settle(&queue(), &settlements, Durability::Accepted).await, begun.elapsed()) };
    let moved = async {
        wait_until("the slot was held", DEADLINE, async || begun.elapsed() > HELD).await;
        migration.finish().await.unwrap();
    };
    let extensions = [Extension::new(lease.clone())];
    let extended = async { (store.extend(&queue(), &extensions, Duration::from_millis(400)).await, begun.elapsed()) };
    let ((pushed, push_took), (settled, settle_took), (extended, extend_took), ()) =
        tokio::join!(pushed, settled, extended, moved);
    assert!(matches!(extended, Err(Error::Unavailable { .. })) && extend_took < HELD, "{extended:?}, {extend_took:?}");
    assert!(pushed.is_ok() && settled.is_ok(), "{pushed:?} after {push_took:?}, {settled:?} after {settle_took:?}");
    assert!(push_took > HELD && settle_took > HELD, "{push_took:?}, {settle_took:?}: the nodes refused both");
    assert_eq!(store.claim(&request(9)).await.unwrap().jobs.len(), 1, "one job was completed, and one was added once");
}

#[tokio::test]
async fn a_waiter_is_woken_after_its_slot_has_moved_in_one_operation() {
    let valkey = match testkit::servers::find("valkey-9.1") {
        Ok(valkey) => valkey,
        // `cargo xtask servers fetch` brings it.
        Err(missing) => return testkit::skipped(missing),
    };
    let node = RedisServer::state().program(valkey.program);
    let cluster = Cluster::builder().node(node).start().await.unwrap();
    let (consumer, producer) = (process(&cluster, 1).await, process(&cluster, 1).await);
    let slot = slot(&cluster).await;
    push(&producer, "first").await.unwrap();
    assert_eq!(consumer.claim(&request(1)).await.unwrap().jobs.len(), 1);
    let waiter = registered(&consumer, 100).await;
    let target = other(&cluster, cluster.owner(slot).await);
    let (mut pushed, mut number) = (HashSet::new(), 0);
    let moved = cluster.migrate_atomically(slot, target);
    tokio::pin!(moved);
    loop {
        let name = number.to_string();
        tokio::select! {
            biased;
            moved = &mut moved => {
                assert!(moved.unwrap());
                break;
            }
            result = push(&producer, &name) => match result {
                Ok(()) => drop(pushed.insert(name)),
                Err(Error::Unavailable { .. } | Error::Indeterminate { .. }) => {}
                Err(error) => panic!("{error}"),
            },
        }
        number += 1;
    }
    receive_all(&waiter, pushed).await;
    push(&producer, "moved").await.unwrap();
    let at = Instant::now();
    receive_all(&waiter, ["moved".to_owned()].into()).await;
    println!("received {:?} after the push; {number} pushes while it moved", at.elapsed());
    assert!(at.elapsed() < SOON, "{:?}", at.elapsed());
}

#[tokio::test]
async fn a_waiter_is_woken_after_a_failover() {
    for dies in [false, true] {
        let cluster = started().await;
        let (consumer, producer) = (process(&cluster, 1).await, process(&cluster, 1).await);
        let slot = slot(&cluster).await;
        push(&producer, "first").await.unwrap();
        assert_eq!(consumer.claim(&request(1)).await.unwrap().jobs.len(), 1);
        let waiter = registered(&consumer, 100).await;
        let old = cluster.owner(slot).await;
        if dies {
            old.kill().await;
            cluster.wait_for_failover(slot, old).await;
        } else {
            cluster.failover(cluster.replicas_of(old).await[0]).await;
        }
        let mut last = Instant::now();
        // No other replica may confirm a write after the primary's death.
        let name = if dies { "after its death" } else { "after a command" };
        wait_until("a push succeeds", DEADLINE, async || {
            last = Instant::now();
            let pushed = producer.push(&queue(), &[NewJob::new(name)], Durability::Accepted).await;
            pushed.is_ok()
        })
        .await;
        receive_all(&waiter, [name.to_owned()].into()).await;
        println!("{name}: received {:?} after the push", last.elapsed());
        // Nothing tells a process that a node is dead: it asks the nodes, and its claim is repeated, each after a pause.
        let soon = if dies { 2 * SOON } else { SOON };
        assert!(last.elapsed() < soon, "{:?}", last.elapsed());
    }
}

/// Each node has some of the names.
#[tokio::test]
async fn a_listing_survives_a_failover_and_slots_that_move() {
    let cluster = started().await;
    let store = open(&url_of(&cluster), StateOptions::default()).await.unwrap();
    let names: Vec<_> = (0..200).map(|number| QueueName::new(format!("queue-{number}")).unwrap()).collect();
    for name in &names {
        let _ = store.push(name, &[NewJob::new("")], Durability::Accepted).await.unwrap();
    }
    // A slot of the last node, which moves to the first node after the listing has visited that.
    let moving = |name: &QueueName| QueueKeys::new(&namespace(), name, 0, 1).meta;
    let mut of_last = Vec::new();
    for name in &names {
        let slot = cluster.slot(&moving(name)).await.unwrap();
        if cluster.owner(slot).await.port() == cluster.nodes()[2].port() {
            of_last.push(slot);
        }
    }
    let (mut listed, mut cursor, mut pages) = (HashSet::new(), None, 0);
    loop {
        let page = store.queues(cursor).await.unwrap();
        listed.extend(page.items);
        pages += 1;
        if pages == 1 {
            let migration = cluster.begin_migration(of_last[0], &cluster.nodes()[0]).await.unwrap();
            migration.finish().await.unwrap();
            cluster.failover(cluster.replicas_of(&cluster.nodes()[1]).await[0]).await;
            // A call shows the change.
            for name in &names {
                let _ = store.push(name, &[NewJob::new("")], Durability::Accepted).await.unwrap();
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let missing: Vec<_> = names.iter().filter(|name| !listed.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} after {pages} pages");
    assert!(pages > 3, "{pages}");
}

/// The commands that the nodes have executed for clients and in scripts.
async fn commands(cluster: &Cluster) -> Vec<u64> {
    let mut counts = Vec::new();
    for node in &cluster.nodes()[..3] {
        let info = node.command(&["INFO", "commandstats"]).await.unwrap();
        let of_data = |line: &&str| {
            let own = ["cmdstat_info:", "cmdstat_cluster|", "cmdstat_replconf:", "cmdstat_ping:"];
            line.starts_with("cmdstat_") && !own.iter().any(|own| line.starts_with(own))
        };
        let calls = |line: &str| line.split_once("calls=")?.1.split_once(',')?.0.parse::<u64>().ok();
        counts.push(info.as_str().unwrap().lines().filter(of_data).filter_map(calls).sum());
    }
    counts
}

#[tokio::test]
async fn a_queue_of_12_partitions_uses_each_of_three_primaries_alike() {
    let cluster = started().await;
    let store = process(&cluster, 12).await;
    let before = commands(&cluster).await;
    let mut done = 0;
    for _ in 0..120 {
        let jobs: Vec<_> = (0..5).map(|number| NewJob::new(number.to_string())).collect();
        let _ = store.push(&queue(), &jobs, Durability::Accepted).await.unwrap();
        let claimed = store.claim(&request(5)).await.unwrap().jobs;
        done += claimed.len();
        let settlements: Vec<_> =
            claimed.into_iter().map(|job| Settlement::new(job.lease, Outcome::Complete(None))).collect();
        let _ = store.settle(&queue(), &settlements, Durability::Accepted).await.unwrap();
    }
    assert_eq!(done, 600);
    let after = commands(&cluster).await;
    let used: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let all: u64 = used.iter().sum();
    println!("commands of each primary: {used:?}");
    for of_one in used {
        assert!((25..=42).contains(&(of_one * 100 / all)), "{of_one} of {all}");
    }
}
