//! The suite on every engine: embedded in memory, embedded in files, and two real Redis servers, one of them with
//! a replica; and once more with both roles on primaries that sentinels report. The cases of the state role run once more on a
//! cluster of three primaries with one replica each, on a cluster of one node, and through a proxy that emulates Kvrocks. Those of queues and homes run on one
//! server and on the cluster once more with 12 partitions. All cases run once more on servers with the users of `deploy/acl`, and with mutual
//! TLS where the server has TLS.
//! `cargo test -p conformance --test engines -- queue.claim` runs the cases of one operation.
#![expect(clippy::print_stderr, reason = "a test that failed shows the evidence")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use conformance::{Capability, Case, EmbeddedFile, EmbeddedMemory, Engine, RedisEngine, Target};
use libtest_mimic::{Arguments, Completion, Trial};
use redis_link::TlsFiles;
use store_core::{Namespace, Role};
use testkit::{Cluster, KvrocksProxy, RedisServer, RedisServerBuilder, Sentinels};
use tokio::runtime::Runtime;

/// Capabilities that only the cache store has.
const CACHE_ALONE: [&str; 3] = ["key_value.", "rate_limit.", "handoff."];

/// The capabilities of servers if each write is synced to the disk and the server has a replica.
const EVERYTHING: [Capability; 4] =
    [Capability::Reopen, Capability::OneOrder, Capability::Fsync, Capability::Replication];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().expect("a runtime starts"));
    let directory = tempfile::tempdir().expect("a directory can be made");
    let servers = runtime.block_on(Servers::start());
    let redis = |name| runtime.block_on(servers.engine(name));
    let clustered = |name| runtime.block_on(servers.clustered_engine(name));
    let restricted = runtime.block_on(Restricted::start(directory.path()));
    let engines: [Arc<dyn Engine>; 5] = [
        Arc::new(EmbeddedMemory::new()),
        Arc::new(EmbeddedFile::new(directory.path())),
        Arc::new(redis("redis")),
        Arc::new(runtime.block_on(servers.sentinel_engine("sentinels"))),
        Arc::new(runtime.block_on(restricted.engine("restricted"))),
    ];
    let mut trials: Vec<_> =
        engines.iter().flat_map(|engine| conformance::all().map(|case| trial(&runtime, engine, case))).collect();
    let of_the_state = || conformance::all().filter(|case| !is_of(case, &CACHE_ALONE));
    let cluster: Arc<dyn Engine> = Arc::new(clustered("cluster"));
    trials.extend(of_the_state().map(|case| trial(&runtime, &cluster, case)));
    let kvrocks = runtime.block_on(servers.kvrocks_engine("kvrocks"));
    let node = runtime.block_on(servers.node_engine("one node"));
    for engine in [kvrocks, node] {
        let engine: Arc<dyn Engine> = Arc::new(engine);
        trials.extend(of_the_state().map(|case| trial(&runtime, &engine, case)));
    }
    for engine in [redis("redis, 12 partitions"), clustered("cluster, 12 partitions")] {
        let engine: Arc<dyn Engine> = Arc::new(engine.with_partitions(12));
        let of_queues = conformance::all().filter(|case| is_of(case, &["queue.", "home."]));
        trials.extend(of_queues.map(|case| trial(&runtime, &engine, case)));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.has_failed() {
        eprintln!("state server:\n{}\ncache server:\n{}", servers.state.log(), servers.cache.log());
        eprintln!("restricted, state:\n{}\ncache:\n{}", restricted.state.log(), restricted.cache.log());
    }
    conclusion.exit_code()
}

fn is_of(case: &Case, groups: &[&str]) -> bool {
    groups.iter().any(|group| case.name().starts_with(group))
}

fn trial(runtime: &Arc<Runtime>, engine: &Arc<dyn Engine>, case: &'static Case) -> Trial {
    let (runtime, engine) = (Arc::clone(runtime), Arc::clone(engine));
    let name = format!("{}::{}", engine.name(), case.name()).replace(' ', "_");
    Trial::ignorable_test(name, move || match case.lacks(engine.as_ref()) {
        Some(lacking) => Ok(Completion::ignored_with(format!("{} lacks {lacking}", engine.name()))),
        None => Ok(runtime.block_on(case.run(&engine)).map(|()| Completion::Completed)?),
    })
}

