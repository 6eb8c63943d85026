//! The memory of servers and client during a soak.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Options;
use crate::environment::Environment;

/// How often memory is sampled.
const EVERY: Duration = Duration::from_secs(1);

/// What part of a soak is warm-up, and what part each of the two compared times is.
const WARM_UP: f64 = 0.3;
const COMPARED: f64 = 0.3;

/// By how much memory may differ between the two compared times.
const TOLERANCE: f64 = 0.05;

/// The most keys that may be left, however long the soak was: records of queues, of schedules, of a topic, of fences.
const MOST_LEFT: u64 = 100;

/// What precedes the number of a remembered call. After a fault, the destination of a delivery remembers it for days if nobody knows that
/// its entry is removed, so these keys are not counted.
const CALL: &str = ":call:";

/// How long what has a time to live may remain after the end.
const REMAINS: Duration = Duration::from_secs(75);

/// The memory of servers and client.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    samples: Vec<Sample>,
    lasted: Duration,
    /// The keys that were left after the end, by shape: digits are `#`. Those with a time to live are counted apart.
    left: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    /// `used_memory` of all state servers together.
    servers: u64,
    /// The data of the primaries.
    data: u64,
    keys: u64,
    /// What the process has allocated and not freed.
    client: u64,
}

/// The medians of two times of a soak.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Compared {
    steady: u64,
    last: u64,
}

impl Compared {
    fn growth(self) -> f64 {
        if self.steady == 0 { 0.0 } else { self.last as f64 / self.steady as f64 - 1.0 }
    }
}

/// Samples until `stop` is true. Call it in a `LocalSet`.
pub(crate) fn sample(
    environment: &Arc<Environment>,
    options: &Options,
    stop: &watch::Receiver<bool>,
) -> JoinHandle<Memory> {
    let (environment, mut stop) = (environment.clone(), stop.clone());
    let (live_bytes, lasts) = (options.live_bytes, options.duration);
    tokio::task::spawn_local(async move {
        let started = Instant::now();
        let mut memory = Memory { lasted: lasts, ..Memory::default() };
        while tokio::time::timeout(EVERY, stop.wait_for(|stop| *stop)).await.is_err() {
            let servers = tokio::time::timeout(EVERY, of_servers(&environment)).await.ok().flatten();
            if let Some((servers, data, keys)) = servers {
                memory.samples.push(Sample { at: started.elapsed(), servers, data, keys, client: live_bytes() });
            }
        }
        memory
    })
}

/// `None` while a server does not answer.
async fn of_servers(environment: &Environment) -> Option<(u64, u64, u64)> {
    let (mut all, mut data, mut keys) = (0, 0, 0);
    for server in environment.state.members() {
        if !server.is_running() {
            return None;
        }
        let info = server.info("everything").await.ok()?;
        let number = |name: &str| info.get(name).and_then(|value| value.parse::<u64>().ok());
        all += number("used_memory")?;
        if info.get("role")? == "master" {
            data += number("used_memory_dataset")?;
            keys += server.keys_count().await.ok()?;
        }
    }
    Some((all, data, keys))
}

