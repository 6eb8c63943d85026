//! The command behind `cargo xtask faults`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its user")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use faults::checker::{Verdict, check};
use faults::table::Row;
use faults::{
    Level, Options, Outcome, PrimaryFault, ProcessArguments, Topology, contend, contend_in_process, read_kept, run,
    table, work_in_process,
};
use testkit::CountingAllocator;

/// Counts what this process has allocated, for a soak.
#[global_allocator]
static ALLOCATED: CountingAllocator = CountingAllocator::new();

/// How many violations of one rule are printed.
const SHOWN: usize = 3;

/// Put both stores under load while servers, processes and connections fail, and check every answer
///
/// Exits with 0 if the history breaks no rule, 1 if it breaks one, 2 if there is no verdict. A history that breaks a rule is
/// kept.
#[derive(Parser)]
#[command(name = "faults", bin_name = "cargo xtask faults", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The seed of the plan of operations and faults [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// How long load and faults last, such as 90s or 1500ms [default: 90s; with --matrix 30s for each run]
    #[arg(long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Run each topology, fault and durability, and write the table of README.md. With TEXT, only the runs whose options contain it
    #[arg(long, value_name = "TEXT", num_args = 0..=1, default_missing_value = "",
        conflicts_with_all = ["soak", "contend", "topology", "fault", "durability", "check", "server"])]
    matrix: Option<String>,
    /// Run for so long with leases and results of 1 to 5 s, and compare the memory of servers and client with the steady state
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "duration")]
    soak: Option<Duration>,
    /// Only 100 contenders for one resume token, in processes that are suspended and killed, while the server dies
    #[arg(long, conflicts_with_all = ["soak", "topology", "backlog"])]
    contend: bool,
    /// How many scheduled jobs each partition has during the run
    #[arg(long, default_value_t = 0, value_name = "JOBS")]
    backlog: usize,
    /// The program of the servers [default: redis-server]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// The appendfsync of the state server
    #[arg(long, default_value = "everysec", value_parser = ["always", "everysec"])]
    fsync: String,
    /// The servers of the state store
    #[arg(long, value_enum, default_value = "standalone")]
    topology: Topology,
    /// With sentinels or a cluster, inject only this fault [default: a random one each time]
    #[arg(long, value_enum)]
    fault: Option<PrimaryFault>,
    /// The durability of writes with sentinels or a cluster
    #[arg(long, value_enum, default_value = "replicated-all")]
    durability: Level,
    /// Check a kept history (a folder or a file) instead of running
    #[arg(long, value_name = "PATH")]
    check: Option<PathBuf>,
    /// Keep the history even if it breaks no rule
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The worker process of a run; started by the run
    #[command(hide = true)]
    Worker(ProcessArguments),
    /// A process of a run with contenders; started by the run
    #[command(hide = true)]
    Contenders(ProcessArguments),
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let minutes = text.strip_suffix('m').and_then(|minutes| minutes.parse().ok()).map(Duration::from_mins);
    let duration = minutes.or_else(|| twinstore::config::parse_duration(text));
    duration.ok_or_else(|| "a duration looks like 10m, 90s or 1500ms".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::Worker(process)) => work_in_process(process).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Contenders(process)) => contend_in_process(process).await.map(|()| ExitCode::SUCCESS),
        None => check_or_run(arguments).await,
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

async fn check_or_run(arguments: Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if let Some(kept) = arguments.check {
        return Ok(report(&check(&read_kept(&kept)?)));
    }
    if arguments.fault.is_some() && arguments.topology == Topology::Standalone {
        return Err("--fault needs --topology sentinel or --topology cluster".into());
    }
    let moves_slots = arguments.fault == Some(PrimaryFault::MoveSlots) || arguments.backlog > 0;
    if moves_slots && arguments.topology != Topology::Cluster {
        return Err("--fault move-slots and --backlog need --topology cluster".into());
    }
    if let Some(wanted) = &arguments.matrix {
        return run_matrix(wanted, &arguments).await;
    }
    run_one(arguments).await
}

