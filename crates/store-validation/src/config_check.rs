//! The command that makes the checks of a service's start without starting it: `cargo xtask config-check` and
//! `twinstore check`.

mod format;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use store_core::Role;

use crate::{
    ConfFinding, EnvFileError, Environment, Finding, PreflightMode, Report, ServerConfError, Severity, check,
    check_environment, check_fleet, check_server_conf, environment_table_markdown,
};

/// The exit code of wrong usage, the same as clap's.
const WRONG_USAGE: u8 = 2;

/// Check the environment of one service, or of a fleet, and the servers that it names; or files that configure servers.
///
/// Exits with 0 if the services would start, 1 if one would refuse to start or a configuration file has an error, 2 on wrong usage. With STORE_PREFLIGHT=warn a
/// service starts despite errors, if its settings can be used.
#[derive(Debug, clap::Args)]
#[non_exhaustive]
pub struct ConfigCheck {
    /// A file or pipe of NAME=value lines, used instead of this process's environment; several files are a fleet.
    ///
    /// Each line has one variable; its value is everything after `=`, taken literally. Forms that `docker run --env-file`,
    /// Compose and systemd read differently are refused with their line: quotes around a value, `$`, `\`, blanks around a
    /// value, a comment after it, `export`, values over several lines.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// A configuration file of the server with this role: `state=path/redis.conf` or `cache=path/redis.conf`; may be repeated.
    ///
    /// Reports the lines that a server refuses, and the settings that contradict the role. Without `--env-file` no environment
    /// is checked.
    #[arg(long, value_name = "ROLE=FILE", value_parser = conf_file)]
    redis_conf: Vec<(Role, PathBuf)>,
    /// Turn every warning, including mistyped variables, into an error, except those that STORE_PREFLIGHT_ALLOW names; and
    /// exit with 1 on errors even with STORE_PREFLIGHT=warn.
    #[arg(long)]
    strict: bool,
    /// In the format `text`, also print the capabilities of each server, and what each missing one degrades.
    #[arg(long, conflicts_with = "offline")]
    capabilities: bool,
    /// Contact no server.
    #[arg(long)]
    offline: bool,
    /// The format of the findings on standard output.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print the table of all variables in Markdown, and check nothing.
    #[arg(long, exclusive = true)]
    variables: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
    /// Annotations of GitHub Actions.
    Github,
}

/// A finding, and the file that it concerns.
#[derive(Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// In a server's configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(flatten)]
    finding: Finding,
}

#[derive(Serialize)]
struct Summary {
    findings: Vec<Line>,
    errors: usize,
    warnings: usize,
    /// The capabilities of the servers, if requested.
    #[serde(skip)]
    capabilities: Vec<String>,
    /// Whether a service would refuse to start, or there is an error in a configuration file or with `--strict`.
    refused: bool,
}

