//! How much a finding matters.

use serde::{Deserialize, Serialize};

/// How much a finding matters.
///
/// ```
/// use twinstore::config::{Code, Severity};
///
/// assert_eq!(Code::UrlMissing.severity(), Severity::Error);
/// assert_eq!(Severity::Error.name(), "error");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The service refuses to start.
    Error,
    /// The service starts; the finding is logged.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}