impl Memory {
    /// Waits until only keys without a time to live are left, and counts these.
    pub(crate) async fn finish(mut self, environment: &Environment) -> Self {
        let began = Instant::now();
        loop {
            let (left, lasting) = keys_left(environment).await;
            self.left = left;
            if lasting == 0 || began.elapsed() > REMAINS {
                return self;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Whether the medians of all sizes are within 5 % of the steady state.
    pub fn is_steady(&self) -> bool {
        self.compared().iter().all(|(_, compared, is_bounded)| !is_bounded || compared.growth() <= TOLERANCE)
    }

    /// Whether no more keys are left than a soak of any length needs.
    pub fn keys_are_bounded(&self) -> bool {
        let is_counted = |shape: &String| !(shape.contains(CALL) && shape.ends_with(WITH_TTL));
        self.left.iter().filter(|(shape, _)| is_counted(shape)).map(|(_, count)| count).sum::<u64>() <= MOST_LEFT
    }

    fn compared(&self) -> [(&'static str, Compared, bool); 4] {
        let of = |pick: fn(&Sample) -> u64| {
            let steady = self.median(WARM_UP, WARM_UP + COMPARED, pick);
            Compared { steady, last: self.median(1.0 - COMPARED, 1.0, pick) }
        };
        [
            ("memory of all state servers", of(|sample| sample.servers), true),
            ("data of the primaries", of(|sample| sample.data), false),
            ("keys of the primaries", of(|sample| sample.keys), false),
            ("memory of the client", of(|sample| sample.client), true),
        ]
    }

    fn median(&self, from: f64, to: f64, pick: fn(&Sample) -> u64) -> u64 {
        let within = self.lasted.mul_f64(from)..self.lasted.mul_f64(to) + EVERY;
        let mut values: Vec<u64> = self.samples.iter().filter(|sample| within.contains(&sample.at)).map(pick).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or(0)
    }

    /// The samples, one line each.
    pub fn table(&self) -> String {
        let line = |sample: &Sample| {
            let Sample { at, servers, data, keys, client } = sample;
            format!("{},{servers},{data},{keys},{client}\n", at.as_millis())
        };
        std::iter::once("ms,servers,data,keys,client\n".to_owned()).chain(self.samples.iter().map(line)).collect()
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} samples; medians of the second and of the last third:", self.samples.len())?;
        for (name, compared, is_bounded) in self.compared() {
            let verdict = match (is_bounded, compared.growth() <= TOLERANCE) {
                (true, true) => "within 5 %",
                (true, false) => "MORE THAN 5 %",
                (false, _) => "",
            };
            let Compared { steady, last } = compared;
            writeln!(f, "{name:<30}{steady:>12}{last:>12}{:>+8.1} %  {verdict}", compared.growth() * 100.0)?;
        }
        let verdict = if self.keys_are_bounded() { "" } else { ", MORE THAN ALLOWED" };
        write!(f, "keys left after the end, at most {MOST_LEFT}{verdict}, by shape:")?;
        for (shape, count) in &self.left {
            write!(f, "\n{count:>6} {shape}")?;
        }
        Ok(())
    }
}

/// The keys of the primaries by shape, and how many have a time to live.
async fn keys_left(environment: &Environment) -> (BTreeMap<String, u64>, u64) {
    let (mut left, mut lasting) = (BTreeMap::new(), 0);
    for server in environment.state.members() {
        let is_primary = server.info("replication").await.is_ok_and(|info| info["role"] == "master");
        let keys = if is_primary { server.command(&["KEYS", "*"]).await.ok() } else { None };
        for key in keys.and_then(|keys| keys.as_strings()).unwrap_or_default() {
            let lasts = server.command(&["TTL", &key]).await.ok().and_then(|reply| reply.as_integer()).unwrap_or(-2);
            lasting += u64::from((0..300).contains(&lasts));
            let kind = if lasts >= 0 { WITH_TTL } else { "" };
            *left.entry(format!("{}{kind}", shape(&key))).or_insert(0) += 1;
        }
    }
    (left, lasting)
}

/// What the shape of a key with a time to live ends with.
const WITH_TTL: &str = " (with a time to live)";

fn shape(key: &str) -> String {
    if let Some((before, _)) = key.split_once(CALL) {
        return format!("{}{CALL}#", shape(before));
    }
    let is_part_of_number = |char: char| char.is_ascii_digit();
    let mut shape = String::new();
    for char in key.chars() {
        match is_part_of_number(char) {
            true if shape.ends_with('#') => {}
            true => shape.push('#'),
            false => shape.push(char),
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growing(by: u64) -> Memory {
        let sample = |second: u64| {
            let grown = 1_000_000 + by * second;
            Sample { at: Duration::from_secs(second), servers: 1_000_000, data: grown, keys: 1, client: grown }
        };
        Memory { samples: (0..600).map(sample).collect(), lasted: Duration::from_secs(600), left: BTreeMap::new() }
    }

    #[test]
    fn memory_that_grows_is_not_steady() {
        assert!(growing(0).is_steady());
        // 180 bytes a second for 240 s are 4 %
        assert!(growing(180).is_steady());
        assert!(!growing(400).is_steady());
    }

    #[test]
    fn keys_that_accumulate_are_found() {
        let left =
            |count| BTreeMap::from([("tw:{q.plain.#}:meta".to_owned(), 1), ("tw:{w.n:#}:steps".to_owned(), count)]);
        assert!(Memory { left: left(MOST_LEFT - 1), ..growing(0) }.keys_are_bounded());
        assert!(!Memory { left: left(MOST_LEFT), ..growing(0) }.keys_are_bounded());
        let remembered = |kind| BTreeMap::from([(format!("tw:{{q.plain.#}}:call:#{kind}"), MOST_LEFT + 1)]);
        assert!(Memory { left: remembered(WITH_TTL), ..growing(0) }.keys_are_bounded());
        assert!(!Memory { left: remembered(""), ..growing(0) }.keys_are_bounded());
    }

    #[test]
    fn numbers_have_one_shape() {
        assert_eq!(shape("tw:{q.plain.0}:ready2"), shape("tw:{q.plain.11}:ready0"));
        assert_eq!(shape("tw:{q.plain.0}:call:a1f"), shape("tw:{q.plain.0}:call:7"));
    }
}