impl ConfigCheck {
    /// Runs the command: findings on standard output, wrong usage on standard error after `name`. Blocks until all answers are
    /// known, at most ten seconds or the longest connect time-out; call it outside an asynchronous runtime.
    pub fn run(self, name: &str) -> ExitCode {
        if self.variables {
            return print(name, &environment_table_markdown(), ExitCode::SUCCESS);
        }
        let environments = match self.environments() {
            Ok(environments) => environments,
            Err(error) => {
                let annotated = matches!(self.format, Format::Github).then(|| format::annotation(&error));
                print(name, &annotated.unwrap_or_default(), ExitCode::SUCCESS);
                return refuse(name, &error);
            }
        };
        let of_conf_files = match self.conf_files() {
            Ok(findings) => findings,
            Err(error) => return refuse(name, &error),
        };
        let summary = match self.check(environments, of_conf_files) {
            Ok(summary) => summary,
            Err(error) => return refuse(name, &error),
        };
        let code = if summary.refused { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        match self.format {
            Format::Text => print(name, &format::text(&summary), code),
            Format::Github => print(name, &format::github(&summary), code),
            Format::Json => match serde_json::to_string(&summary) {
                Ok(json) => print(name, &format!("{json}\n"), code),
                Err(error) => refuse(name, &error),
            },
        }
    }

    fn environments(&self) -> Result<Vec<(Option<String>, Environment)>, EnvFileError> {
        if self.env_file.is_empty() {
            if !self.redis_conf.is_empty() {
                return Ok(Vec::new());
            }
            return Ok(vec![(None, Environment::from_process())]);
        }
        let read = |path: &PathBuf| Ok((Some(path.display().to_string()), Environment::from_file(path)?));
        self.env_file.iter().map(read).collect()
    }

    fn conf_files(&self) -> Result<Vec<Line>, ServerConfError> {
        let mut lines = Vec::new();
        for (role, path) in &self.redis_conf {
            let line = |found: ConfFinding| Line {
                file: Some(found.file.display().to_string()),
                line: found.line,
                finding: found.finding,
            };
            lines.extend(check_server_conf(*role, path)?.into_iter().map(line));
        }
        Ok(lines)
    }

    fn check(
        &self,
        environments: Vec<(Option<String>, Environment)>,
        of_conf_files: Vec<Line>,
    ) -> std::io::Result<Summary> {
        let (files, environments): (Vec<_>, Vec<_>) = environments.into_iter().unzip();
        let reports = if self.offline {
            environments.iter().map(check_environment).collect()
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(check_all(environments))?
        };
        let named: Vec<_> =
            files.iter().map(|file| file.as_deref().unwrap_or("the environment")).zip(&reports).collect();
        let of_fleet = check_fleet(&named);
        let mut findings = Vec::new();
        for (place, (file, report)) in files.iter().zip(&reports).enumerate() {
            let of_file = of_fleet.iter().filter(|(concerned, _)| *concerned == place).map(|(_, finding)| finding);
            let all = report.findings().iter().chain(of_file);
            findings.extend(all.map(|finding| Line { file: file.clone(), line: None, finding: finding.clone() }));
        }
        let conf_refused = of_conf_files.iter().any(|line| line.finding.is_error());
        findings.extend(of_conf_files);
        if self.strict {
            findings.iter_mut().for_each(|line| line.finding.severity = strictly(&line.finding));
        }
        let errors = findings.iter().filter(|line| line.finding.is_error()).count();
        let is_enforced = reports.iter().any(|report| report.preflight() == PreflightMode::Enforce);
        let of_fleet_refuse = is_enforced && of_fleet.iter().any(|(_, finding)| finding.is_error());
        let refused =
            conf_refused || of_fleet_refuse || reports.iter().any(Report::refuses) || (self.strict && errors > 0);
        let asks = self.capabilities;
        let mut capabilities: Vec<_> = reports.iter().filter(|_| asks).flat_map(Report::capabilities).collect();
        // the services of a fleet share their servers
        capabilities.sort();
        capabilities.dedup();
        Ok(Summary { warnings: findings.len() - errors, errors, findings, capabilities, refused })
    }
}

/// The value of `--redis-conf`.
fn conf_file(text: &str) -> Result<(Role, PathBuf), String> {
    let (role, path) = text.split_once('=').ok_or("write ROLE=FILE, such as state=redis.conf")?;
    let role = [Role::Cache, Role::State].into_iter().find(|known| known.name() == role);
    Ok((role.ok_or("the role is cache or state")?, path.into()))
}

/// A warning that is not allowed is an error.
fn strictly(finding: &Finding) -> Severity {
    if finding.allowed { finding.severity } else { Severity::Error }
}

/// Concurrently: all servers that are down cost one connect time-out together.
async fn check_all(environments: Vec<Environment>) -> std::io::Result<Vec<Report>> {
    let spawn = |environment: Environment| tokio::spawn(async move { check(&environment).await });
    let tasks: Vec<_> = environments.into_iter().map(spawn).collect();
    let mut reports = Vec::with_capacity(tasks.len());
    for task in tasks {
        reports.push(task.await?);
    }
    Ok(reports)
}

/// Writes to standard output. A reader that closes it early is not an error.
fn print(name: &str, text: &str, code: ExitCode) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => refuse(name, &error),
        _ => code,
    }
}

fn refuse(name: &str, error: &dyn std::error::Error) -> ExitCode {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    // A closed standard error is ignored: the exit code remains.
    let _ = writeln!(std::io::stderr(), "{name}: {error}{cause}");
    ExitCode::from(WRONG_USAGE)
}
