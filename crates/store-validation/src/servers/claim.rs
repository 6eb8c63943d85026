//! What a service writes to its servers: marks, and the ownership of its database number.

use std::sync::Arc;

use redis_link::Probe;
use store_core::Role;

use super::deadline::Deadline;
use super::marks;
use super::owner::{Numbers, Side};
use super::visit::open_probe;
use crate::draft::Draft;
use crate::settings::PreflightMode;
use crate::{Code, Finding};

/// The claims that a running service renews: its database number, and the marks of both servers.
///
/// A number is free again if its owner was not seen for seven days. A running service refreshes its claims about once
/// an hour, which also restores claims that a flush of the cache removed. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Claims {
    draft: Arc<Draft>,
}

impl Claims {
    pub(crate) fn new(draft: Draft) -> Self {
        Self { draft: Arc::new(draft) }
    }

    /// Whether there is anything to claim, which is so if a store is on a server.
    pub fn is_empty(&self) -> bool {
        [Role::Cache, Role::State].into_iter().all(|role| self.draft.server(role).is_none())
    }

    /// Repeats the checks that ran before the start: after a failover or a reconnection, another server may answer. Takes at most
    /// ten seconds, or the longest connect time-out if that is longer.
    pub async fn prove(&self) -> Proven {
        let (mut findings, _) = Box::pin(super::check(&self.draft, Deadline::of(&self.draft))).await;
        let is_silent = |role: &Role| {
            let of_role = |finding: &&Finding| finding.role.is_none_or(|of| of == *role);
            findings.iter().filter(of_role).any(|finding| finding.code == Code::Unreachable)
        };
        let silent = [Role::Cache, Role::State].into_iter().filter(is_silent).collect();
        findings.retain(|finding| {
            finding.is_error() && finding.code.is_lasting() && !self.draft.allow.contains(&finding.code)
        });
        let (wrong, tolerated) = match self.draft.preflight {
            PreflightMode::Enforce => (findings, Vec::new()),
            PreflightMode::Warn => (Vec::new(), findings),
        };
        Proven { wrong, tolerated, silent }
    }

    /// Renews the claims, and restores those that are gone. Opens one connection to each server and closes it again.
    /// Takes at most ten seconds, or the longest connect time-out if that is longer.
    ///
    /// Returns what is wrong: a server that does not answer, or a mark or number that another service has claimed
    /// meanwhile. Errors are logged, unless `STORE_PREFLIGHT_ALLOW` names their code. The service may continue.
    pub async fn refresh(&self) -> Vec<Finding> {
        let let_pass =
            |finding: Finding| if self.draft.allow.contains(&finding.code) { finding.let_pass() } else { finding };
        let findings = Box::pin(claim(&self.draft, Deadline::of(&self.draft))).await;
        let findings: Vec<_> = findings.into_iter().map(let_pass).collect();
        for finding in findings.iter().filter(|finding| finding.is_error()) {
            let (code, role) = (finding.code.name(), finding.role_name());
            tracing::error!(code, role, help = &*finding.help, "{}", finding.what);
        }
        findings
    }
}

/// What the repeated checks found.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The errors about the identity, the settings and the rights of the servers. None with `STORE_PREFLIGHT=warn`.
    pub wrong: Vec<Finding>,
    /// With `STORE_PREFLIGHT=warn`: these errors. They do not make the service unready.
    pub tolerated: Vec<Finding>,
    /// The roles of which a server did not answer, so that an earlier error may still be there.
    pub silent: Vec<Role>,
}

impl Proven {
    /// Whether all servers answered, and nothing is wrong.
    pub fn is_right(&self) -> bool {
        self.wrong.is_empty() && self.silent.is_empty()
    }

    /// Whether an error that an earlier check of this role found, and this one did not, may still be there.
    pub fn leaves_open(&self, role: Role, earlier: &Finding) -> bool {
        match earlier.role {
            Some(_) => self.silent.contains(&role),
            None => !self.silent.is_empty(),
        }
    }
}

/// Writes the absent claims, then reads all: of two conflicting services that start at the same time, one is refused.
pub(crate) async fn claim(draft: &Draft, deadline: Deadline) -> Vec<Finding> {
    let mut findings = Vec::new();
    if Box::pin(deadline.within(claim_all(draft, deadline, &mut findings))).await.is_none() {
        let what = "a server stopped answering while this service wrote its marks";
        findings.push(Finding::new(Code::Unreachable, None, what));
    }
    findings
}

async fn claim_all(draft: &Draft, deadline: Deadline, findings: &mut Vec<Finding>) {
    let open = async |role: Role| match draft.server(role) {
        Some(connection) => open_probe(draft, connection, deadline).await.map(|probe| Some((connection, probe))),
        None => Ok(None),
    };
    let (cache, state) = tokio::join!(open(Role::Cache), open(Role::State));
    let mut opened = |result: Result<Option<_>, Finding>| {
        result.unwrap_or_else(|finding| {
            findings.push(finding);
            None
        })
    };
    let (cache, state) = (opened(cache), opened(state));
    let run_id = async |opened: &Option<(_, Probe)>| opened.as_ref()?.1.server_info().await.known()?.run_id;
    let (cache_run_id, state_run_id) = tokio::join!(run_id(&cache), run_id(&state));
    let are_one = cache_run_id.is_some() && cache_run_id == state_run_id;
    for (connection, probe) in [&cache, &state].into_iter().flatten() {
        marks::claim(draft, connection, probe, are_one, findings).await;
    }
    let own = draft.database.filter(|_| draft.database != draft.shared_database);
    if let (Some((connection, cache)), Some(number), Some(service)) = (&cache, own, &draft.service) {
        let cache = Side { connection, probe: cache };
        let state = state.as_ref().map(|(connection, probe)| Side { connection, probe });
        Numbers::new(cache, state, cache_run_id).claim(number, service.as_str(), findings).await;
    }
}
