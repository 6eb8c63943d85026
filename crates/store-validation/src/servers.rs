//! Checks that ask the servers. Each takes what was seen and answers findings.

mod acl;
mod clock;
mod databases;
mod engine;
mod marks;
mod memory;
mod persistence;
mod refused;
mod replicas;
mod same_instance;
mod visit;

use redis_link::Probe;
use store_core::Role;

pub(crate) use marks::claim;
pub(crate) use same_instance::Identity;
use visit::{Visit, Visited};

use crate::Finding;
use crate::draft::Draft;

/// Asks both servers at once. Also answers the identity of the cache server, by which a fleet's services are compared.
pub(crate) async fn check(draft: &Draft) -> (Vec<Finding>, Option<Identity>) {
    // without the files of its connection a server can be asked nothing
    let reachable = |role: Role| draft.server(role).filter(|connection| connection.files_are_right);
    let visit = async |role: Role| match reachable(role) {
        Some(connection) => visit::visit(draft, connection).await,
        None => Visited::default(),
    };
    let (mut cache, mut state) = tokio::join!(visit(Role::Cache), visit(Role::State));
    let mut findings = std::mem::take(&mut cache.findings);
    findings.append(&mut state.findings);
    findings.extend(same_instance::check(&cache, &state).await);
    (findings, cache.identity())
}

/// Everything about one server that can be asked of it alone.
async fn check_one(draft: &Draft, visit: &Visit<'_>) -> Vec<Finding> {
    let mut findings = engine::check(visit);
    if !findings.is_empty() {
        return findings;
    }
    findings.extend(engine::version(visit));
    findings.extend(memory::check(visit));
    findings.extend(persistence::check(visit));
    findings.extend(replicas::check(draft, visit));
    findings.extend(clock::check(visit).await);
    findings.extend(acl::check(draft, visit).await);
    findings.extend(databases::check(draft, visit).await);
    findings.extend(marks::check(draft, visit).await);
    findings
}

/// Whether the server lets in everybody, whatever the URL says.
async fn open_to_all(draft: &Draft, connection: &crate::draft::Connection) -> Option<Finding> {
    let is_open = Probe::is_open_to_all(draft.link(connection, Some(0))).await.known()?;
    let what = format!("{}: the server lets in everybody without a password", connection.place());
    let finding = Finding::new(crate::Code::NoPassword, connection.role, what).with_help("<user>", "default");
    is_open.then(|| connection.fill(finding))
}
