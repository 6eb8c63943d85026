//! Whether both URLs lead to one server. The identity of the servers decides, never their spelling.
//!
//! Two URLs with one address lead to one server, unless it is proved that they lead to two: a router may choose the
//! server by the host name in the TLS handshake. The proof is that several connections of each URL reach different
//! processes, or, if TLS sends two host names, that a key written through one URL is not found through the other.

use std::net::SocketAddr;

use redis_link::{Endpoint, Fact};

use super::deadline::Deadline;
use super::identity::overlap;
use super::probe_key::{self, TTL, random};
use super::visit::{Visit, Visited, open_probe};
use crate::draft::Draft;
use crate::{Code, Finding};

/// In how many databases the probe key is searched if the server does not report how many it has.
const MANY_DATABASES: u32 = 1024;

/// How often each URL is opened again to see whether it leads to the same process.
const TIMES: usize = 2;

pub(super) async fn check(
    draft: &Draft,
    cache: &Visited<'_>,
    state: &Visited<'_>,
    deadline: Deadline,
) -> Option<Finding> {
    let address = overlap(&cache.addresses, &state.addresses);
    let (Some(cache_visit), Some(state_visit)) = (&cache.visit, &state.visit) else {
        return address.map(|address| same(format!("both URLs lead to {address}")));
    };
    let [cache_info, state_info] = [&cache_visit.info, &state_visit.info];
    if cache_info.run_id.is_some() && cache_info.run_id == state_info.run_id {
        let where_to = address.map_or_else(|| places(cache_visit, state_visit), |address| address.to_string());
        return Some(same(format!("both URLs lead to one server process: {where_to}")));
    }
    let identities = cache.identity().zip(state.identity());
    if address.is_none() && identities.is_some_and(|(cache, state)| cache.is_same(&state)) {
        return Some(same(format!("both URLs lead to servers of one store: {}", places(cache_visit, state_visit))));
    }
    let replications = [cache, state].map(replications);
    if replications[0].iter().any(|id| replications[1].contains(id)) {
        return Some(same(format!("both servers are of one replication group: {}", places(cache_visit, state_visit))));
    }
    let are_two_processes = cache_info.run_id.is_some() && state_info.run_id.is_some();
    if let Some(address) = address
        && !(are_two_processes || asks_for_two_names(cache_visit, state_visit))
    {
        return Some(same(format!("both URLs lead to {address}")));
    }
    let is_refused = |visit: &Visit<'_>| visit.is_of_cluster() && (!visit.is_for_cluster() || visit.is_down());
    if is_refused(cache_visit) || is_refused(state_visit) {
        // refused as such; it would send the probe key elsewhere
        return None;
    }
    let by_asking = async {
        let leads_to_many = state_visit.is_for_cluster();
        if address.is_some()
            && are_two_processes
            && !leads_to_many
            && !is_steady(draft, cache_visit, state_visit, deadline).await
        {
            return Some(same("both URLs lead to one address, where several servers answer in turn".to_owned()));
        }
        if follows(cache_visit, &state.addresses).await || follows(state_visit, &cache.addresses).await {
            let what = format!("one server is the replica of the other: {}", places(cache_visit, state_visit));
            return Some(same(what));
        }
        match by_probe_key(draft, cache_visit, state_visit).await {
            Fact::Known(false) => None,
            Fact::Known(true) => Some(same(format!(
                "a key that is written through one URL is found through the other: {}",
                places(cache_visit, state_visit)
            ))),
            // two processes of two replication groups are two instances
            Fact::Unknown(_) if are_two_processes && replications.iter().all(|ids| !ids.is_empty()) => None,
            Fact::Unknown(why) => Some(match address {
                Some(address) => same(format!("both URLs lead to {address}, and nothing shows two servers: {why}")),
                None => Finding::new(Code::SameInstanceUnknown, None, why),
            }),
        }
    };
    deadline
        .within(by_asking)
        .await
        .unwrap_or_else(|| Some(Finding::new(Code::SameInstanceUnknown, None, "a server stopped answering")))
}

fn same(what: String) -> Finding {
    Finding::new(Code::SameInstance, None, what)
}

fn places(cache: &Visit<'_>, state: &Visit<'_>) -> String {
    format!("{} and {}", cache.connection.location(), state.connection.location())
}

/// The histories of the servers to which a URL leads.
fn replications<'a>(visited: &'a Visited<'_>) -> Vec<&'a str> {
    let first = visited.visit.as_ref().and_then(|visit| visit.info.replication_id.as_deref());
    let others = visited.others.iter().filter_map(|node| node.replication_id.as_deref());
    first.into_iter().chain(others).filter(|id| id.bytes().any(|byte| byte != b'0')).collect()
}

/// Whether a router can distinguish the URLs by the host name in the TLS handshake.
fn asks_for_two_names(cache: &Visit<'_>, state: &Visit<'_>) -> bool {
    let is_tls = [cache, state].iter().all(|visit| visit.connection.url.is_tls());
    let name = |visit: &Visit<'_>| visit.connection.endpoint().map(|endpoint| endpoint.host.clone());
    is_tls && name(cache) != name(state)
}

/// Whether each URL repeatedly leads to the same process. The order differs from that of a round-robin balancer.
async fn is_steady(draft: &Draft, cache: &Visit<'_>, state: &Visit<'_>, deadline: Deadline) -> bool {
    let again = async |visit: &Visit<'_>| {
        let probe = open_probe(draft, visit.connection, deadline).await.ok()?;
        probe.server_info().await.known()?.run_id
    };
    for _ in 0..TIMES {
        for visit in [state, cache, cache, state] {
            if again(visit).await != visit.info.run_id {
                return false;
            }
        }
    }
    true
}

/// Whether the server is the replica of one at these addresses; its link to it may be down.
async fn follows(visit: &Visit<'_>, addresses: &[SocketAddr]) -> bool {
    let (true, Some(host), Some(port)) = (visit.is_replica(), &visit.info.primary_host, visit.info.primary_port) else {
        return false;
    };
    let resolved = Endpoint::new(host.as_str(), port).resolve().await.unwrap_or_default();
    overlap(&resolved, addresses).is_some()
}

/// A key is written through one URL and searched for through the other. If the write is refused, the directions are
/// swapped.
async fn by_probe_key(draft: &Draft, cache: &Visit<'_>, state: &Visit<'_>) -> Fact<bool> {
    match crosses(draft, cache, state).await {
        Fact::Unknown(why) => match crosses(draft, state, cache).await {
            Fact::Unknown(other) => Fact::Unknown(format!("{why}; {other}")),
            known => known,
        },
        known => known,
    }
}

async fn crosses(draft: &Draft, writer: &Visit<'_>, reader: &Visit<'_>) -> Fact<bool> {
    let value = random();
    let mut unknown = None;
    let count = reader.settings.databases.as_known().copied().unwrap_or(MANY_DATABASES);
    for key in probe_key::of_role(draft, writer.role(), &random()) {
        let why = match writer.probe.set_probe_key(writer.database, &key, &value, TTL).await {
            Ok(()) => match reader.probe.find_probe_key(&key, &value, count).await {
                Fact::Known(found) => return Fact::Known(!found.is_empty()),
                Fact::Unknown(why) => format!("no probe key can be read from the {} store: {why}", reader.role()),
            },
            Err(error) => {
                format!("no probe key can be written to the {} store: {}", writer.role(), error.detail())
            }
        };
        unknown.get_or_insert(why);
    }
    Fact::Unknown(unknown.unwrap_or_default())
}
