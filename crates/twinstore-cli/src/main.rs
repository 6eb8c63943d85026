//! The `twinstore` command: operators inspect the state store with it, and act on jobs.

mod command;
mod failure;
mod interrupt;
mod output;
mod progress;
mod store;
mod time;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Command;

/// Check the configuration of services, look at their queues, leases and workers, and act on jobs.
///
/// The command reads the variables of a service, from this process or from --env-file. It first makes the same checks as a
/// service that starts, but it records no owner, role or environment. If a service with these
/// variables would refuse to start, the command exits with 78.
///
/// Without --write, `replay`, `cancel`, `pause` and `resume` change nothing. They report what they would do according to the
/// current state, and exit with the code that this implies. They do not foresee that another job holds the unique key of a
/// dead job, that a store refuses a write, or that the state changes before the run with --write.
///
/// With --json, standard output has one JSON object per line, and the names of its fields are stable. Fields that end in
/// `_ms` are milliseconds since 1970-01-01 UTC. Messages and progress go to standard error.
///
/// Exit codes: 0 done; 1 something was not done, or a store returned an error (`check`: a service would refuse to start);
/// 2 wrong usage; 78 the configuration is refused; 130 interrupted by Ctrl-C.
#[derive(Debug, Parser)]
#[command(name = "twinstore", version, disable_help_subcommand = true, verbatim_doc_comment)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check(check) => check.run("twinstore check"),
        command => failure::exit(run(&command)),
    }
}

fn run(command: &Command) -> Result<(), failure::Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Box::pin(command.run()))
}
