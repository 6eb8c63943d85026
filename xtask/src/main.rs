//! The project's own commands: `cargo xtask <command>`. One file per command.
#![expect(clippy::print_stderr, reason = "a command talks to its user")]

mod acl;
mod bench;
mod conformance;
mod faults;
mod lint;
mod release_number;
mod servers;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands", disable_help_subcommand = true)]
enum Command {
    ConfigCheck(store_validation::ConfigCheck),
    Conformance(Box<conformance::Conformance>),
    ReleaseNumber(release_number::ReleaseNumber),
    Acl(acl::Acl),
    Test(test::Test),
    #[command(subcommand)]
    Servers(servers::Servers),
    /// Measure the cost of each operation and of the smallest work that has the same effect; see `cargo xtask bench --help`
    #[command(disable_help_flag = true)]
    Bench {
        /// Passed on to the benchmarks
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Put both stores under load and faults for 90 s, and check every answer; see `cargo xtask faults --help`
    #[command(disable_help_flag = true)]
    Faults {
        /// Passed on to the run
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Check formatting, clippy, house rules, documentation, and the files of deploy/ by config-check
    Lint,
    /// Lint, and test on all servers: both must pass before a change is merged
    Ci,
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::ConfigCheck(command) => command.run("config-check"),
        Command::ReleaseNumber(command) => command.run(),
        Command::Acl(command) => shell::exit(command.run()),
        Command::Conformance(command) => shell::exit(command.run()),
        Command::Test(command) => shell::exit(command.run()),
        Command::Servers(command) => shell::exit(command.run()),
        Command::Bench { arguments } => shell::exit(bench::bench(&arguments)),
        Command::Faults { arguments } => shell::exit(faults::faults(&arguments)),
        Command::Lint => shell::exit(lint::lint()),
        Command::Ci => shell::exit(lint::lint().and_then(|()| test::Test::on_all_servers().run())),
    }
}