/// It never rewrites its append-only file: meanwhile, Redis before 7.2 does not report whether a write is on disk.
fn durable() -> RedisServerBuilder {
    RedisServer::state().config("appendfsync", "always").config("auto-aof-rewrite-percentage", "0")
}

/// Real servers. The state server writes each change to its disk before it answers, and has a replica, so that every
/// durability can be requested.
struct Servers {
    cache: RedisServer,
    state: RedisServer,
    _replica: RedisServer,
    cluster: Cluster,
    /// A cluster of one node, which has all slots.
    node: RedisServer,
    kvrocks: KvrocksProxy,
    cache_sentinels: Sentinels,
    state_sentinels: Sentinels,
}

impl Servers {
    async fn start() -> Self {
        let cache = RedisServer::cache().start().await.unwrap_or_else(|error| panic!("{error}"));
        let state = durable().start().await.unwrap_or_else(|error| panic!("{error}"));
        let replica = RedisServer::builder().replica_of(&state);
        let replica = replica.start().await.unwrap_or_else(|error| panic!("{error}"));
        let cluster = Cluster::builder().node(durable()).start().await.unwrap_or_else(|error| panic!("{error}"));
        let node = RedisServer::state().cluster().start().await.unwrap_or_else(|error| panic!("{error}"));
        let kvrocks = KvrocksProxy::start_with_synced_writes(&state).await.expect("a port is free");
        let sentinels =
            async |data| Sentinels::builder().data(data).start().await.unwrap_or_else(|error| panic!("{error}"));
        let (cache_sentinels, state_sentinels) = (sentinels(RedisServer::cache()).await, sentinels(durable()).await);
        Self { cache, state, _replica: replica, cluster, node, kvrocks, cache_sentinels, state_sentinels }
    }

    async fn clustered_engine(&self, name: &str) -> RedisEngine {
        let hosts: Vec<_> = self.cluster.addresses().iter().map(ToString::to_string).collect();
        let state = format!("redis-cluster://{}", hosts.join(","));
        let engine = RedisEngine::connect(name, &self.cache.url(None), &state).await;
        let engine = engine.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(engine.capabilities(), EVERYTHING, "no case of a cluster may be skipped");
        engine
    }

    /// The state role through a proxy that emulates Kvrocks with synced writes.
    async fn kvrocks_engine(&self, name: &str) -> RedisEngine {
        let engine = RedisEngine::connect(name, &self.cache.url(None), &self.kvrocks.url()).await;
        let engine = engine.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(engine.capabilities(), EVERYTHING, "no case of the emulation of Kvrocks may be skipped");
        engine
    }

    /// The state role on a cluster of one node, without replicas.
    async fn node_engine(&self, name: &str) -> RedisEngine {
        let state = format!("redis-cluster://{}", self.node.address());
        let engine = RedisEngine::connect(name, &self.cache.url(None), &state).await;
        engine.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn sentinel_engine(&self, name: &str) -> RedisEngine {
        let url = |sentinels: &Sentinels| {
            let hosts: Vec<_> = sentinels.addresses().iter().map(ToString::to_string).collect();
            format!("redis-sentinel://{}/{}", hosts.join(","), sentinels.name())
        };
        until_replicated(self.state_sentinels.primary().await, 2).await;
        let engine = RedisEngine::connect(name, &url(&self.cache_sentinels), &url(&self.state_sentinels)).await;
        let engine = engine.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(engine.capabilities(), EVERYTHING, "no case with sentinels may be skipped");
        engine
    }

    async fn engine(&self, name: &str) -> RedisEngine {
        let (cache, state) = (self.cache.url(None), self.state.url(None));
        until_replicated(&self.state, 1).await;
        let engine = RedisEngine::connect(name, &cache, &state).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            engine.capabilities(),
            EVERYTHING,
            "these servers can do everything, no case of theirs may be skipped"
        );
        engine
    }
}

