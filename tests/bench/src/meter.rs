//! The cost of work to the server and to this process.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use testkit::{RedisServer, RespConnection};

use crate::Result;
use crate::figure::{BYTES, CLIENT_MICROS, COMMANDS, PER_SECOND, SERVER_BUSY, SERVER_MICROS, Sample};

/// The number of readings from which the cost of one is computed.
const TRIAL_READINGS: u32 = 50;

/// Reads a server's counters over a connection of its own.
pub(crate) struct Meter {
    connection: RespConnection,
    /// The cost of one reading.
    own: Counters,
}

/// The server's counters.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    cpu_micros: f64,
    commands: f64,
    bytes: f64,
}

impl Meter {
    /// The meter of this server.
    pub(crate) async fn open(server: &RedisServer) -> Result<Self> {
        let mut meter = Self { connection: server.connect().await?, own: Counters::default() };
        // no other client is connected yet
        meter.counters().await?;
        let first = meter.counters().await?;
        let mut last = first;
        for _ in 0..TRIAL_READINGS {
            last = meter.counters().await?;
        }
        let each = |of: fn(&Counters) -> f64| (of(&last) - of(&first)) / f64::from(TRIAL_READINGS);
        let cpu_micros = each(|counters| counters.cpu_micros);
        meter.own = Counters { cpu_micros, commands: each(|of| of.commands), bytes: each(|of| of.bytes) };
        Ok(meter)
    }

    /// The fields of one section of `INFO`.
    pub(crate) async fn info(&mut self, section: &str) -> Result<HashMap<String, String>> {
        let reply = self.connection.command(&["INFO", section]).await?;
        let text = reply.as_str().ok_or("INFO returns no text")?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Bytes that the server's allocator has allocated (`used_memory`).
    pub(crate) async fn memory(&mut self) -> Result<f64> {
        number(&self.info("memory").await?, "used_memory")
    }

    async fn counters(&mut self) -> Result<Counters> {
        let cpu = self.info("cpu").await?;
        let stats = self.info("stats").await?;
        let mut seconds = 0.0;
        for field in ["used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children"] {
            seconds += number(&cpu, field)?;
        }
        let bytes = number(&stats, "total_net_input_bytes")? + number(&stats, "total_net_output_bytes")?;
        Ok(Counters { cpu_micros: seconds * 1e6, commands: number(&stats, "total_commands_processed")?, bytes })
    }
}

fn number(fields: &HashMap<String, String>, name: &str) -> Result<f64> {
    let text = fields.get(name).ok_or_else(|| format!("INFO does not have {name}"))?;
    Ok(text.trim().parse()?)
}

/// Does the work of `ops` operations and returns the cost of each, on all servers together. Without a server there are no figures of
/// the server. The cost of a reading is deducted on every side: otherwise it would move the ratio of a short round towards one. The
/// cost of a server's own timer is not deducted.
pub(crate) async fn measure(
    meters: &mut [Meter],
    ops: usize,
    work: impl Future<Output = Result<()>>,
) -> Result<Sample> {
    if meters.is_empty() {
        return Ok(client_figures(ops, timed(work).await?));
    }
    let before = all(meters).await?;
    let spent = timed(work).await?;
    let after = all(meters).await?;
    let in_all = |of: fn(&Counters) -> f64| {
        let each = meters.iter().zip(after.iter().zip(&before));
        each.map(|(meter, (after, before))| of(after) - of(before) - of(&meter.own)).sum::<f64>()
    };
    let busy = in_all(|counters| counters.cpu_micros) / (spent.0.as_secs_f64() * 1e6).max(1e-3);
    let per_op = |of: fn(&Counters) -> f64| (in_all(of) / as_f64(ops)).max(0.0);
    Ok(client_figures(ops, spent)
        .with(SERVER_MICROS, per_op(|counters| counters.cpu_micros))
        .with(SERVER_BUSY, (busy * 100.0).max(0.0))
        .with(COMMANDS, per_op(|counters| counters.commands))
        .with(BYTES, per_op(|counters| counters.bytes)))
}

async fn all(meters: &mut [Meter]) -> Result<Vec<Counters>> {
    let mut counters = Vec::with_capacity(meters.len());
    for meter in meters {
        counters.push(meter.counters().await?);
    }
    Ok(counters)
}

/// Wall time and CPU time of this process.
async fn timed(work: impl Future<Output = Result<()>>) -> Result<(Duration, Duration)> {
    let (started, cpu) = (Instant::now(), process_cpu());
    work.await?;
    Ok((started.elapsed(), process_cpu().saturating_sub(cpu)))
}

fn client_figures(ops: usize, (wall, cpu): (Duration, Duration)) -> Sample {
    let ops = as_f64(ops);
    Sample::default()
        .with(PER_SECOND, ops / wall.as_secs_f64().max(1e-9))
        .with(CLIENT_MICROS, cpu.as_secs_f64() * 1e6 / ops)
}

/// User and system time of all threads of this process, to the nanosecond; `getrusage` has the same sum.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn as_f64(count: usize) -> f64 {
    count as f64
}
