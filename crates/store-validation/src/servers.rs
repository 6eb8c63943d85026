//! Checks that query the servers. Each takes the facts about a server and returns findings.

mod acl;
mod claim;
mod clients;
mod clock;
mod databases;
mod deadline;
mod engine;
mod groups;
mod hosts;
mod identity;
mod marks;
mod memory;
mod nodes;
mod owner;
mod persistence;
mod probe_key;
mod quorum;
mod refused;
mod release;
mod replicas;
mod same_instance;
mod visit;

use redis_link::{Capabilities, Probe};
use store_core::Role;

pub(crate) use claim::claim;
pub use claim::{Claims, Proven};
pub(crate) use deadline::Deadline;
pub(crate) use hosts::decide;
pub(crate) use identity::Identity;
pub use release::{NotReleased, NumberOwner, NumberRelease, ReleaseRequest, release_number};
use visit::{Visit, Visited};

use crate::Finding;
use crate::draft::Draft;

/// The servers of one environment, by which the services of a fleet are compared.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    pub(crate) cache: Option<Identity>,
    pub(crate) state: Option<Identity>,
    /// The role, the location and the capabilities of each server that answered.
    pub(crate) capabilities: Vec<(Role, String, Capabilities)>,
}

/// Checks both servers concurrently.
pub(crate) async fn check(draft: &Draft, deadline: Deadline) -> (Vec<Finding>, Identities) {
    // without the files of its connection a server cannot be queried
    let reachable =
        |role: Role| draft.server(role).filter(|connection| connection.files_are_right && !connection.is_undecided);
    let visit = async |role: Role| match reachable(role) {
        Some(connection) => Box::pin(visit::visit(draft, connection, deadline)).await,
        None => Visited::default(),
    };
    let group = async |role: Role| groups::check(draft, reachable(role)?).await;
    let (mut cache, mut state, of_cache, of_state) =
        tokio::join!(visit(Role::Cache), visit(Role::State), group(Role::Cache), group(Role::State));
    let mut findings = std::mem::take(&mut cache.findings);
    findings.append(&mut state.findings);
    findings.extend(of_cache.into_iter().chain(of_state));
    findings.extend(same_instance::check(draft, &cache, &state, deadline).await);
    let state_visit = state.visit.as_ref().filter(|visit| !visit.is_down());
    let owners = owner::check(draft, cache.visit.as_ref(), state_visit);
    findings.extend(deadline.within(owners).await.unwrap_or_default());
    let capabilities = [&cache.visit, &state.visit].into_iter().flatten().map(Visit::capabilities).collect();
    (findings, Identities { cache: cache.identity(), state: state.identity(), capabilities })
}

/// Everything about one server that does not need the other one.
async fn check_one(draft: &Draft, visit: &Visit<'_>, findings: &mut Vec<Finding>) {
    let unfit = engine::check(visit);
    if !unfit.is_empty() {
        findings.extend(unfit);
        return;
    }
    if visit.is_down() {
        return;
    }
    if !visit.is_for_cluster() {
        check_server(draft, visit, findings).await;
    }
    findings.extend(quorum::check(draft, visit).await);
    match engine::scripts(visit).await {
        // a script checks what the user may do
        Some(finding) => findings.push(finding),
        // The rights are checked on each node of a cluster, because each node has its own users.
        None if visit.is_for_cluster() => {}
        None => findings.extend(acl::check(draft, visit).await),
    }
    findings.extend(databases::check(draft, visit).await);
    findings.extend(marks::check(draft, visit).await);
}

/// The settings and the state of one server that accepts writes.
async fn check_server(draft: &Draft, visit: &Visit<'_>, findings: &mut Vec<Finding>) {
    findings.extend(engine::version(visit));
    findings.extend(engine::bits(visit));
    findings.extend(memory::check(visit));
    findings.extend(persistence::check(visit).await);
    findings.extend(persistence::fsync(draft, visit).await);
    findings.extend(engine::degraded(visit));
    findings.extend(replicas::check(draft, visit));
    findings.extend(clients::check(visit));
    findings.extend(clients::eviction(visit));
    findings.extend(clock::check(visit).await);
}

/// Whether the server accepts clients without a password, whatever the URL has.
async fn open_to_all(draft: &Draft, connection: &crate::draft::Connection) -> Option<Finding> {
    let is_open = Probe::is_open_to_all(draft.link(connection, Some(0))).await.known()?;
    let what = format!("{}: the server accepts clients without a password", connection.location());
    let finding = Finding::new(crate::Code::NoPassword, connection.role, what).with_help("<user>", "default");
    is_open.then(|| connection.fill(finding))
}
