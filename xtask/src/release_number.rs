//! `cargo xtask release-number`: frees the database number of a service that is retired.

use std::path::PathBuf;
use std::process::ExitCode;

use store_validation::{Environment, NumberRelease, ReleaseRequest, release_number};

/// The exit code of wrong usage, the same as clap's.
const WRONG_USAGE: u8 = 2;

/// Free a database number of the cache server whose owner is retired, so that another service can use it.
///
/// The number is REDIS_CACHE_DB of the environment. Its recorded owner loses it, even if that is not SERVICE_NAME: the
/// command removes the records on the cache server and on the state server; the values in the database stay. An owner that
/// was seen within the last three hours keeps the number. Without this command a number is free after seven days of silence.
///
/// Exits with 0 if the number is free, 1 if it is not, 2 on wrong usage.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseNumber {
    /// A file of NAME=value lines, used instead of this process's environment.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Release the number even if its owner was seen within the last three hours, and may run.
    #[arg(long)]
    force: bool,
}

impl ReleaseNumber {
    #[expect(clippy::print_stdout, reason = "a command talks to its user")]
    pub(crate) fn run(self) -> ExitCode {
        let environment = match self.env_file.map(Environment::from_file).transpose() {
            Ok(environment) => environment.unwrap_or_else(Environment::from_process),
            Err(error) => return refuse(WRONG_USAGE, &error),
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return refuse(1, &error),
        };
        let request = ReleaseRequest::new().with_force(self.force);
        match runtime.block_on(release_number(&environment, request)) {
            Ok(held @ NumberRelease::Held { .. }) => {
                eprintln!("release-number: {held}");
                ExitCode::FAILURE
            }
            Ok(free) => {
                println!("{free}");
                ExitCode::SUCCESS
            }
            Err(error) => refuse(1, &error),
        }
    }
}

fn refuse(code: u8, error: &dyn std::error::Error) -> ExitCode {
    let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    eprintln!("release-number: {error}{cause}");
    ExitCode::from(code)
}
