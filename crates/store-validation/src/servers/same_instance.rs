//! Whether both URLs lead to one server: decided by what the servers are, never by how they are spelled.

use std::net::SocketAddr;
use std::time::Duration;

use redis_link::{Endpoint, Fact};
use store_core::{RequestId, keys};

use super::visit::{Visit, Visited};
use crate::{Code, Finding};

/// How long the key stays that is written through one URL and looked for through the other.
const TTL: Duration = Duration::from_secs(10);

/// In how many databases it is looked for where the server does not say how many it has.
const MANY_DATABASES: u32 = 1024;

/// How many connect time-outs the comparison may take.
const PATIENCE: u32 = 3;

/// What tells one server from another.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    addresses: Vec<SocketAddr>,
    run_id: Option<String>,
}

impl Identity {
    /// Whether both are certainly one server.
    pub(crate) fn is_same(&self, other: &Identity) -> bool {
        overlap(&self.addresses, &other.addresses).is_some() || (self.run_id.is_some() && self.run_id == other.run_id)
    }
}

impl Visited<'_> {
    pub(super) fn identity(&self) -> Option<Identity> {
        let run_id = self.visit.as_ref().and_then(|visit| visit.info.run_id.clone());
        (run_id.is_some() || !self.addresses.is_empty()).then(|| Identity { addresses: self.addresses.clone(), run_id })
    }
}

pub(super) async fn check(cache: &Visited<'_>, state: &Visited<'_>) -> Option<Finding> {
    let same = |what: String| Some(Finding::new(Code::SameInstance, None, what));
    if let Some(address) = overlap(&cache.addresses, &state.addresses) {
        return same(format!("both URLs lead to {address}"));
    }
    let (Some(cache_visit), Some(state_visit)) = (&cache.visit, &state.visit) else { return None };
    let [cache_info, state_info] = [&cache_visit.info, &state_visit.info];
    if cache_info.run_id.is_some() && cache_info.run_id == state_info.run_id {
        return same(format!("both URLs lead to one server process: {}", places(cache_visit, state_visit)));
    }
    let replication =
        |visit: &Visit<'_>| visit.info.replication_id.clone().filter(|id| id.bytes().any(|byte| byte != b'0'));
    if replication(cache_visit).is_some() && replication(cache_visit) == replication(state_visit) {
        return same(format!("both servers are of one replication group: {}", places(cache_visit, state_visit)));
    }
    if cache_visit.is_of_cluster() || state_visit.is_of_cluster() {
        // refused as such; it would send the probe key elsewhere
        return None;
    }
    let patience = cache_visit.connection.connect_timeout.max(state_visit.connection.connect_timeout) * PATIENCE;
    let by_key = async {
        if follows(cache_visit, &state.addresses).await || follows(state_visit, &cache.addresses).await {
            return same(format!("one server is the replica of the other: {}", places(cache_visit, state_visit)));
        }
        match by_probe_key(cache_visit, state_visit).await {
            Fact::Known(false) => None,
            Fact::Known(true) => same(format!(
                "what is written through one URL is found through the other: {}",
                places(cache_visit, state_visit)
            )),
            // two processes of two replication groups are two instances
            Fact::Unknown(_)
                if cache_info.run_id.is_some()
                    && state_info.run_id.is_some()
                    && replication(cache_visit).is_some()
                    && replication(state_visit).is_some() =>
            {
                None
            }
            Fact::Unknown(why) => Some(Finding::new(Code::SameInstanceUnknown, None, why)),
        }
    };
    tokio::time::timeout(patience, Box::pin(by_key))
        .await
        .unwrap_or_else(|_| Some(Finding::new(Code::SameInstanceUnknown, None, "a server stopped answering")))
}

/// A random text that nothing else has.
pub(super) fn random() -> String {
    RequestId::generate().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn places(cache: &Visit<'_>, state: &Visit<'_>) -> String {
    format!("{} and {}", cache.connection.place(), state.connection.place())
}

fn overlap(some: &[SocketAddr], others: &[SocketAddr]) -> Option<SocketAddr> {
    let same = |one: &SocketAddr, other: &SocketAddr| {
        one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical()
    };
    some.iter().find(|one| others.iter().any(|other| same(one, other))).copied()
}

/// Whether the server is the replica of one at these addresses; its link to it may be down.
async fn follows(visit: &Visit<'_>, addresses: &[SocketAddr]) -> bool {
    let (true, Some(host), Some(port)) = (visit.is_replica(), &visit.info.primary_host, visit.info.primary_port) else {
        return false;
    };
    let resolved = Endpoint::new(host.as_str(), port).resolve().await.unwrap_or_default();
    overlap(&resolved, addresses).is_some()
}

/// Written through one URL, looked for through the other; a write that is refused hides nothing: then the other way round.
async fn by_probe_key(cache: &Visit<'_>, state: &Visit<'_>) -> Fact<bool> {
    match crosses(cache, state).await {
        Fact::Unknown(why) => match crosses(state, cache).await {
            Fact::Unknown(other) => Fact::Unknown(format!("{why}; {other}")),
            known => known,
        },
        known => known,
    }
}

async fn crosses(writer: &Visit<'_>, reader: &Visit<'_>) -> Fact<bool> {
    let (key, value) = (keys::probe(&random()), random());
    if let Err(error) = writer.probe.set_probe_key(writer.database, &key, &value, TTL).await {
        return Fact::Unknown(format!(
            "no probe key can be written to the {} store: {}",
            writer.role(),
            error.detail()
        ));
    }
    let count = reader.settings.databases.as_known().copied().unwrap_or(MANY_DATABASES);
    match reader.probe.find_probe_key(&key, &value, count).await {
        Fact::Known(found) => Fact::Known(!found.is_empty()),
        Fact::Unknown(why) => {
            Fact::Unknown(format!("no probe key can be read from the {} store: {why}", reader.role()))
        }
    }
}
