//! Queues of several partitions whose shape is lost while processes run.

use std::collections::BTreeSet;

use redis_link::keys::QueueKeys;
use state_store::{StateOptions, StateStore};
use store_core::{
    AgentName, Durability, Error, Homes, NewJob, NewRun, Outcome, QueueControl, QueueExt, QueueInspect, RunId,
    RunOutcome, Settled, Unique, UniqueKey, UniqueUntil,
};
use testkit::{Cluster, DEADLINE, RedisServer, wait_until};

use super::invariants::every_call;
use super::{claim, queue, settle};
use crate::{namespace, open, schedules};

const PARTITIONS: u16 = 4;
/// The key of the authoritative shape.
const AUTHORITY: &str = "test:{q.mail.0}:meta";

/// Several processes on one server or cluster.
struct Fixture {
    url: String,
    server: RedisServer,
}

impl Fixture {
    async fn new() -> Self {
        let server = RedisServer::state().start().await.unwrap();
        Self { url: server.url(None), server }
    }

    async fn process(&self) -> StateStore {
        process(&self.url).await
    }

    async fn command(&self, command: &[&str]) {
        self.server.command(command).await.unwrap();
    }

    /// The authoritative shape, then that of each partition.
    async fn shapes(&self) -> Vec<Option<String>> {
        let mut shapes = Vec::new();
        for key in std::iter::once(AUTHORITY.to_owned()).chain(metas()) {
            let shape = self.server.command(&["HGET", &key, "shape"]).await.unwrap();
            shapes.push(shape.as_str().map(str::to_owned));
        }
        shapes
    }

    /// Asserts that all processes work in all partitions, and that the queue has one shape.
    async fn check(&self, processes: &[&StateStore]) {
        work(processes).await;
        let shapes: BTreeSet<_> = self.shapes().await.into_iter().collect();
        assert!(shapes.len() == 1 && !shapes.contains(&None), "{shapes:?}");
    }
}

async fn process(url: &str) -> StateStore {
    open(url, StateOptions::default().with_partitions(queue(), PARTITIONS)).await.unwrap()
}

fn metas() -> impl Iterator<Item = String> {
    (0..PARTITIONS).map(|index| QueueKeys::new(&namespace(), &queue(), index, PARTITIONS).meta)
}

fn keyed(number: u32) -> NewJob {
    let key = UniqueKey::new(format!("key {number}")).unwrap();
    NewJob::new("").with_unique(Unique::new(key, UniqueUntil::Finished))
}

/// Each process pushes to all partitions. A unique key that one process holds is held for all others. Then all jobs are completed.
async fn work(processes: &[&StateStore]) {
    const KEYS: u32 = 20;
    let mut pushed = 0;
    for store in processes {
        for _ in 0..2 * PARTITIONS {
            store.push_one(&queue(), NewJob::new("")).await.unwrap();
        }
        for number in 0..KEYS {
            pushed += u32::from(store.push_one(&queue(), keyed(number)).await.unwrap().is_new());
        }
    }
    assert_eq!(pushed, KEYS, "each unique key has one job");
    let expected = KEYS as usize + processes.len() * 2 * usize::from(PARTITIONS);
    assert_eq!(processes[0].counts(&queue()).await.unwrap().ready, expected as u64);
    let mut done = 0;
    for store in processes.iter().cycle() {
        let jobs = claim(store, 10).await.jobs;
        for job in &jobs {
            assert_eq!(settle(store, job, Outcome::Complete(None)).await, Settled::Done);
        }
        done += jobs.len();
        if done >= expected {
            break;
        }
    }
}

async fn no_call_is_corrupt(store: &StateStore) {
    let calls = every_call(store, &queue()).await.into_iter().chain(schedules::every_call(store, &queue()).await);
    for (call, answer) in calls {
        assert!(!matches!(answer, Err(Error::Corrupt { .. })), "{call}: {answer:?}");
    }
}

#[tokio::test]
async fn a_producer_restores_the_shape_of_an_emptied_server() {
    let fixture = Fixture::new().await;
    let old = fixture.process().await;
    fixture.check(&[&old]).await;
    let before = fixture.shapes().await;
    for is_keyed in [false, true] {
        fixture.command(&["FLUSHALL"]).await;
        let job = if is_keyed { keyed(1) } else { NewJob::new("") };
        assert!(old.push_one(&queue(), job).await.unwrap().is_new());
        assert_eq!(fixture.shapes().await, before);
        let new = fixture.process().await;
        assert_eq!(claim(&new, 10).await.jobs.len(), 1);
        fixture.command(&["FLUSHALL"]).await;
        fixture.check(&[&old, &new]).await;
    }
}

#[tokio::test]
async fn a_producer_adopts_the_shape_that_a_new_process_has_recorded_on_an_emptied_server() {
    let fixture = Fixture::new().await;
    let old = fixture.process().await;
    fixture.check(&[&old]).await;
    let before = fixture.shapes().await;
    fixture.command(&["FLUSHALL"]).await;
    let new = fixture.process().await;
    fixture.check(&[&new]).await;
    assert_ne!(fixture.shapes().await, before);
    fixture.check(&[&old, &new]).await;
    for store in [&old, &new] {
        no_call_is_corrupt(store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_processes_that_restore_the_shape_at_the_same_time_one_decides() {
    let fixture = Fixture::new().await;
    for _ in 0..10 {
        let (old, new) = (fixture.process().await, fixture.process().await);
        work(&[&old]).await;
        fixture.command(&["FLUSHALL"]).await;
        let pushing = [&old, &new].map(|store| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..PARTITIONS {
                    store.push_one(&queue(), NewJob::new(number.to_string())).await.unwrap();
                }
            })
        });
        for task in pushing {
            task.await.unwrap();
        }
        assert_eq!(claim(&old, 100).await.jobs.len(), 2 * usize::from(PARTITIONS));
        fixture.command(&["FLUSHALL"]).await;
        fixture.check(&[&new, &old]).await;
    }
}

