//! Files that configure a server: lines that a server refuses, and settings that contradict the server's role.

mod directives;
mod read;
mod role;
mod split;
mod values;

use std::io;
use std::path::{Path, PathBuf};

use store_core::Role;

use crate::{Code, Finding};
use read::ConfLine;

/// Why a configuration file cannot be checked.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be read", path.display())]
pub struct ServerConfError {
    /// The file.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

/// A finding, and the place in a configuration file that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfFinding {
    /// The file. It differs from the checked file if that file includes another.
    pub file: PathBuf,
    /// The line, from 1; `None` if the finding concerns a directive that no line sets.
    pub line: Option<usize>,
    /// What was found. `what` begins with the line. No value of a directive that holds a secret is repeated.
    pub finding: Finding,
}

/// Checks the configuration file of the server that serves `role`: a `redis.conf` or a `valkey.conf` for version 7.0 or later,
/// with the files that it includes. No server is contacted.
///
/// - `conf-invalid`: the server refuses to start with the line. A directive is valid if a supported version of Redis or
///   Valkey has it, and a value is valid if one of them accepts it.
/// - `conf-contradicts-role`: the server starts, and its settings are wrong for the role.
/// - `no-maxmemory` and `no-password` as for a running server.
///
/// Paths of included files are resolved as the server resolves them: relative ones from the current directory. Whether other files
/// exist is not checked, since they belong to the server's machine. Names of commands in `rename-command` and rules in `user`
/// lines are not checked against a server.
///
/// # Errors
/// [`ServerConfError`] if the file itself cannot be read. An included file that cannot be read is a finding.
pub fn check_server_conf(role: Role, path: &Path) -> Result<Vec<ConfFinding>, ServerConfError> {
    let (lines, mut findings) = read::read(role, path)?;
    let mut valid = Vec::new();
    for line in lines {
        match values::check(&line) {
            Ok(()) => valid.push(line),
            Err(what) => findings.push(invalid(role, &line.file, line.number, what)),
        }
    }
    findings.extend(values::check_together(role, &valid));
    findings.extend(role::check(role, path, &valid));
    findings.sort_by_key(|found| found.finding.severity);
    Ok(findings)
}

/// A line with which no server starts.
fn invalid(role: Role, file: &Path, line: usize, what: impl AsRef<str>) -> ConfFinding {
    let mut finding = Finding::new(Code::ConfInvalid, role, format!("line {line}: {}", what.as_ref()));
    finding.why = "A server refuses to start with this line.";
    finding.help =
        "Correct the line. The comments of the redis.conf that the server is shipped with describe each directive."
            .into();
    ConfFinding { file: file.to_owned(), line: Some(line), finding }
}

/// A finding about what a line sets, or about what no line of the file sets.
fn about(role: Role, file: &Path, line: Option<&ConfLine>, code: Code, what: &str) -> ConfFinding {
    let text = line.map_or_else(|| what.to_owned(), |line| format!("line {}: {what}", line.number));
    let file = line.map_or(file, |line| &line.file).to_owned();
    ConfFinding { file, line: line.map(|line| line.number), finding: Finding::new(code, role, text) }
}
