//! The servers of a run, and the links to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use testkit::{FaultProxy, RedisServer};
use twinstore::Stores;

use crate::RunError;
use crate::workload::GROUPS;

/// The links: one from each group of actors to the state server, one from all of them to the cache server.
pub(crate) const LINKS: [&str; 5] = [GROUPS[0], GROUPS[1], GROUPS[2], GROUPS[3], "cache"];

/// How long one attempt of a command may take: short, so that many faults fit into a run.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_millis(400);

/// A state server, a cache server, and a proxy for each link.
pub(crate) struct Environment {
    pub(crate) state: RedisServer,
    pub(crate) cache: RedisServer,
    links: BTreeMap<&'static str, FaultProxy>,
}

impl Environment {
    /// Starts the servers. `fsync` is the state server's `appendfsync`.
    pub(crate) async fn start(program: Option<&Path>, fsync: &str) -> Result<Arc<Self>, RunError> {
        let program = program.map_or_else(|| PathBuf::from("redis-server"), Path::to_owned);
        let state = RedisServer::state().config("appendfsync", fsync).program(&program).start().await?;
        let cache = RedisServer::cache().program(&program).start().await?;
        let mut links = BTreeMap::new();
        for link in LINKS {
            let server = if link == "cache" { &cache } else { &state };
            links.insert(link, FaultProxy::start(server.address()).await?);
        }
        Ok(Arc::new(Self { state, cache, links }))
    }

    /// The proxy of a link.
    pub(crate) fn link(&self, name: &str) -> &FaultProxy {
        &self.links[name]
    }

    /// The environment variables of a group of actors.
    pub(crate) fn variables(&self, group: &str) -> Vec<(&'static str, String)> {
        let timeout = format!("{}ms", COMMAND_TIMEOUT.as_millis());
        vec![
            ("SERVICE_NAME", "faults".to_owned()),
            ("REDIS_CONN_BASE_URL", self.cache.url_through(self.link("cache"), None)),
            ("REDIS_CACHE_DB", "1".to_owned()),
            ("REDIS_WORKERCACHE_CONN_URL", self.state.url_through(self.link(group), None)),
            ("REDIS_CACHE_COMMAND_TIMEOUT", timeout.clone()),
            ("REDIS_STATE_COMMAND_TIMEOUT", timeout),
        ]
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
