//! `cargo xtask bench`: runs the benchmarks, prints a table, writes JSON.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use bench::{Settings, cost_model};
use clap::{Parser, Subcommand};

/// Measure the cost of each operation and of the smallest work that has the same effect. Starts servers of its own.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Use tiny sizes and one round, only to show that everything works.
    #[arg(long)]
    quick: bool,
    /// Also write all figures to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run only the cases whose names contain this; separate several by commas; after `^` it must begin the name.
    #[arg(long, value_name = "NAME", default_value = "")]
    filter: String,
    /// Run nothing; write the figures of a file of --json into the page `crates/twinstore/docs/cost-model.md`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "json", "filter", "rounds", "list"])]
    cost_model: Option<PathBuf>,
    /// How many rounds count [default: 5, or 1 with --quick].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Only list the names of the cases.
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The worker that the recovery case kills.
    #[command(hide = true)]
    Worker(bench::cases::recovery::WorkerArguments),
}

fn main() -> ExitCode {
    match start(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> bench::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // on a thread of the runtime, like all tasks that it spawns, so that no side needs more switches between threads
    runtime.block_on(async { tokio::spawn(run(arguments)).await? })
}

async fn run(arguments: Arguments) -> bench::Result<bool> {
    if let Some(Part::Worker(worker)) = arguments.part {
        bench::cases::recovery::work(worker).await?;
        return Ok(true);
    }
    if let Some(file) = arguments.cost_model {
        let of_file = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|error| of_file(&error))?;
        let run = serde_json::from_str(&text).map_err(|error| format!("{} (no run's JSON?)", of_file(&error)))?;
        let filled = cost_model::fill(&run).map_err(|error| of_file(&error))?;
        if filled.is_empty() {
            return Err(of_file(&"it has no case that is on the page").into());
        }
        filled.iter().for_each(|title| say(&format!("filled: {title}")));
        return Ok(true);
    }
    let cases = bench::cases::all();
    if arguments.list {
        for plan in cases.iter().map(|case| case.plan()) {
            say(&format!("{:32} {}", plan.name, plan.about));
        }
        return Ok(true);
    }
    if !cases.iter().any(|case| bench::is_taken(&case.plan().name, &arguments.filter)) {
        return Err(format!("the filter {:?} takes no case; --list prints their names", arguments.filter).into());
    }
    // Before the measurement: if the file could not be written, all figures would be lost.
    let json = arguments.json.map(|file| match File::options().append(true).create(true).open(&file) {
        Ok(_) => Ok(file),
        Err(error) => Err(format!("{} cannot be written: {error}", file.display())),
    });
    let json = json.transpose()?;
    let program = std::env::current_exe()?;
    let mut settings = if arguments.quick { Settings::quick(program) } else { Settings::full(program) };
    settings.rounds = arguments.rounds.map_or(settings.rounds, usize::from);
    let report = bench::run(&cases, &settings, &arguments.filter, |name| tell(&format!("{name} …"))).await;
    say(&bench::render(&report));
    if let Some(file) = json {
        let written = std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n");
        written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    }
    Ok(report.failures().count() == 0)
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress and errors")]
fn tell(text: &str) {
    eprintln!("{text}");
}
