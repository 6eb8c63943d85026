//! The reference microservice of Twinstore: webhook deliveries in, notifications out, one for each delivery id and none
//! lost; one may be sent twice when something fails in the middle.
//!
//! It is written as a user's service would be: the stores come from the environment ([`run`]), deliveries are ingested under
//! their idempotency keys ([`ingest`]), a worker delivers them under the rate limits of their repositories ([`work`]), and what
//! happens to them is recorded in a log ([`log`]) that can be followed ([`events`]).

mod cli;
mod delivery;
mod events;
mod follow;
mod ingest;
mod log;
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

use cli::{Cli, Command, IngestOptions, Options};
use follow::Followed;
use run::{Part, RunError};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(execute(cli));
    // A thread that reads an idle pipe or terminal ends only with the process.
    runtime.shutdown_background();
    code
}

async fn execute(cli: Cli) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,fred=error".into());
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    let (part, options) = match cli.command {
        None => (Part::Both, Options::default()),
        Some(Command::Run(options)) => (Part::Both, options),
        Some(Command::Ingest(IngestOptions { options, follow: None, .. })) => (Part::Ingest, options),
        Some(Command::Ingest(IngestOptions { options, follow: Some(file), stream })) => {
            (Part::Follow(Followed { file, stream }), options)
        }
        Some(Command::Work(options)) => (Part::Work, options),
        Some(Command::Events(options)) => {
            return run::events(options).await.map_or_else(failed, |()| ExitCode::SUCCESS);
        }
    };
    let json = options.json;
    match run::run(part, options).await {
        Ok((report, failure)) => {
            let text = if json { serde_json::to_string(&report).unwrap_or_default() } else { report.table() };
            let told = tell(text.trim_end());
            for failure in failure.iter().chain(&told) {
                complain(failure);
            }
            if failure.is_some() || told.is_some() || report.rejected > 0 {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => failed(error),
    }
}

fn failed(error: RunError) -> ExitCode {
    match error {
        RunError::Start(error) => error.exit(),
        RunError::Other(message) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// A line for people: on standard output, or on standard error where that is kept for JSON.
fn say(json: bool, line: &str) {
    if json {
        complain(line);
    } else {
        let _ = tell(line);
    }
}

/// A line on standard output, and why it could not be written; a reader that is gone is no reason to fail.
fn tell(line: &str) -> Option<String> {
    let mut stdout = std::io::stdout();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Some(format!("cannot report: {error}")),
        _ => None,
    }
}

/// A line on standard error.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
