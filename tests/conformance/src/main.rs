//! The suite against servers that somebody else started: what `cargo xtask conformance` runs. The URLs come in environment
//! variables, since a command line can be read by everybody on the machine.

use std::process::ExitCode;

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its user")]
async fn main() -> ExitCode {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(cache), Some(state)) = (variable("CONFORMANCE_CACHE_URL"), variable("CONFORMANCE_STATE_URL")) else {
        eprintln!("error: run it as `cargo xtask conformance --cache-url URL --state-url URL`");
        return ExitCode::from(2);
    };
    let filter = variable("CONFORMANCE_FILTER").unwrap_or_default();
    match conformance::against(&cache, &state, &filter).await {
        Ok(report) => {
            println!("{report}");
            if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
