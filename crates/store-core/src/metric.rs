//! The metrics of all crates, in one table: [`ALL`]. Each is emitted through the facade `metrics`, whose recorder the
//! application installs.
//!
//! The page `crates/twinstore/docs/metrics.md` has the same table; a test compares the two.

pub use metrics::{Counter, Gauge, Histogram};
use metrics::{Key, KeyName, Label, Level, Metadata, Unit, with_recorder};

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// A distribution of values.
    Histogram,
}

impl MetricKind {
    /// `counter`, `gauge` or `histogram`.
    pub fn name(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name: `twinstore_`, the part of the library, what is measured, and the unit or `total`.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The unit of its values.
    pub unit: Unit,
    /// The values of its labels, and what it measures.
    pub meaning: &'static str,
}

const METADATA: Metadata<'static> = Metadata::new("twinstore", Level::INFO, None);

impl Metric {
    /// The counter with these values of the labels, in the order of [`Metric::labels`]. Looks it up in the recorder: on a hot
    /// path keep the handle.
    pub fn counter(&self, values: &[&str]) -> Counter {
        with_recorder(|recorder| recorder.register_counter(&self.key(MetricKind::Counter, values), &METADATA))
    }

    /// The gauge with these values of the labels; see [`Metric::counter`].
    pub fn gauge(&self, values: &[&str]) -> Gauge {
        with_recorder(|recorder| recorder.register_gauge(&self.key(MetricKind::Gauge, values), &METADATA))
    }

    /// The histogram with these values of the labels; see [`Metric::counter`].
    pub fn histogram(&self, values: &[&str]) -> Histogram {
        with_recorder(|recorder| recorder.register_histogram(&self.key(MetricKind::Histogram, values), &METADATA))
    }

    fn key(&self, kind: MetricKind, values: &[&str]) -> Key {
        debug_assert!(
            self.kind == kind && self.labels.len() == values.len(),
            "invariant: {} is used as declared",
            self.name
        );
        let labels = self.labels.iter().zip(values);
        Key::from_parts(
            self.name,
            labels.map(|(name, value)| Label::new(*name, (*value).to_owned())).collect::<Vec<_>>(),
        )
    }
}

/// Describes all metrics to the recorder of the application. A recorder that is installed later gets no descriptions.
pub fn describe() {
    with_recorder(|recorder| {
        for metric in ALL {
            let (name, meaning) = (KeyName::from(metric.name), metric.meaning.into());
            match metric.kind {
                MetricKind::Counter => recorder.describe_counter(name, Some(metric.unit), meaning),
                MetricKind::Gauge => recorder.describe_gauge(name, Some(metric.unit), meaning),
                MetricKind::Histogram => recorder.describe_histogram(name, Some(metric.unit), meaning),
            }
        }
    });
}

/// The table of all metrics in Markdown.
pub fn table_markdown() -> String {
    let mut table = String::from("| metric | type | labels | unit | meaning |\n|---|---|---|---|---|\n");
    for metric in ALL {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, unit) = (metric.kind.name(), metric.unit.as_str());
        table.push_str(&format!(
            "| `{}` | {kind} | {} | {unit} | {} |\n",
            metric.name,
            labels.join(", "),
            metric.meaning
        ));
    }
    table
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal $labels:tt $unit:ident $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $constant: Metric = Metric {
                name: concat!("twinstore_", $name),
                kind: MetricKind::$kind,
                labels: &$labels,
                unit: Unit::$unit,
                meaning: $meaning,
            };
        )*

        /// Every metric.
        pub static ALL: &[&Metric] = &[$(&$constant,)*];
    };
}

