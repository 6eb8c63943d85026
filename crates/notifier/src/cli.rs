//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use twinstore::resume_token::StreamName;

use crate::sink::SinkSpec;

/// Turns webhook deliveries into notifications: at least one for each delivery id, and exactly one if nothing fails.
///
/// A delivery is a line of JSON: {"id", "event", "action", "payload"}. The stores are configured by environment variables
/// alone (SERVICE_NAME, REDIS_CONN_BASE_URL, REDIS_CACHE_DB, REDIS_WORKERCACHE_CONN_URL …); where none is set, both stores
/// are embedded and in memory.
///
/// With REDIS_STATE_MIN_REPLICAS, a push that did not reach the replicas (NotDurable) is repeated under the same id until it reaches
/// them. A notification whose completion did not reach them counts as delivered; after a failover it may be sent again.
///
/// The first SIGTERM or Ctrl-C stops gracefully, a second one immediately.
///
/// Exit codes: 0 done; 1 some input was rejected, or was not read to its end; 2 wrong usage; 78 the stores are not fit to start on.
#[derive(Debug, Parser)]
#[command(name = "notifier", version, about, long_about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What to do. Default `run`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ingest, work and report in one process; ends when every delivery that was read is settled
    Run(Options),
    /// Only push deliveries to the queue
    Ingest(IngestOptions),
    /// Only work on the queue, until SIGTERM or Ctrl-C
    Work(Options),
    /// Shows what happened to the deliveries: one JSON object a line, {"sequence", "at_ms", "event", "id", "attempt", "error"}
    ///
    /// Events: received, failed (another attempt follows), delivered, dead. All notifiers of a namespace append to one log in the
    /// worker state store. It keeps the last 10,000 events, until 3 days after the last one. After a failure, an event may be recorded
    /// twice. While the store's memory is full, events are not recorded.
    Events(EventsOptions),
}

/// The flags of `events`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventsOptions {
    /// Shows each later event as well, until SIGTERM or Ctrl-C. Waits while the store is unavailable
    #[arg(long)]
    pub(crate) follow: bool,
    /// The sequence of the first event to show. To continue, add 1 to the last sequence that was shown
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub(crate) from: u64,
}

/// The flags of `ingest`.
#[derive(Debug, Clone, Args)]
pub(crate) struct IngestOptions {
    #[command(flatten)]
    pub(crate) options: Options,
    /// Ingests a file to which others append, until SIGTERM or Ctrl-C. The position is kept in the worker state store: one
    /// of any number of processes reads, and if it dies, another one continues after the last saved position
    #[arg(long, value_name = "FILE", conflicts_with = "input")]
    pub(crate) follow: Option<PathBuf>,
    /// The name of the position; give each file its own
    #[arg(long, value_name = "NAME", default_value = "deliveries", requires = "follow", value_parser = parse_stream)]
    pub(crate) stream: StreamName,
}

/// The flags that all commands have.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The deliveries, one a line; - is standard input [default: a generated sample]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Where notifications go: null, file:PATH (appended), http://… or https://… (one POST each)
    #[arg(long, default_value = "null")]
    pub(crate) sink: SinkSpec,
    /// Makes this part of the deliveries fail before they are sent, to watch retries
    #[arg(long, default_value_t = 0.0, value_parser = parse_rate)]
    pub(crate) failure_rate: f64,
    /// How long each delivery takes: 20ms, 2s
    #[arg(long, default_value = "0ms", value_parser = parse_duration)]
    pub(crate) delay: Duration,
    /// How many deliveries are worked on, and read, at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) concurrency: u32,
    /// How many notifications a second each repository may have; more are snoozed
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    /// How long a job stays claimed, and an idempotency key in progress, when its process has died
    #[arg(long, default_value = "15s", value_parser = parse_lease)]
    pub(crate) lease: Duration,
    /// For work: ends when the queue is empty, instead of waiting for more
    #[arg(long)]
    pub(crate) drain: bool,
    /// One JSON object on standard output, and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            input: None,
            sink: SinkSpec::Null,
            failure_rate: 0.0,
            delay: Duration::ZERO,
            concurrency: 64,
            rate: 1000,
            lease: Duration::from_secs(15),
            drain: false,
            json: false,
        }
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("give a number from 0 to 1".to_owned()),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    twinstore::config::parse_duration(text).ok_or_else(|| "give a whole number and its unit: 500ms, 15s".to_owned())
}

fn parse_stream(text: &str) -> Result<StreamName, String> {
    StreamName::new(text).map_err(|error| error.to_string())
}

fn parse_lease(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        lease if (Duration::from_millis(500)..=Duration::from_secs(3600)).contains(&lease) => Ok(lease),
        _ => Err("give 500ms to 3600s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["notifier", "run", "--lease", "1ms"]).is_err());
        assert!(Cli::try_parse_from(["notifier", "run", "--failure-rate", "1.5"]).is_err());
        assert!(Cli::try_parse_from(["notifier"]).unwrap().command.is_none());
        assert!(Cli::try_parse_from(["notifier", "ingest", "--follow", "a", "--input", "b"]).is_err());
        assert!(Cli::try_parse_from(["notifier", "ingest", "--stream", "a"]).is_err());
    }
}
