//! The findings of one environment.

use redis_link::Capabilities;
use store_core::Role;

use crate::draft::Draft;
use crate::servers::{self, Deadline, Identities};
use crate::{Code, Environment, Finding, PreflightMode, Settings, in_memory, read, same_engine};

/// The result of checking one environment. `Debug` shows no secret.
#[derive(Debug)]
pub struct Report {
    pub(crate) draft: Draft,
    pub(crate) identities: Identities,
    findings: Vec<Finding>,
}

/// Runs the checks that need no server. The only I/O is to read the files that variables name.
pub fn check_environment(environment: &Environment) -> Report {
    let (draft, mut findings) = read::read(environment);
    findings.extend(read::credentials(&draft));
    findings.extend(same_engine::check(&draft));
    findings.extend(in_memory::check(&draft));
    let mut report = Report { draft, identities: Identities::default(), findings: Vec::new() };
    report.add(findings);
    report
}

/// Checks the environment, and then both of its servers concurrently.
///
/// It leaves nothing on the servers: it only writes a probe key with a TTL of ten seconds. A server that is down is
/// reported as unreachable within the connect time-out. All checks together take at most ten seconds, or the longest
/// connect time-out if that is longer; everything found until then is reported.
pub async fn check(environment: &Environment) -> Report {
    let mut report = check_environment(environment);
    let deadline = Deadline::of(&report.draft);
    report.ask_servers(deadline).await;
    report
}

impl Report {
    /// The findings; errors first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The capabilities of each server that answered: a line with its role and its location, and then one line per capability.
    /// Empty if no server was queried.
    pub fn capabilities(&self) -> Vec<String> {
        let matrix = |(role, place, found): &(Role, String, Capabilities)| {
            let lines = found.to_string().replace('\n', "\n  ");
            format!("{role} server {place}\n  {lines}")
        };
        self.identities.capabilities.iter().map(matrix).collect()
    }

    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.is_error()).count()
    }

    /// Whether a service with this environment refuses to start: because of an error, unless `STORE_PREFLIGHT=warn`
    /// makes it a warning, or because the variables are invalid.
    pub fn refuses(&self) -> bool {
        self.settings().is_none_or(|settings| settings.preflight == PreflightMode::Enforce && self.errors() > 0)
    }

    /// How the environment treats errors.
    pub fn preflight(&self) -> PreflightMode {
        self.draft.preflight
    }

    /// The settings, if all variables are valid.
    pub fn settings(&self) -> Option<Settings> {
        self.draft.settings()
    }

    /// Checks the servers.
    pub(crate) async fn ask_servers(&mut self, deadline: Deadline) {
        let contradictions = servers::decide(&mut self.draft, deadline).await;
        self.add(contradictions);
        let (findings, identities) = Box::pin(servers::check(&self.draft, deadline)).await;
        self.identities = identities;
        self.add(findings);
    }

    /// Adds findings. An allowed code becomes a warning; a finding that is already there is not added again.
    pub(crate) fn add(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            let finding = if self.lets_pass(finding.code) { finding.let_pass() } else { finding };
            let is_told = |told: &Finding| told.code == finding.code && told.role == finding.role;
            let same_help = |told: &Finding| finding.code.is_reported_once() && told.help == finding.help;
            let same_text = |told: &Finding| told.what == finding.what || same_help(told);
            if !self.findings.iter().any(|told| is_told(told) && same_text(told)) {
                self.findings.push(finding);
            }
        }
        // If a server refuses the login, neither the user's rights nor whether the port is open to all are known.
        let refused: Vec<_> =
            self.findings.iter().filter(|told| told.code == Code::AuthRefused).map(|told| told.role).collect();
        let is_moot = |told: &Finding| matches!(told.code, Code::NoPassword | Code::DefaultUser);
        self.findings.retain(|told| !(is_moot(told) && refused.contains(&told.role)));
        self.findings.sort_by_key(|finding| finding.severity);
    }

    /// Whether `STORE_PREFLIGHT_ALLOW` of this environment names the code.
    pub(crate) fn lets_pass(&self, code: Code) -> bool {
        self.draft.allow.contains(&code)
    }
}
