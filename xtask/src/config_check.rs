//! `cargo xtask config-check`: the checks that a service makes before it starts, without starting it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use store_validation::{
    EnvFileError, Environment, Finding, PreflightMode, Report, Severity, check, check_environment, check_fleet,
    environment_table_markdown,
};

/// The exit code of wrong usage, the same as clap's.
const WRONG_USAGE: u8 = 2;

/// Check the environment of one service, or of a fleet, and the servers that it names.
///
/// Exits with 0 if the services would start, 1 if one would refuse to start, 2 on wrong usage. With STORE_PREFLIGHT=warn a
/// service starts despite errors, if its settings can be used.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigCheck {
    /// A file or pipe of NAME=value lines, used instead of this process's environment; several files are a fleet.
    ///
    /// Each line has one variable; its value is everything after `=`, taken literally. Forms that `docker run --env-file`,
    /// Compose and systemd read differently are refused with their line: quotes around a value, `$`, `\`, blanks around a
    /// value, a comment after it, `export`, values over several lines.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Turn every warning, including mistyped variables, into an error, except those that STORE_PREFLIGHT_ALLOW names; and
    /// exit with 1 on errors even with STORE_PREFLIGHT=warn.
    #[arg(long)]
    strict: bool,
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
    #[serde(flatten)]
    finding: Finding,
}

#[derive(Serialize)]
struct Summary {
    findings: Vec<Line>,
    errors: usize,
    warnings: usize,
    /// Whether a service would refuse to start, or, with `--strict`, there is an error.
    refused: bool,
}

impl ConfigCheck {
    pub(crate) fn run(self) -> ExitCode {
        if self.variables {
            return print(&environment_table_markdown(), ExitCode::SUCCESS);
        }
        let environments = match self.environments() {
            Ok(environments) => environments,
            Err(error) => {
                let annotated = matches!(self.format, Format::Github).then(|| annotation(&error));
                print(&annotated.unwrap_or_default(), ExitCode::SUCCESS);
                return refuse(&error);
            }
        };
        let summary = match self.check(environments) {
            Ok(summary) => summary,
            Err(error) => return refuse(&error),
        };
        let code = if summary.refused { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        match self.format {
            Format::Text => print(&text(&summary), code),
            Format::Github => print(&github(&summary), code),
            Format::Json => match serde_json::to_string(&summary) {
                Ok(json) => print(&format!("{json}\n"), code),
                Err(error) => refuse(&error),
            },
        }
    }

    fn environments(&self) -> Result<Vec<(Option<String>, Environment)>, EnvFileError> {
        if self.env_file.is_empty() {
            return Ok(vec![(None, Environment::from_process())]);
        }
        let read = |path: &PathBuf| Ok((Some(path.display().to_string()), Environment::from_file(path)?));
        self.env_file.iter().map(read).collect()
    }

    fn check(&self, environments: Vec<(Option<String>, Environment)>) -> std::io::Result<Summary> {
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
            findings.extend(all.map(|finding| Line { file: file.clone(), finding: finding.clone() }));
        }
        if self.strict {
            findings.iter_mut().for_each(|line| line.finding.severity = strictly(&line.finding));
        }
        let errors = findings.iter().filter(|line| line.finding.is_error()).count();
        let is_enforced = reports.iter().any(|report| report.preflight() == PreflightMode::Enforce);
        let of_fleet_refuse = is_enforced && of_fleet.iter().any(|(_, finding)| finding.is_error());
        let refused = of_fleet_refuse || reports.iter().any(Report::refuses) || (self.strict && errors > 0);
        Ok(Summary { warnings: findings.len() - errors, errors, findings, refused })
    }
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

fn text(summary: &Summary) -> String {
    let mut text = String::new();
    for Line { file, finding } in &summary.findings {
        let file = file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default();
        let _ = writeln!(text, "{file}{finding}\n");
    }
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let started =
        if summary.errors > 0 && !summary.refused { "; STORE_PREFLIGHT=warn: the start is not refused" } else { "" };
    let _ = writeln!(text, "{}, {}{started}", plural(summary.errors, "error"), plural(summary.warnings, "warning"));
    text
}

fn github(summary: &Summary) -> String {
    let mut text = String::new();
    for Line { file, finding } in &summary.findings {
        let level = finding.severity.name();
        let file = file.as_ref().map(|file| format!("file={},", property(file))).unwrap_or_default();
        let message = format!("{}: {}\n{}\n{}", finding.role_name(), finding.what, finding.why, finding.help);
        let _ = writeln!(text, "::{level} {file}title={}::{}", property(finding.code.name()), escape(&message));
    }
    text
}

/// An env file that was refused, at its line.
fn annotation(error: &EnvFileError) -> String {
    let place = match error {
        EnvFileError::Line { path, line, .. } => format!(" file={},line={line}", property(&path.display().to_string())),
        EnvFileError::Unreadable { path, .. } | EnvFileError::Form { path, .. } => {
            format!(" file={}", property(&path.display().to_string()))
        }
        _ => String::new(),
    };
    format!("::error{place}::{}\n", escape(&error.to_string()))
}

/// The message of an annotation.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of an annotation.
fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

/// Writes to standard output. A reader that closes it early is not an error.
fn print(text: &str, code: ExitCode) -> ExitCode {
    use std::io::Write as _;

    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => refuse(&error),
        _ => code,
    }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    eprintln!("config-check: {error}{cause}");
    ExitCode::from(WRONG_USAGE)
}

#[cfg(test)]
mod tests {
    use store_validation::{Code, Finding};

    use super::{Line, Summary, github, text};

    fn summary() -> Summary {
        let finding = Finding::new(Code::NoTls, None, "100 %,\r\nhere: there");
        Summary {
            findings: vec![Line { file: Some("a,b:c.env".to_owned()), finding }],
            errors: 0,
            warnings: 1,
            refused: false,
        }
    }

    #[test]
    fn an_annotation_is_one_line_and_escaped() {
        let text = github(&summary());
        assert!(
            text.starts_with("::warning file=a%2Cb%3Ac.env,title=no-tls::both: 100 %25,%0D%0Ahere: there%0A"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn the_text_ends_with_the_counts_and_json_is_flat() {
        assert!(text(&summary()).ends_with("\n0 errors, 1 warning\n"));
        let json = serde_json::to_value(summary()).unwrap();
        assert_eq!(json["findings"][0]["code"], "no-tls");
        assert_eq!(json["findings"][0]["severity"], "warning");
        assert_eq!(json["findings"][0]["role"], "both");
        assert_eq!(json["findings"][0].as_object().unwrap().len(), 8);
    }
}