/// Runs the rows of the table whose options contain `wanted`. Each row is in the page as soon as its run has ended.
async fn run_matrix(wanted: &str, arguments: &Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let first = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let rows: Vec<_> =
        Row::all().into_iter().zip(first..).filter(|(row, _)| row.arguments().contains(wanted)).collect();
    let mut exit = ExitCode::SUCCESS;
    write_rows(&[])?;
    for (number, (row, seed)) in rows.iter().enumerate() {
        let folder = tempfile::Builder::new().prefix(&format!("faults-{seed}-")).disable_cleanup(true).tempdir()?;
        let mut options = Options::new(*seed, folder.path());
        options.duration = arguments.duration.unwrap_or(Duration::from_secs(30));
        (options.topology, options.fault, options.durability) = (row.topology, Some(row.fault), row.durability);
        options.server = row.server.map(testkit::servers::find).transpose()?.map(|found| found.program);
        options.program = Some(std::env::current_exe()?);
        println!("{} of {}: {} --seed {seed}", number + 1, rows.len(), row.arguments());
        let verdict = match run(&options).await {
            Ok(outcome) => outcome.verdict,
            Err(error) => {
                eprintln!("error: {error}");
                exit = ExitCode::FAILURE;
                continue;
            }
        };
        if report(&verdict) == ExitCode::SUCCESS {
            std::fs::remove_dir_all(folder.path())?;
        } else {
            println!("history and logs of the servers kept in {}", folder.path().display());
            exit = ExitCode::FAILURE;
        }
        write_rows(&[(*row, row.line(&verdict, *seed, load_average()))])?;
    }
    Ok(exit)
}

/// Writes rows into the table of the page.
fn write_rows(lines: &[(Row, String)]) -> Result<(), Box<dyn std::error::Error>> {
    let page = std::fs::read_to_string(table::page())?;
    let page = table::filled(&page, lines).ok_or("README.md has no markers of the table")?;
    Ok(std::fs::write(table::page(), page)?)
}

/// Of the last minute; 0 if it is not known.
fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

async fn run_one(arguments: Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let folder = tempfile::Builder::new().prefix(&format!("faults-{seed}-")).disable_cleanup(true).tempdir()?;
    let mut options = Options::new(seed, folder.path());
    options.duration = arguments.soak.or(arguments.duration).unwrap_or(Duration::from_secs(90));
    (options.is_soak, options.backlog) = (arguments.soak.is_some(), arguments.backlog);
    options.live_bytes = || ALLOCATED.live();
    options.server = arguments.server;
    options.fsync = arguments.fsync;
    (options.topology, options.fault, options.durability) = (arguments.topology, arguments.fault, arguments.durability);
    options.program = Some(std::env::current_exe()?);
    println!("seed {seed}: {:?} of load and faults, history in {}", options.duration, folder.path().display());
    let Outcome { verdict, memory, .. } =
        if arguments.contend { contend(&options).await? } else { run(&options).await? };
    let mut exit = report(&verdict);
    let mut is_right = verdict.violations.is_empty();
    if let Some(memory) = memory {
        println!("\n{memory}");
        std::fs::write(folder.path().join("memory.csv"), memory.table())?;
        if !memory.is_steady() || !memory.keys_are_bounded() {
            (exit, is_right) = (ExitCode::FAILURE, false);
        }
    }
    if is_right && !arguments.keep {
        std::fs::remove_dir_all(folder.path())?;
    } else {
        println!(
            "history and logs of the servers kept in {0}; check it again: cargo xtask faults --check {0}",
            folder.path().display()
        );
    }
    println!("seed {seed}");
    Ok(exit)
}

fn report(verdict: &Verdict) -> ExitCode {
    println!("{}\n", verdict.tally);
    if !verdict.losses.pauses.is_empty() {
        println!("{}\n", verdict.losses);
    }
    let mut counts = BTreeMap::new();
    for violation in &verdict.violations {
        let count = counts.entry(violation.rule).or_insert(0_usize);
        *count += 1;
        if *count <= SHOWN {
            println!("VIOLATION {violation}");
        }
    }
    for (rule, count) in counts {
        println!("{count:>6} {rule}");
    }
    println!("{} violations", verdict.violations.len());
    if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
