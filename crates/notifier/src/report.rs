//! What happened, as one JSON object or as a table.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// How many waits are kept for percentiles; later ones replace earlier ones evenly.
const MAX_WAITS: usize = 100_000;

/// What is counted while it happens.
#[derive(Debug)]
pub(crate) struct Tally {
    started: Instant,
    pub(crate) received: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) queued: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) dead: AtomicU64,
    waits: Mutex<Vec<Duration>>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            received: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            retried: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            waits: Mutex::new(Vec::new()),
        }
    }

    /// Remembers how long a job waited from its push to its handler.
    pub(crate) fn waited(&self, wait: Duration) {
        let mut waits = self.waits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if waits.len() < MAX_WAITS {
            waits.push(wait);
        } else {
            let place = fastrand::usize(..MAX_WAITS);
            waits[place] = wait;
        }
    }

    /// The report, when `pending` deliveries are not settled, if that is known.
    pub(crate) fn report(&self, engine: Engines, pending: Option<u64>) -> Report {
        let mut waits = self.waits.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        waits.sort_unstable();
        Report {
            engine,
            received: count(&self.received),
            rejected: count(&self.rejected),
            duplicates: count(&self.duplicates),
            queued: count(&self.queued),
            delivered: count(&self.delivered),
            retried: count(&self.retried),
            dead: count(&self.dead),
            pending,
            seconds: round(self.started.elapsed().as_secs_f64()),
            push_to_handler_ms: Percentiles { p50: percentile(&waits, 50), p99: percentile(&waits, 99) },
        }
    }
}

/// Adds one.
pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Reads a counter.
pub(crate) fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).map(|wait| round(wait.as_secs_f64() * 1000.0))
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// What the stores run on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Engines {
    pub(crate) cache: String,
    pub(crate) state: String,
}

/// The figures of one run. `queued` and what precedes it count what this process read, `delivered` and what follows what it
/// worked on.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    engine: Engines,
    received: u64,
    pub(crate) rejected: u64,
    duplicates: u64,
    queued: u64,
    delivered: u64,
    retried: u64,
    dead: u64,
    /// Absent when the store did not say.
    pending: Option<u64>,
    seconds: f64,
    push_to_handler_ms: Percentiles,
}

/// Percentiles in milliseconds; absent when nothing was measured.
#[derive(Debug, Serialize)]
struct Percentiles {
    p50: Option<f64>,
    p99: Option<f64>,
}

impl Report {
    /// The table for people.
    pub(crate) fn table(&self) -> String {
        let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3} ms"));
        let rows = [
            ("stores", format!("cache {}, state {}", self.engine.cache, self.engine.state)),
            ("received", self.received.to_string()),
            ("rejected", self.rejected.to_string()),
            ("duplicates", self.duplicates.to_string()),
            ("queued", self.queued.to_string()),
            ("delivered", self.delivered.to_string()),
            ("retried", self.retried.to_string()),
            ("dead", self.dead.to_string()),
            ("pending", self.pending.map_or_else(|| "unknown".to_owned(), |pending| pending.to_string())),
            ("seconds", format!("{:.3}", self.seconds)),
            ("push to handler, median", ms(self.push_to_handler_ms.p50)),
            ("push to handler, 99 %", ms(self.push_to_handler_ms.p99)),
        ];
        rows.iter().map(|(name, value)| format!("{name:<24} {value}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Engines, Tally, percentile};
    use std::time::Duration;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let waits: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&waits, 50), Some(50.0));
        assert_eq!(percentile(&waits, 99), Some(99.0));
        assert_eq!(percentile(&waits[..1], 99), Some(1.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn the_json_has_the_promised_fields() {
        let report = Tally::new().report(Engines { cache: "a".into(), state: "b".into() }, Some(3));
        let json = serde_json::to_value(report).unwrap();
        let mut fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "dead",
                "delivered",
                "duplicates",
                "engine",
                "pending",
                "push_to_handler_ms",
                "queued",
                "received",
                "rejected",
                "retried",
                "seconds"
            ]
        );
    }
}
