//! The servers of a run, and the links to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use testkit::{Cluster, FaultProxy, RedisServer, Sentinels};
use twinstore::Stores;
use twinstore::config::StoresOptions;

use crate::topology::{Level, PrimaryFault, Topology};
use crate::workload::{GROUPS, PARTITIONED, Times, queue};
use crate::{Options, RunError};

/// The links: one from each group of actors to the state server, one from all of them to the cache server.
pub(crate) const LINKS: [&str; 5] = [GROUPS[0], GROUPS[1], GROUPS[2], GROUPS[3], "cache"];

/// How long one attempt of a command may take: short, so that many faults fit into a run.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_millis(400);

/// How much memory the pushes may take that are kept to be pushed again.
const KEPT_PUSHES: usize = 64 << 20;

/// How all processes of a run open and use their stores.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Usage {
    /// How many partitions one of the queues has
    #[arg(long)]
    partitions: u16,
    /// Push again what loss reports name
    #[arg(long)]
    pub(crate) pushes_again: bool,
    /// Leases and results last 1 to 5 s
    #[arg(long)]
    is_soak: bool,
}

impl Usage {
    pub(crate) fn of(options: &Options) -> Self {
        let is_soak = options.is_soak;
        Self {
            partitions: if options.topology == Topology::Cluster { crate::workload::PARTITIONS } else { 1 },
            // what a soak keeps for a short time is absent soon
            pushes_again: options.topology != Topology::Standalone
                && options.durability != Level::ReplicatedAll
                && !is_soak,
            is_soak,
        }
    }

    pub(crate) fn times(self) -> Times {
        Times { is_soak: self.is_soak }
    }

    /// The arguments of a process.
    pub(crate) fn arguments(self) -> Vec<String> {
        let flags = [(self.pushes_again, "--pushes-again"), (self.is_soak, "--is-soak")];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.to_owned());
        ["--partitions".to_owned(), self.partitions.to_string()].into_iter().chain(flags).collect()
    }

    /// The queues with several partitions.
    pub(crate) fn partitioned(self) -> Vec<String> {
        if self.partitions > 1 { vec![PARTITIONED.to_owned()] } else { Vec::new() }
    }

    pub(crate) fn options(self) -> StoresOptions {
        let options = StoresOptions::new().with_partitions(queue(PARTITIONED), self.partitions);
        if self.pushes_again { options.with_kept_push_bytes(KEPT_PUSHES) } else { options }
    }
}

/// After this time without an answer a sentinel takes a server for down.
const DOWN_AFTER: Duration = Duration::from_secs(2);

/// The servers of the state store.
pub(crate) enum StateServers {
    Standalone(RedisServer),
    Sentinels(Sentinels),
    Cluster(Cluster),
}

impl StateServers {
    /// The only server.
    pub(crate) fn standalone(&self) -> &RedisServer {
        match self {
            StateServers::Standalone(server) => server,
            _ => unreachable!("the plan of a topology has no fault of a single server"),
        }
    }

    /// The servers with data of a topology.
    pub(crate) fn members(&self) -> &[RedisServer] {
        match self {
            StateServers::Standalone(server) => std::slice::from_ref(server),
            StateServers::Sentinels(sentinels) => sentinels.data(),
            StateServers::Cluster(cluster) => cluster.nodes(),
        }
    }