metrics! {
    LINK_CALLS = Counter "link_calls_total" ["role", "op", "outcome"] Count
        "Calls to a server, with all their attempts. `outcome` is `ok` or the kind of the error";
    LINK_CALL_SECONDS = Histogram "link_call_seconds" ["role", "op"] Seconds
        "How long a call took, with all its attempts";
    LINK_RETRIES = Counter "link_retries_total" ["role", "op"] Count
        "Attempts after the first of a call";
    LINK_RECONNECTS = Counter "link_reconnects_total" ["role"] Count
        "Connections that were opened again";
    LINK_NODE_REQUESTS = Counter "link_node_requests_total" ["role", "node", "outcome"] Count
        "Requests to one server; each attempt and each redirected request counts. `node` is its address. `outcome` is `ok`, `failed`, or `redirected`: another node of the cluster has the slot";
    LINK_NODE_RECONNECTS = Counter "link_node_reconnects_total" ["role", "node"] Count
        "Connections to one server that were opened again";
    PREFLIGHT_WRONG = Counter "preflight_wrong_total" ["role", "code"] Count
        "Findings of the checks that the library repeats after a failover or a reconnection. `code` is that of the finding";
    LINK_BREAKER_OPENED = Counter "link_breaker_opened_total" ["role"] Count
        "How often the circuit breaker opened";
    FAILOVER_WRITES = Counter "failover_writes_total" ["op", "outcome"] Count
        "Recent writes of this process, at each failover and each restart of their server. `outcome` is `survived`, `may_be_lost` or `unknown`";
    STORE_PRESSURE = Gauge "store_pressure" ["role"] Count
        "The memory pressure of the store, on a cluster of its fullest primary: 0 unknown, 1 normal, 2 from 80 % of `maxmemory`, 3 from 85 %, where operations that add data are refused. Only for a worker state store on a server";
    STORE_MEMORY_USED = Gauge "store_memory_used_bytes" ["role", "node"] Bytes
        "The memory that the server compares with its limit. `node` is the address of the primary. This gauge and the next five are 0 once another server has replaced the primary";
    STORE_MEMORY_LIMIT = Gauge "store_memory_limit_bytes" ["role", "node"] Bytes
        "`maxmemory` of the server; 0 without a limit";
    STORE_FRAGMENTATION = Gauge "store_memory_fragmentation_percent" ["role", "node"] Percent
        "The memory that the server's process occupies, in percent of the memory that the server has allocated";
    STORE_EVICTED_KEYS = Gauge "store_evicted_keys" ["role", "node"] Count
        "Keys that the server has evicted since its start. Must be 0 for the worker state store";
    STORE_REPLICATION_LAG_BYTES = Gauge "store_replication_lag_bytes" ["role", "node"] Bytes
        "How many bytes of the replication stream the slowest replica of this primary has not received yet. Only with replicas";
    STORE_REPLICATION_LAG_SECONDS = Gauge "store_replication_lag_seconds" ["role", "node"] Seconds
        "The longest time since a replica last reported to this primary. Only with replicas";
    CACHE_READS = Counter "cache_reads_total" ["handle", "outcome"] Count
        "Reads through a typed handle. `outcome` is `hit`, `miss`, or `stale`: get-or-load returned an old value because the loader failed";
    CACHE_LOAD_SECONDS = Histogram "cache_load_seconds" ["handle"] Seconds
        "How long a loader of get-or-load ran";
    LIMIT_DECISIONS = Counter "limit_decisions_total" ["outcome"] Count
        "Decisions of rate limits. `outcome` is `allowed` or `denied`; `failed_open` or `failed_closed` if the store was unavailable";
    IDEMPOTENCY_BEGINS = Counter "idempotency_begins_total" ["role", "outcome"] Count
        "Answers to `Idempotency::begin`. `outcome` is `started`, `in_progress`, `finished` or `mismatch`";
    RESUME_TOKEN_READS = Counter "resume_token_reads_total" ["outcome"] Count
        "Tokens that `ResumeTokens::load` and `ResumeTokens::take_over` returned. `outcome` is `lasting`, `expiring` (less than a quarter of the TTL was left) or `expired`";
    LEADERSHIP_LEADING = Gauge "leadership_leading" ["lease"] Count
        "How many candidates of this process lead: 0 or 1";
    LEADERSHIP_CHANGES = Counter "leadership_changes_total" ["lease", "to"] Count
        "Changes of a candidate's role. `to` is `leader` or `follower`";
    QUEUE_JOBS = Gauge "queue_jobs" ["queue", "state"] Count
        "Jobs in the queue. `state` is `ready`, `scheduled`, `running`, `completed` or `dead`. Only of queues with a sampler";
    QUEUE_NEXT_AGE_SECONDS = Gauge "queue_next_age_seconds" ["queue"] Seconds
        "Time since the push of the job that is claimed next: the oldest ready job of the highest priority; 0 without one. Only of queues with a sampler";
    WORKER_JOBS = Counter "worker_jobs_total" ["queue", "outcome"] Count
        "Deliveries. `outcome` is `completed`, `failed`, `timed_out`, `panicked`, `snoozed`, `cancelled`, `released`, `lost`, or `unknown`: the reply to the settlement was lost, or it did not reach the durability";
    WORKER_DEAD_JOBS = Counter "worker_dead_jobs_total" ["queue"] Count
        "Jobs that are dead after a delivery";
    WORKER_RUNNING_JOBS = Gauge "worker_running_jobs" ["queue"] Count
        "Handlers that run now";
    WORKER_STUCK_JOBS = Gauge "worker_stuck_jobs" ["queue"] Count
        "Of the running handlers: those that the worker has stopped and that do not end, because they block";
    WORKER_LAST_CLAIM_SECONDS = Gauge "worker_last_claim_timestamp_seconds" ["queue"] Seconds
        "When the store last answered a claim, in seconds since the Unix epoch. An idle worker claims every 10 s; one whose handlers are all busy does not claim";
    WORKER_JOB_SECONDS = Histogram "worker_job_seconds" ["queue"] Seconds
        "How long a handler ran";
    WORKER_START_DELAY_SECONDS = Histogram "worker_start_delay_seconds" ["queue"] Seconds
        "From the push to the start of the handler, of first deliveries. A requested delay is included";
    WORKER_DELIVERIES = Counter "worker_outbox_deliveries_total" ["queue", "outcome"] Count
        "Deliveries of entries of the queue's outbox. `outcome` is `delivered`, `refused` (for good: the entry is dead), `retried` (failed, and tried again later) or `lost` (the lease had ended)";
    WORKER_STORE_ERRORS = Counter "worker_store_errors_total" ["op", "kind"] Count
        "Failed calls of workers to their store";
    EMBEDDED_COMMITS = Counter "embedded_commits_total" ["role"] Count
        "Committed write transactions of an embedded store";
    EMBEDDED_ROWS = Counter "embedded_rows_total" ["role"] Count
        "Rows that an embedded store wrote or removed";
    EMBEDDED_WRITTEN_BYTES = Counter "embedded_written_bytes_total" ["role"] Bytes
        "Bytes of the keys and values of written rows of an embedded store";
    EMBEDDED_FSYNC_SECONDS = Histogram "embedded_fsync_seconds" ["role"] Seconds
        "How long an fsync of an embedded store's file took";
}

