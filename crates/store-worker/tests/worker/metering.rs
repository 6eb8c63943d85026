//! The metrics of a worker. On one thread, because the recorder is that of the thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use store_core::{Backoff, NewJob, RetryPolicy};
use store_worker::{Done, Job, JobError};

use crate::fixture::{Fixture, Running, eventually};

/// Remembers counters by their name and labels.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<HashMap<String, u64>>>);

struct Cell(Memory, String);

impl CounterFn for Cell {
    fn increment(&self, value: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }

    fn absolute(&self, value: u64) {
        self.0.0.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl Recorder for Memory {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key.labels().map(|label| label.value()).collect();
        Counter::from_arc(Arc::new(Cell(self.clone(), format!("{} {}", key.name(), labels.join(" ")))))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn each_outcome_is_counted_by_queue() {
    let memory = Memory::default();
    let _recording = metrics::set_default_local_recorder(&memory);
    let fixture = Fixture::new();
    let handler = async |job: Job| match (&job.payload()[..], job.attempt()) {
        (b"done", _) => Ok(Done::discard()),
        (b"panic", 1) => panic!("once"),
        (b"slow", 1) => std::future::pending().await,
        (b"error", 1) => Err(JobError::retry("once")),
        (b"dead", _) => Err(JobError::dead("for good")),
        (b"cancelled", _) => Err(JobError::cancelled()),
        _ => Ok(Done::discard()),
    };
    let policy = RetryPolicy::new(2, Backoff::Fixed(Duration::ZERO));
    for payload in ["done", "panic", "slow", "error", "dead", "cancelled"] {
        fixture.push(NewJob::new(payload).with_retry(policy)).await;
    }
    let builder = fixture.worker().with_handler_timeout(Duration::from_millis(500));
    let worker = Running::start(builder.with_queue("email", handler));
    fixture.until("ended", |counts| counts.pending() == 0).await;
    worker.shutdown().await;
    let counted = memory.0.lock().unwrap().clone();
    let outcome = |name: &str| counted.get(&format!("twinstore_worker_jobs_total email {name}")).copied().unwrap_or(0);
    assert_eq!(outcome("completed"), 4, "{counted:?}");
    assert_eq!([outcome("panicked"), outcome("timed_out"), outcome("failed"), outcome("cancelled")], [1, 1, 2, 1]);
    assert_eq!(counted.get("twinstore_worker_dead_jobs_total email"), Some(&1));
}

#[tokio::test]
async fn errors_of_the_store_are_counted_by_operation() {
    let memory = Memory::default();
    let _recording = metrics::set_default_local_recorder(&memory);
    let fixture = Fixture::new();
    fixture.store.fail(&crate::fixture::ALL, crate::fixture::Fault::Away);
    let worker = Running::start(fixture.worker().with_queue("email", async |_: Job| Ok(Done::discard())));
    let counted = || memory.0.lock().unwrap().clone();
    let name = "twinstore_worker_store_errors_total queue.claim unavailable";
    eventually("counted", async || counted().contains_key(name)).await;
    worker.shutdown().await;
}
