//! The function that a service calls before it opens its stores.

use std::fmt;

use crate::servers::{self, Claims, Deadline};
use crate::settings::{PreflightMode, Settings};
use crate::{Environment, Finding, Severity, check_environment};

/// Checked settings, and the findings that do not prevent the start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Validated {
    /// The settings.
    pub settings: Settings,
    /// Warnings, and with `STORE_PREFLIGHT=warn` errors. All have been logged.
    pub warnings: Vec<Finding>,
    /// The claims of the service, to be refreshed about once an hour.
    pub claims: Claims,
}

/// The service must not start: all findings, errors first. It contains no secret. `Display` shows everything, for the
/// standard error of a service that then exits with 78.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::config::Environment;
/// use twinstore::{StartError, Stores};
///
/// let nothing = Environment::from_variables([("SERVICE_NAME", "billing")]);
/// let Err(StartError::Refused(refused)) = Stores::open(&nothing).await else { panic!("no URL is set") };
/// assert!(refused.findings.len() >= 2);
/// assert!(refused.to_string().starts_with("the service must not start"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refused {
    /// The findings, with at least one error.
    pub findings: Vec<Finding>,
}

/// Checks the environment and the servers that it names, and claims them for this service.
///
/// If nothing forbids the start, the service writes its claims: itself as the owner of its database number, into that
/// database and into the state store; and, if absent, the role of each server and the environment of
/// `STORE_ENVIRONMENT`. From then on, no service with the same number, with swapped servers, or with another
/// environment or none starts on these servers. Apart from that, only probe keys with a TTL of seconds are written. The
/// number is free again if the service was not seen for seven days, so a running service refreshes its claims
/// ([`Validated::claims`]).
///
/// All of it takes at most ten seconds, or the longest connect time-out if that is longer.
/// Every warning is logged.
///
/// # Errors
/// [`Refused`] with all findings if one of them is an error. `STORE_PREFLIGHT=warn` makes every error a warning, but
/// invalid or missing settings still refuse the start.
pub async fn validate(environment: &Environment) -> Result<Validated, Refused> {
    let mut report = check_environment(environment);
    let deadline = Deadline::of(&report.draft);
    report.ask_servers(deadline).await;
    let Some(settings) = report.settings() else { return Err(Refused { findings: report.findings().to_vec() }) };
    let is_enforced = settings.preflight == PreflightMode::Enforce;
    if report.errors() == 0 || !is_enforced {
        report.add(Box::pin(servers::claim(&report.draft, deadline)).await);
    }
    if report.refuses() {
        return Err(Refused { findings: report.findings().to_vec() });
    }
    let warnings = report.findings().to_vec();
    for finding in &warnings {
        let (code, role) = (finding.code.name(), finding.role_name());
        match finding.severity {
            Severity::Error => tracing::error!(code, role, help = &*finding.help, "{}", finding.what),
            Severity::Warning => tracing::warn!(code, role, help = &*finding.help, "{}", finding.what),
        }
    }
    Ok(Validated { settings, warnings, claims: Claims::new(report.draft) })
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.findings.iter().filter(|finding| finding.is_error()).count();
        write!(f, "the service must not start: {errors} {}", if errors == 1 { "error" } else { "errors" })?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n{finding}"))
    }
}

impl std::error::Error for Refused {}
