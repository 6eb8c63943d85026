//! The events of deliveries that failed, timed out, panicked or were lost, without the payload.

use store_core::{JobId, QueueName};

use crate::job::Job;
use crate::span::TARGET;
use crate::stats::Ending;

/// The part of a claimed job that events show.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delivery {
    attempt: u32,
    max_attempts: u16,
    trace_id: Option<u128>,
}

impl Delivery {
    pub(super) fn of(job: &Job) -> Self {
        let trace_id = job.trace().and_then(|trace| u128::from_str_radix(trace.trace_id(), 16).ok());
        Self { attempt: job.attempt(), max_attempts: job.claimed().retry.max_attempts, trace_id }
    }

    fn trace_id(self) -> Option<String> {
        self.trace_id.map(|id| format!("{id:032x}"))
    }
}

/// Logs a delivery after which the job is not dead.
pub(super) fn log(queue: &QueueName, id: &JobId, delivery: Delivery, ending: Ending, reason: &str) {
    let message = match ending {
        Ending::TimedOut => "a job timed out",
        Ending::Panicked => "a job panicked",
        Ending::Lost => "a job was lost",
        Ending::Unknown => "the outcome of a job is unknown",
        _ => "a job failed",
    };
    tracing::warn!(
        target: TARGET,
        %queue,
        %id,
        attempt = delivery.attempt,
        max_attempts = delivery.max_attempts,
        outcome = ending.name(),
        reason,
        trace_id = delivery.trace_id(),
        "{message}"
    );
}

/// Logs a delivery after which the job is dead.
pub(super) fn log_dead(queue: &QueueName, id: &JobId, delivery: Delivery, ending: Ending, reason: &str) {
    tracing::error!(
        target: TARGET,
        %queue,
        %id,
        attempt = delivery.attempt,
        max_attempts = delivery.max_attempts,
        outcome = ending.name(),
        reason,
        trace_id = delivery.trace_id(),
        "a job is dead"
    );
}

/// Logs a handler that was stopped and did not end in time.
pub(super) fn log_stuck(queue: &QueueName, id: &JobId, delivery: Delivery, reason: &str) {
    tracing::error!(
        target: TARGET,
        %queue,
        %id,
        attempt = delivery.attempt,
        max_attempts = delivery.max_attempts,
        reason,
        trace_id = delivery.trace_id(),
        "a stopped handler does not end: it blocks, and keeps its place until it ends"
    );
}