    fn url(&self, link: Option<&FaultProxy>) -> String {
        let list = |addresses: Vec<std::net::SocketAddr>| -> String {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        match self {
            StateServers::Standalone(server) => server.url_through(link.expect("each link has a proxy"), None),
            StateServers::Sentinels(sentinels) => {
                format!("redis-sentinel://{}/{}", list(sentinels.addresses()), sentinels.name())
            }
            StateServers::Cluster(cluster) => format!("redis-cluster://{}", list(cluster.addresses())),
        }
    }
}

/// The state servers, a cache server, and a proxy for each link.
pub(crate) struct Environment {
    pub(crate) state: StateServers,
    pub(crate) cache: RedisServer,
    links: BTreeMap<&'static str, FaultProxy>,
    /// How many replicas an acknowledged write has.
    pub(crate) replicas: u32,
    usage: Usage,
}

impl Environment {
    /// Starts the servers.
    pub(crate) async fn start(options: &Options) -> Result<Arc<Self>, RunError> {
        let program = options.server.clone().unwrap_or_else(|| PathBuf::from("redis-server"));
        let mut data = RedisServer::state().config("appendfsync", &options.fsync).program(&program);
        if options.topology != Topology::Standalone && options.fault.is_none_or(|fault| fault == PrimaryFault::Stop) {
            data = data.config("min-replicas-to-write", "1");
        }
        let state = match options.topology {
            Topology::Standalone => StateServers::Standalone(data.start().await?),
            Topology::Sentinel => {
                let sentinels = Sentinels::builder().data(data).through_proxies().down_after(DOWN_AFTER);
                StateServers::Sentinels(sentinels.start().await?)
            }
            Topology::Cluster => StateServers::Cluster(Cluster::builder().node(data).through_proxies().start().await?),
        };
        let cache = RedisServer::cache().program(&program).start().await?;
        let mut links = BTreeMap::from([("cache", FaultProxy::start(cache.address()).await?)]);
        if let StateServers::Standalone(server) = &state {
            for group in GROUPS {
                links.insert(group, FaultProxy::start(server.address()).await?);
            }
        }
        let replicas = options.durability.replicas(options.topology);
        Ok(Arc::new(Self { state, cache, links, replicas, usage: Usage::of(options) }))
    }

    /// The proxy of a link.
    pub(crate) fn link(&self, name: &str) -> &FaultProxy {
        &self.links[name]
    }

    /// The environment variables of a group of actors.
    pub(crate) fn variables(&self, group: &str) -> Vec<(&'static str, String)> {
        let timeout = format!("{}ms", COMMAND_TIMEOUT.as_millis());
        let mut variables = vec![
            ("SERVICE_NAME", "faults".to_owned()),
            ("REDIS_CONN_BASE_URL", self.cache.url_through(self.link("cache"), None)),
            ("REDIS_CACHE_DB", "1".to_owned()),
            ("REDIS_WORKERCACHE_CONN_URL", self.state.url(self.links.get(group))),
            ("REDIS_CACHE_COMMAND_TIMEOUT", timeout.clone()),
            ("REDIS_STATE_COMMAND_TIMEOUT", timeout),
            ("REDIS_STATE_MIN_REPLICAS", self.replicas.to_string()),
        ];
        if self.replicas > 0 {
            let others = ["REDIS_STATE_HEARTBEAT_DURABILITY", "REDIS_STATE_IDEMPOTENCY_DURABILITY"];
            variables.extend(others.map(|name| (name, "replicated".to_owned())));
        }
        variables
    }

    /// The stores of a group of actors.
    pub(crate) async fn open(&self, group: &str) -> Result<Stores, RunError> {
        let environment = twinstore::config::Environment::from_variables(self.variables(group));
        let opened = Stores::open_with(&environment, self.usage.options()).await;
        opened.map_err(|error| RunError::Start(Box::new(error)))
    }

    /// Writes the logs of the servers into a folder.
    pub(crate) fn keep_logs(&self, folder: &Path) -> std::io::Result<()> {
        let sentinels = match &self.state {
            StateServers::Sentinels(sentinels) => sentinels.sentinels(),
            _ => &[],
        };
        for server in self.state.members().iter().chain(sentinels).chain([&self.cache]) {
            std::fs::write(folder.join(format!("server-{}.log", server.port())), server.log())?;
        }
        Ok(())
    }

    /// Lets all traffic pass again.
    pub(crate) async fn heal(&self) {
        for proxy in self.links.values() {
            proxy.disarm();
            proxy.pass().await;
        }
    }
}
