//! The servers of a run, and the links to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use testkit::{Cluster, FaultProxy, RedisServer, Sentinels};
use twinstore::Stores;

use crate::topology::{PrimaryFault, Topology};
use crate::workload::GROUPS;
use crate::{Options, RunError};

/// The links: one from each group of actors to the state server, one from all of them to the cache server.
pub(crate) const LINKS: [&str; 5] = [GROUPS[0], GROUPS[1], GROUPS[2], GROUPS[3], "cache"];

/// How long one attempt of a command may take: short, so that many faults fit into a run.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_millis(400);

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
    replicas: u32,
}

impl Environment {
    /// Starts the servers.
    pub(crate) async fn start(options: &Options) -> Result<Arc<Self>, RunError> {
        let program = options.server.clone().unwrap_or_else(|| PathBuf::from("redis-server"));
        let mut data = RedisServer::state().config("appendfsync", &options.fsync).program(&program);
        if options.fault == Some(PrimaryFault::Stop) {
            data = data.config("min-replicas-to-write", "1");
        }
        let state = match options.topology {
            Topology::Standalone => StateServers::Standalone(data.start().await?),
            Topology::Sentinel => {
                StateServers::Sentinels(Sentinels::builder().data(data).through_proxies().start().await?)
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
        Ok(Arc::new(Self { state, cache, links, replicas }))
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
        Stores::open(&environment).await.map_err(|error| RunError::Start(Box::new(error)))
    }

    /// Lets all traffic pass again.
    pub(crate) async fn heal(&self) {
        for proxy in self.links.values() {
            proxy.disarm();
            proxy.pass().await;
        }
    }
}
