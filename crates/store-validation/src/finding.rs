//! A result of a check.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use store_core::Role;

use crate::{Code, Severity};

/// One thing that is wrong, doubtful or unknown. No field holds a secret: URLs are named by their variable and hosts.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::config::{Code, Environment};
/// use twinstore::{StartError, Stores};
///
/// let without_state = [("SERVICE_NAME", "billing"), ("REDIS_CONN_BASE_URL", "embedded:")];
/// let opened = Stores::open(&Environment::from_variables(without_state)).await;
/// let Err(StartError::Refused(refused)) = opened else { panic!("a URL is missing") };
/// let finding = &refused.findings[0];
/// assert_eq!((finding.code, finding.is_error(), finding.role_name()), (Code::UrlMissing, true, "state"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Which kind.
    pub code: Code,
    /// How much it matters: the code's severity, or a warning if `STORE_PREFLIGHT_ALLOW` names the code.
    pub severity: Severity,
    /// The store it concerns; `None`, serialised as `both`, for both or for the service itself.
    #[serde(serialize_with = "role_or_both")]
    pub role: Option<Role>,
    /// What the check observed.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do. A text in backticks that begins with the name of a command can be sent to the server as it is, once each
    /// name in angle brackets is replaced.
    pub help: Cow<'static, str>,
    /// Whether `STORE_PREFLIGHT_ALLOW` names the code. Such a finding is never an error.
    pub allowed: bool,
}

impl Finding {
    /// A finding of this kind; severity, reason and remedy are the code's.
    pub fn new(code: Code, role: impl Into<Option<Role>>, what: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            role: role.into(),
            what: what.into(),
            why: code.why(),
            help: code.help().into(),
            allowed: false,
        }
    }

    /// The same finding with `name`, a word in angle brackets, replaced in the remedy.
    pub(crate) fn with_help(mut self, name: &str, text: &str) -> Self {
        if self.help.contains(name) {
            self.help = self.help.replace(name, text).into();
        }
        self
    }

    /// The same finding with the remedy of another code.
    pub(crate) fn with_remedy_of(mut self, code: Code) -> Self {
        self.help = code.help().into();
        self
    }

    /// The finding after `STORE_PREFLIGHT_ALLOW` was applied.
    pub(crate) fn let_pass(mut self) -> Self {
        if !self.allowed {
            (self.allowed, self.severity) = (true, Severity::Warning);
            self.what.push_str(" (let pass by STORE_PREFLIGHT_ALLOW)");
        }
        self
    }

    /// Whether a service refuses to start because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// `cache`, `state` or `both`.
    pub fn role_name(&self) -> &'static str {
        self.role.map_or("both", Role::name)
    }
}

/// Three lines: severity, code, role and what was observed; the reason; the remedy.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}[{}] {}: {}", self.severity.name(), self.code, self.role_name(), self.what)?;
        writeln!(f, "  why:  {}", self.why)?;
        write!(f, "  help: {}", self.help)
    }
}

fn role_or_both<S: Serializer>(role: &Option<Role>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role.map_or("both", Role::name))
}
