//! Pipelines in processes of their own, which are killed and suspended.

use std::collections::BTreeSet;

use rigatoni_core::state::StateStore;
use store_rigatoni::RigatoniStore;
use testkit::{DEADLINE, Program, RedisServer, RunningProgram, wait_until};

use crate::instance::{config, open};
use crate::mongo::{Mongo, number_of};

struct Fleet {
    server: RedisServer,
    mongo: Mongo,
    store: RigatoniStore,
}

impl Fleet {
    async fn start() -> Self {
        let (server, mongo) = (RedisServer::state().start().await.unwrap(), Mongo::start().await);
        let stores = open(&server.url(None)).await;
        let store = RigatoniStore::new(stores.state(), &config(&mongo.uri()));
        Self { server, mongo, store }
    }

    /// An instance whose lock lasts for one second.
    async fn instance(&self) -> RunningProgram {
        let program = Program::built("examples/standby");
        let program = program.expect("run `cargo build --package store-rigatoni --example standby` first");
        let program = program.args([&self.mongo.uri(), "shop", "users", "1000"]).env("SERVICE_NAME", "replicator");
        let program = program.env("REDIS_CONN_BASE_URL", "embedded:");
        let instance = program.env("REDIS_WORKERCACHE_CONN_URL", self.server.url(None)).start().unwrap();
        instance.wait_line(|line| line == "standing by").await;
        instance
    }

    /// The position that is stored.
    async fn saved(&self) -> Option<u32> {
        self.store.get_resume_token("users").await.unwrap().as_ref().map(number_of)
    }

    async fn wait_saved(&self, event: u32) {
        let is_saved = async || self.saved().await >= Some(event);
        wait_until("the position is saved", DEADLINE, is_saved).await;
    }
}

/// The events that an instance has written.
fn written(instance: &RunningProgram) -> Vec<u32> {
    instance.stdout().lines().filter_map(|line| line.strip_prefix("insert ")?.parse().ok()).collect()
}

/// Suspends a process, and returns when all its threads have stopped.
async fn suspend(instance: &RunningProgram) {
    instance.pause().unwrap();
    let tasks = format!("/proc/{}/task", instance.id().unwrap());
    let is_stopped = |task: std::io::Result<std::fs::DirEntry>| {
        let status = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        status.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
    };
    // without `/proc`, as on macOS, there is nothing to wait for
    let are_stopped = async || std::fs::read_dir(&tasks).map_or(true, |mut tasks| tasks.all(is_stopped));
    wait_until("all threads have stopped", DEADLINE, are_stopped).await;
}

#[tokio::test]
async fn a_standby_continues_where_a_killed_process_has_saved_last() {
    let fleet = Fleet::start().await;
    let mut first = fleet.instance().await;
    first.wait_line(|line| line == "running").await;
    wait_until("it watches", DEADLINE, async || fleet.mongo.opened().len() == 1).await;
    let second = fleet.instance().await;
    fleet.mongo.insert(12);
    fleet.wait_saved(10).await;
    fleet.mongo.insert(30);
    first.kill().await;
    let saved = fleet.saved().await;
    fleet.mongo.insert(8);
    second.wait_line(|line| line == "running").await;
    fleet.wait_saved(50).await;
    assert_eq!(fleet.mongo.opened(), [None, saved], "it continues at the exact position");

    let of_second = written(&second);
    assert_eq!(of_second, (saved.unwrap() + 1..=50).collect::<Vec<_>>(), "it writes each event once");
    let all: BTreeSet<u32> = written(&first).into_iter().chain(of_second).collect();
    assert_eq!(all, (1..=50).collect(), "no event is missing");
}

#[tokio::test]
async fn a_process_that_was_suspended_saves_nothing_and_stands_by_again() {
    let fleet = Fleet::start().await;
    let first = fleet.instance().await;
    first.wait_line(|line| line == "running").await;
    wait_until("it watches", DEADLINE, async || fleet.mongo.opened().len() == 1).await;
    let mut second = fleet.instance().await;
    fleet.mongo.insert(10);
    fleet.wait_saved(10).await;
    suspend(&first).await;
    fleet.mongo.insert(10);
    second.wait_line(|line| line == "running").await;
    fleet.wait_saved(20).await;
    suspend(&second).await; // its lock expires too, and nobody has saved a later position
    let saved = fleet.saved().await;
    first.resume().unwrap(); // it still has events and an old fence
    first.wait_line(|line| line == "lost rigatoni:lock:shop:users").await;
    wait_until("it watches again", DEADLINE, async || fleet.mongo.opened().len() == 3).await;
    assert_eq!(fleet.mongo.opened(), [None, Some(10), saved], "it saved nothing while it was not the holder");
    fleet.mongo.insert(5);
    fleet.wait_saved(25).await;
    second.kill().await;
    let all: BTreeSet<u32> = written(&first).into_iter().chain(written(&second)).collect();
    assert_eq!(all, (1..=25).collect(), "no event is missing");
}
