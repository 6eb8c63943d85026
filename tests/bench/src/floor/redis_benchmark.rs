//! `redis-benchmark`, the server's own tool: it measures the cost of a command with another client.

use std::process::Stdio;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::process::Command;

use super::one_write;
use crate::Result;
use crate::case::Side;
use crate::environment::Environment;
use crate::figure::{CLIENT_MICROS, P50, P99, PER_SECOND, Sample};
use crate::wire::Commands;

/// The number of connections without pipelining, and of commands under way on one connection with it.
const CLIENTS: &str = "50";
/// Different keys of GET and SET.
const KEYS: usize = 10_000;
const LIST: &[u8] = b"floor:tool-list";

/// The command that the tool sends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sends {
    Lpush,
    Rpop,
    Get,
    Set,
    /// EVALSHA with one write, like the floor of a push.
    EvalSha,
}

impl Sends {
    fn name(self, pipelined: bool) -> &'static str {
        match (self, pipelined) {
            (Sends::Lpush, false) => "redis-benchmark LPUSH",
            (Sends::Lpush, true) => "redis-benchmark -P 50 LPUSH",
            (Sends::Rpop, false) => "redis-benchmark RPOP",
            (Sends::Rpop, true) => "redis-benchmark -P 50 RPOP",
            (Sends::Get, false) => "redis-benchmark GET",
            (Sends::Get, true) => "redis-benchmark -P 50 GET",
            (Sends::Set, false) => "redis-benchmark SET",
            (Sends::Set, true) => "redis-benchmark -P 50 SET",
            (Sends::EvalSha, false) => "redis-benchmark EVALSHA",
            (Sends::EvalSha, true) => "redis-benchmark -P 50 EVALSHA",
        }
    }
}

/// Runs the tool once per round. The client's CPU is not measured, because the tool is another process.
pub(crate) struct RedisBenchmark {
    sends: Sends,
    pipelined: bool,
    ops: usize,
    value: Bytes,
}

impl RedisBenchmark {
    /// Two sides, each with `ops` commands per round and values like this: 50 connections, and one connection with 50 commands
    /// under way.
    pub(crate) fn sides(sends: Sends, ops: usize, value: &Bytes) -> impl Iterator<Item = Box<dyn Side>> {
        let value = value.clone();
        [false, true]
            .into_iter()
            .map(move |pipelined| -> Box<dyn Side> { Box::new(Self { sends, pipelined, ops, value: value.clone() }) })
    }

    /// Prepares the data that the command needs; returns the command's arguments.
    async fn prepare(&self, environment: &Environment) -> Result<Vec<Bytes>> {
        let (mut wire, mut commands) = (environment.wire().await?, Commands::default());
        let key = Bytes::from_static(b"floor:tool-__rand_int__");
        let words: Vec<Bytes> = match self.sends {
            Sends::Lpush => vec!["LPUSH".into(), LIST.into(), self.value.clone()],
            Sends::Rpop => {
                (0..self.ops).for_each(|_| commands.add([b"LPUSH".as_slice(), LIST, &self.value]));
                vec!["RPOP".into(), LIST.into()]
            }
            Sends::Get => {
                for number in 0..KEYS {
                    let key = format!("floor:tool-{number:012}");
                    commands.add([b"SET".as_slice(), key.as_bytes(), &self.value]);
                }
                vec!["GET".into(), key]
            }
            Sends::Set => vec!["SET".into(), key, self.value.clone(), "PX".into(), "3600000".into()],
            Sends::EvalSha => {
                let name = wire.load(one_write::TEXT).await?;
                let id = Bytes::from_static(b"000000000000000000000000__rand_int__");
                vec!["EVALSHA".into(), name, "1".into(), "floor:tool-hash".into(), id, self.value.clone()]
            }
        };
        wire.exchange(&mut commands).await?;
        Ok(words)
    }

    /// Runs the tool; returns the last line of its output.
    async fn run(&self, environment: &Environment, words: &[Bytes]) -> Result<String> {
        let address = environment.server()?.address();
        let mut tool = Command::new("redis-benchmark");
        tool.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
        tool.args(["-n", &self.ops.to_string(), "--csv", "-r"]);
        // an id of the script's hash is new each time, as a job's is
        let keys = if matches!(self.sends, Sends::EvalSha) { 1_000_000_000 } else { KEYS };
        tool.arg(keys.to_string());
        tool.args(if self.pipelined { ["-c", "1", "-P", CLIENTS] } else { ["-c", CLIENTS, "-P", "1"] });
        for word in words {
            tool.arg(std::str::from_utf8(word)?);
        }
        let output = tool.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(|error| {
            format!("redis-benchmark, which comes with redis-server (Debian: redis-tools), did not start: {error}")
        })?;
        let text = String::from_utf8(output.stdout)?;
        match text.lines().last() {
            Some(line) if output.status.success() => Ok(line.to_owned()),
            _ => Err(format!("redis-benchmark failed: {}", String::from_utf8_lossy(&output.stderr)).into()),
        }
    }
}

#[async_trait]
impl Side for RedisBenchmark {
    fn name(&self) -> &str {
        self.sends.name(self.pipelined)
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let words = self.prepare(environment).await?;
        let mut line = String::new();
        let work = async {
            line = self.run(environment, &words).await?;
            Ok(())
        };
        let mut sample = environment.measure(self.ops, work).await?;
        sample.0.remove(&CLIENT_MICROS);
        environment.remove_keys("floor:tool-").await?;
        let told = told_by(&line)?;
        let sample = sample.with(P50, told.p50).with(P99, told.p99);
        // its own rate does not include its start; a round shorter than a step of its clock has no rate
        Ok(if told.per_second.is_finite() { sample.with(PER_SECOND, told.per_second) } else { sample })
    }
}

/// The tool's figures of a run; latencies in ms.
#[derive(Debug, PartialEq)]
struct Told {
    per_second: f64,
    p50: f64,
    p99: f64,
}

/// Reads a line of its CSV: test, rps, average, least, p50, p95, p99, most; all quoted.
fn told_by(line: &str) -> Result<Told> {
    let mut columns = line.trim().trim_matches('"').rsplit("\",\"").map(str::parse::<f64>);
    let mut column = |skipped: usize| -> Result<f64> {
        Ok(columns.nth(skipped).ok_or("redis-benchmark printed another table than expected")??)
    };
    let (p99, p50, per_second) = (column(1)?, column(1)?, column(2)?);
    Ok(Told { per_second, p50, p99 })
}

#[cfg(test)]
mod tests {
    use super::{Told, told_by};

    #[test]
    fn the_tools_table_is_read_from_its_end() {
        let line = r#""LPUSH a "x","y"","47393.37","0.716","0.096","0.551","2.023","5.023","6.071""#;
        assert_eq!(told_by(line).unwrap(), Told { per_second: 47_393.37, p50: 0.551, p99: 5.023 });
        assert!(told_by("Error from server").is_err());
    }
}