/// The counters of the reads of one handle.
#[derive(Debug, Clone)]
pub struct CacheReads {
    hit: Counter,
    miss: Counter,
    stale: Counter,
}

impl CacheReads {
    /// The counters of the handle called `name`.
    pub fn new(name: &crate::HandleName) -> Self {
        let counter = |outcome| CACHE_READS.counter(&[name.as_str(), outcome]);
        Self { hit: counter("hit"), miss: counter("miss"), stale: counter("stale") }
    }

    /// Counts a value that the store had.
    pub fn hit(&self) {
        self.hit.increment(1);
    }

    /// Counts a value that the store did not have.
    pub fn miss(&self) {
        self.miss.increment(1);
    }

    /// Counts an old value.
    pub fn stale(&self) {
        self.stale.increment(1);
    }
}

/// The counters of the decisions of rate limits.
#[derive(Debug, Clone)]
pub struct LimitDecisions {
    allowed: Counter,
    denied: Counter,
}

impl LimitDecisions {
    /// The counters, for an engine to keep.
    pub fn new() -> Self {
        Self { allowed: LIMIT_DECISIONS.counter(&["allowed"]), denied: LIMIT_DECISIONS.counter(&["denied"]) }
    }

    /// Counts a decision of the store.
    pub fn count(&self, decision: &crate::RateDecision) {
        let counter = if decision.allowed { &self.allowed } else { &self.denied };
        counter.increment(1);
    }
}

impl Default for LimitDecisions {
    fn default() -> Self {
        Self::new()
    }
}

/// The counters of the answers to [`Idempotency::begin`](crate::Idempotency::begin).
#[derive(Debug, Clone)]
pub struct IdempotencyBegins {
    started: Counter,
    in_progress: Counter,
    finished: Counter,
    mismatch: Counter,
}

impl IdempotencyBegins {
    /// The counters of a store with this role, for an engine to keep.
    pub fn new(role: &str) -> Self {
        let counter = |outcome| IDEMPOTENCY_BEGINS.counter(&[role, outcome]);
        Self {
            started: counter("started"),
            in_progress: counter("in_progress"),
            finished: counter("finished"),
            mismatch: counter("mismatch"),
        }
    }

    /// Counts an answer.
    pub fn count(&self, begun: &crate::Begun) {
        let counter = match begun {
            crate::Begun::Started => &self.started,
            crate::Begun::InProgress { .. } => &self.in_progress,
            crate::Begun::Finished(_) => &self.finished,
            crate::Begun::Mismatch => &self.mismatch,
        };
        counter.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_one_scheme() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        for metric in ALL {
            let name = metric.name;
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert!(name.starts_with("twinstore_"), "{name}");
            assert_eq!(metric.kind == MetricKind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(metric.unit == Unit::Seconds, name.ends_with("_seconds"), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