#[tokio::test]
async fn a_new_process_restores_a_lost_authoritative_shape_from_a_copy() {
    let fixture = Fixture::new().await;
    let old = fixture.process().await;
    let job = old.push_one(&queue(), keyed(1)).await.unwrap();
    assert!(job.is_new());
    let before = fixture.shapes().await;
    // One copy is enough.
    for lost in std::iter::once(AUTHORITY.to_owned()).chain(metas().skip(1)) {
        fixture.command(&["HDEL", &lost, "shape"]).await;
    }
    let new = fixture.process().await;
    assert!(!new.push_one(&queue(), keyed(1)).await.unwrap().is_new());
    assert_eq!(fixture.shapes().await, before);
    let jobs = claim(&new, 10).await.jobs;
    assert_eq!(settle(&old, &jobs[0], Outcome::Complete(None)).await, Settled::Done);
    fixture.check(&[&old, &new]).await;
    assert_eq!(fixture.shapes().await, before);
}

#[tokio::test]
async fn a_lost_copy_is_recorded_again_from_the_authoritative_shape() {
    let fixture = Fixture::new().await;
    let old = fixture.process().await;
    fixture.check(&[&old]).await;
    let before = fixture.shapes().await;
    for lost in metas() {
        fixture.command(&["DEL", &lost]).await;
        let new = fixture.process().await;
        fixture.check(&[&old, &new]).await;
        fixture.command(&["DEL", &lost]).await;
        fixture.check(&[&new, &old]).await;
        assert_eq!(fixture.shapes().await, before);
    }
}

/// A process that declares no number of partitions has read it.
#[tokio::test]
async fn a_process_without_a_declared_number_restores_the_one_that_it_has_read() {
    let fixture = Fixture::new().await;
    work(&[&fixture.process().await]).await;
    let undeclared = open(&fixture.url, StateOptions::default()).await.unwrap();
    work(&[&undeclared]).await;
    let before = fixture.shapes().await;
    fixture.command(&["FLUSHALL"]).await;
    undeclared.push_one(&queue(), NewJob::new("")).await.unwrap();
    assert_eq!(fixture.shapes().await, before);
    fixture.command(&["FLUSHALL"]).await;
    undeclared.pause(&queue()).await.unwrap();
    assert_eq!(fixture.shapes().await, before);
    undeclared.resume(&queue()).await.unwrap();
    fixture.command(&["FLUSHALL"]).await;
    schedules::put(&undeclared, &queue(), "a").await.unwrap();
    assert_eq!(fixture.shapes().await, before);
}

/// The scripts of a home do not compare the shape.
#[tokio::test]
async fn a_home_is_the_same_for_all_processes_after_a_restart_without_the_data() {
    let fixture = Fixture::new().await;
    let homes = |store: &StateStore| {
        let home = |number: u8| {
            let key = UniqueKey::new(number.to_string()).unwrap();
            (RunId::new(number.to_string()).unwrap(), store.home(&queue(), &key).runs())
        };
        (0..8).map(home).collect::<Vec<_>>()
    };
    let create = async |store: &StateStore| {
        for (run, runs) in homes(store) {
            let new = NewRun::new(run, AgentName::new("importer").unwrap());
            assert!(matches!(runs.create(&new, Durability::Accepted).await.unwrap().value, RunOutcome::Done(_)));
        }
    };
    let read = async |store: &StateStore| {
        for (run, runs) in homes(store) {
            assert!(runs.get(&run).await.unwrap().is_some(), "{run}");
        }
    };
    let (old, reader) = (fixture.process().await, fixture.process().await);
    create(&old).await;
    read(&reader).await;
    let before = fixture.shapes().await;
    for new_is_first in [false, true] {
        fixture.command(&["FLUSHALL"]).await;
        fixture.server.kill().await;
        fixture.server.start_again().await.unwrap();
        for store in [&old, &reader] {
            wait_until("it is connected", DEADLINE, async || store.counts(&queue()).await.is_ok()).await;
        }
        let new = fixture.process().await;
        let (writer, others) = if new_is_first { (&new, [&old, &reader]) } else { (&old, [&new, &reader]) };
        create(writer).await;
        for other in others {
            read(other).await;
        }
        assert_eq!(fixture.shapes().await == before, !new_is_first);
    }
}

/// Each node has lost its data, one after the other.
#[tokio::test]
async fn in_a_cluster_the_shape_survives_the_loss_of_each_node() {
    let cluster = Cluster::builder().node(RedisServer::state()).start().await.unwrap();
    let hosts: Vec<_> = cluster.addresses().iter().map(ToString::to_string).collect();
    let url = format!("redis-cluster://{}", hosts.join(","));
    let old = process(&url).await;
    work(&[&old]).await;
    for number in 0..3 {
        cluster.nodes()[number].command(&["FLUSHALL"]).await.unwrap();
        let new = process(&url).await;
        let both = if number % 2 == 0 { [&new, &old] } else { [&old, &new] };
        work(&both).await;
        cluster.nodes()[number].command(&["FLUSHALL"]).await.unwrap();
        work(&[both[1], both[0]]).await;
    }
    for node in &cluster.nodes()[..3] {
        node.command(&["FLUSHALL"]).await.unwrap();
    }
    work(&[&old, &process(&url).await]).await;
}
