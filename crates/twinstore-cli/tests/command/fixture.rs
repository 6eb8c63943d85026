//! Two servers, the command with their variables, and jobs in every state.

use std::time::Duration;

use redis_link::{Link, LinkConfig, ServerUrl};
use serde_json::Value;
use state_store::StateStore;
use store_core::{
    ClaimRequest, ClaimedJob, Durability, HolderName, JobId, Namespace, NewJob, Outcome, Queue, QueueName, ServiceName,
    Settlement,
};
use testkit::{Exit, Program, RedisServer};

/// The probe keys of the preflight last at most so long.
const PROBE_MILLIS: i64 = 10_000;

pub(crate) struct Fixture {
    pub(crate) cache: RedisServer,
    pub(crate) state: RedisServer,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let debug = ("enable-debug-command", "yes");
        let cache = RedisServer::cache().config(debug.0, debug.1).start().await.unwrap();
        let state = RedisServer::state().config(debug.0, debug.1).start().await.unwrap();
        Self { cache, state }
    }

    /// The command with the variables of the service `billing`.
    pub(crate) fn command(&self, line: &str) -> Program {
        with_variables(&self.cache.url(None), &self.state.url(None)).args(line.split_whitespace())
    }

    /// Runs it.
    pub(crate) async fn run(&self, line: &str) -> Exit {
        self.command(line).run().await.unwrap()
    }

    /// Runs it with `--json`: the exit code and the objects.
    pub(crate) async fn json(&self, line: &str) -> (Option<i32>, Vec<Value>) {
        let exit = self.run(&format!("{line} --json")).await;
        (exit.code, objects(&exit))
    }

    /// The store, opened as a service opens it.
    pub(crate) async fn store(&self) -> StateStore {
        let config = LinkConfig::new(ServerUrl::parse(&self.state.url(None)).unwrap(), "test");
        let link = Link::connect(config.with_command_timeout(Duration::from_secs(20))).await.unwrap();
        let names = (Namespace::new("tw").unwrap(), ServiceName::new("billing").unwrap());
        StateStore::open(link, names.0, names.1, Default::default()).await.unwrap()
    }

    /// The digests of all data on both servers, without the probe keys of the preflight. These must expire soon.
    pub(crate) async fn digests(&self) -> [String; 2] {
        [digest(&self.cache).await, digest(&self.state).await]
    }
}

pub(crate) fn with_variables(cache: &str, state: &str) -> Program {
    Program::new(env!("CARGO_BIN_EXE_twinstore"))
        .env("SERVICE_NAME", "billing")
        .env("REDIS_CONN_BASE_URL", cache)
        .env("REDIS_CACHE_DB", "1")
        .env("REDIS_WORKERCACHE_CONN_URL", state)
}

/// Each line of standard output.
pub(crate) fn objects(exit: &Exit) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}: {exit:?}"));
    exit.stdout.lines().map(read).collect()
}

/// The digest of a server whose probe keys are removed, as their expiry would.
async fn digest(server: &RedisServer) -> String {
    for database in 0..3 {
        let probes = server.command_in(database, &["KEYS", "*probe*"]).await.unwrap().as_strings().unwrap();
        for key in probes {
            let left = server.command_in(database, &["PTTL", &key]).await.unwrap().as_integer().unwrap();
            assert!((-2..=PROBE_MILLIS).contains(&left) && left != -1, "{key} lasts {left} ms");
            server.command_in(database, &["DEL", &key]).await.unwrap();
        }
    }
    server.command(&["DEBUG", "DIGEST"]).await.unwrap().as_str().unwrap().to_owned()
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

pub(crate) fn id(text: &str) -> JobId {
    JobId::new(text).unwrap()
}

pub(crate) async fn push(store: &StateStore, name: &str, jobs: Vec<NewJob>) {
    let pushed = store.push(&queue(name), &jobs, Durability::Accepted).await.unwrap().value;
    assert_eq!(pushed.len(), jobs.len());
}

pub(crate) async fn claim(store: &StateStore, name: &str, max: usize) -> Vec<ClaimedJob> {
    let worker = HolderName::new("worker-1").unwrap();
    let request = ClaimRequest::new(queue(name), worker, max, Duration::from_secs(600));
    store.claim(&request).await.unwrap().jobs
}

/// So many dead jobs in a queue.
pub(crate) async fn kill(store: &StateStore, name: &str, count: usize, reason: &str) {
    for done in (0..count).step_by(1000) {
        push(store, name, (done..count.min(done + 1000)).map(|_| NewJob::new("{}")).collect()).await;
    }
    let mut left = count;
    while left > 0 {
        let claimed = claim(store, name, 1000).await;
        left -= claimed.len();
        let dead = |job: ClaimedJob| Settlement::new(job.lease, Outcome::Dead { reason: reason.to_owned() });
        let settlements: Vec<_> = claimed.into_iter().map(dead).collect();
        drop(store.settle(&queue(name), &settlements, Durability::Accepted).await.unwrap());
    }
}