/// Waits until replicas acknowledge writes.
async fn until_replicated(server: &RedisServer, replicas: i64) {
    let mut connection = server.connect().await.unwrap_or_else(|error| panic!("{error}"));
    testkit::wait_until("the replicas acknowledge writes", testkit::DEADLINE, async || {
        let written = connection.command(&["SET", "joined", "1"]).await.is_ok();
        let reached = connection.command(&["WAIT", &replicas.to_string(), "100"]).await;
        written && reached.is_ok_and(|reached| reached.as_integer() == Some(replicas))
    })
    .await;
}

/// Servers whose services log in as the users of `deploy/acl`, which may use no other key or command. They have mutual TLS, unless the
/// environment chooses a fetched server, which has no TLS.
struct Restricted {
    namespace: Namespace,
    cache: RedisServer,
    state: RedisServer,
    _replica: RedisServer,
    is_encrypted: bool,
    password_file: PathBuf,
}

impl Restricted {
    const PASSWORD: &str = "of both users";

    async fn start(folder: &Path) -> Self {
        let password_file = folder.join("password");
        std::fs::write(&password_file, Self::PASSWORD).expect("the folder can be written to");
        let namespace = Namespace::new(testkit::random_prefix()).expect("a prefix is a valid namespace");
        let chosen = testkit::servers::chosen().unwrap_or_else(|error| panic!("{error}"));
        let is_encrypted = chosen.name == testkit::servers::INSTALLED;
        let start = async |server: RedisServerBuilder| {
            let server = if is_encrypted { server.mutual_tls() } else { server };
            server.start().await.unwrap_or_else(|error| panic!("{error}"))
        };
        let of_role = |server: RedisServerBuilder, role: Role| {
            let (user, file) = match role {
                Role::Cache => ("cache-app", include_str!("../../../deploy/acl/cache.acl")),
                Role::State => ("state-app", include_str!("../../../deploy/acl/state.acl")),
            };
            let rules = file.lines().find_map(|line| line.strip_prefix(&format!("user {user} on #{{{user}}} ")));
            // Some cases use namespaces of their own, which begin with that of the engine.
            let rules = rules.expect("the file has this user").replace("tw:", &format!("{namespace}*:"));
            server.acl_user(user, Self::PASSWORD, &rules)
        };
        let cache = start(of_role(RedisServer::cache(), Role::Cache)).await;
        let state = start(of_role(durable(), Role::State)).await;
        let replica = RedisServer::builder().replica_of(&state);
        let replica = replica.start().await.unwrap_or_else(|error| panic!("{error}"));
        Self { namespace, cache, state, _replica: replica, is_encrypted, password_file }
    }

    async fn engine(&self, name: &str) -> RedisEngine {
        let target = |role: Role, server: &RedisServer| {
            let target = Target::new(role, server.url(None)).with_username(format!("{}-app", role.name()));
            let target = target.with_password_file(&self.password_file);
            if !self.is_encrypted {
                return target;
            }
            let files = TlsFiles::new().with_ca(server.ca_file());
            target.with_tls(files.with_identity(server.client_cert_file(), server.client_key_file()))
        };
        let (cache, state) = (target(Role::Cache, &self.cache), target(Role::State, &self.state));
        let engine = RedisEngine::connect_in(name, self.namespace.clone(), &cache, &state).await;
        let engine = engine.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(engine.capabilities(), EVERYTHING, "no case may be skipped");
        for (server, user) in [(&self.cache, "user=cache-app"), (&self.state, "user=state-app")] {
            let clients = server.command(&["CLIENT", "LIST"]).await.unwrap_or_else(|error| panic!("{error}"));
            let lines = clients.as_str().unwrap_or_default().lines();
            let ours: Vec<_> = lines.filter(|line| line.contains("name=conformance")).collect();
            assert!(!ours.is_empty() && ours.iter().all(|line| line.contains(user)), "{ours:?}");
        }
        engine
    }
}
