//! The reference microservice of Twinstore: webhook deliveries in, notifications out, one for each delivery id.
//!
//! It is written as a user's service would be: the stores come from the environment ([`run`]), deliveries are ingested under
//! their idempotency keys ([`ingest`]), a worker delivers them under the rate limits of their repositories ([`work`]).

mod cli;
mod delivery;
mod ingest;
mod progress;
mod render;
mod report;
mod run;
mod sample;
mod sink;
mod stop;
mod work;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, Options};
use run::{Failure, Part};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,fred=error".into());
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    let (part, options) = match cli.command {
        None => (Part::Both, Options::default()),
        Some(Command::Run(options)) => (Part::Both, options),
        Some(Command::Ingest(options)) => (Part::Ingest, options),
        Some(Command::Work(options)) => (Part::Work, options),
    };
    let json = options.json;
    match run::run(part, options).await {
        Ok((report, failure)) => {
            if json {
                print(&serde_json::to_string(&report).unwrap_or_default());
            } else {
                print(report.table().trim_end());
            }
            if let Some(failure) = &failure {
                complain(failure);
            }
            if failure.is_some() || report.rejected > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(Failure::Start(error)) => error.exit(),
        Err(Failure::Other(message)) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// A line for people: on standard output, or on standard error where that is kept for JSON.
fn say(json: bool, line: &str) {
    if json { complain(line) } else { print(line) }
}

/// A line on standard output; a reader that is gone is no reason to fail.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line on standard error.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
