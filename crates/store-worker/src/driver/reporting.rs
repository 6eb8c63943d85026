//! Logging deliveries that failed, timed out, panicked or were lost: one event each, without the payload.
//!
//! An event that makes a job dead has the level `error`, all others have `warn`. A delivery is logged when the store has
//! answered its settlement, at the place where it is counted. So a failed attempt that was settled too late is one event, "lost".

use std::time::Duration;

use store_core::{JobId, Outcome, QueueName, Settlement};
use tokio::time::Instant;

use super::settling::{Batch, Note};
use super::{Driver, Mode};
use crate::job::Job;
use crate::span::TARGET;
use crate::stats::Ending;

/// The most events of one queue within [`WINDOW`]. The driver writes them: more would delay all jobs of the worker.
const MAX_EVENTS: u32 = 1000;

const WINDOW: Duration = Duration::from_secs(1);

pub(super) const LEASE_LOST: &str = "the lease was lost";
pub(super) const NOT_SETTLED: &str = "the lease ended before the result was settled";
pub(super) const NOT_GIVEN_BACK: &str = "the job could not be given back before the worker ended";

/// The part of a claimed job that events show.
#[derive(Debug, Clone, Copy)]
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

/// Bounds the events of one queue: [`MAX_EVENTS`] in a [`WINDOW`]. It counts the others, which one event reports.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    window_ends: Option<Instant>,
    logged: u32,
    suppressed: u64,
}

impl LogLimit {
    /// Whether an event may be logged now. If not, it is counted.
    fn admit(&mut self, now: Instant) -> bool {
        if self.window_ends.is_none_or(|at| at <= now) {
            (self.window_ends, self.logged) = (Some(now + WINDOW), 0);
        }
        let is_admitted = self.logged < MAX_EVENTS;
        self.logged += u32::from(is_admitted);
        self.suppressed += u64::from(!is_admitted);
        is_admitted
    }

    /// When suppressed events are reported, if there are any.
    pub(super) fn reports_at(&self) -> Option<Instant> {
        self.window_ends.filter(|_| self.suppressed > 0)
    }

    /// Takes the number of suppressed events: at the end of the window, or `early`.
    fn take_suppressed(&mut self, now: Instant, early: bool) -> Option<u64> {
        let is_due = self.reports_at().is_some_and(|at| early || at <= now);
        is_due.then(|| std::mem::take(&mut self.suppressed))
    }
}

impl Driver {
    /// Counts a delivery whose settlement the store accepted, and logs it if it failed.
    pub(super) fn report_settled(&mut self, index: usize, settlement: &Settlement, note: &Note, now: Instant) {
        let queue = &mut self.queues[index];
        queue.meters.count(&self.tally, note.ending, note.dead);
        let (Outcome::Retry { error: reason, .. } | Outcome::Dead { reason }) = &settlement.outcome else { return };
        if queue.log_limit.admit(now) {
            let id = &settlement.lease.job;
            if note.dead {
                log_dead(&queue.name, id, note.delivery, note.ending, reason);
            } else {
                log(&queue.name, id, note.delivery, note.ending, reason);
            }
        }
    }

    /// Counts and logs a delivery whose result does not count: the job comes back, or is dead after its last attempt.
    pub(super) fn report_lost(&mut self, index: usize, id: &JobId, delivery: Delivery, reason: &str, now: Instant) {
        self.clean &= self.mode == Mode::Working;
        let queue = &mut self.queues[index];
        queue.meters.count(&self.tally, Ending::Lost, false);
        if queue.log_limit.admit(now) {
            log(&queue.name, id, delivery, Ending::Lost, reason);
        }
    }

    /// [`Driver::report_lost`] for each delivery of a batch.
    pub(super) fn report_batch_lost(&mut self, index: usize, batch: &Batch, reason: &str, now: Instant) {
        for (settlement, note) in batch.iter() {
            self.report_lost(index, &settlement.lease.job, note.delivery, reason, now);
        }
    }

    /// Logs how many events were suppressed, of the queues whose window is over, or of all when the worker `has_ended`.
    pub(super) fn report_suppressed(&mut self, now: Instant, has_ended: bool) {
        for index in &self.active {
            let queue = &mut self.queues[*index];
            if let Some(suppressed) = queue.log_limit.take_suppressed(now, has_ended) {
                tracing::warn!(target: TARGET, queue = %queue.name, suppressed, "more deliveries failed or were lost than are logged");
            }
        }
    }
}

fn log(queue: &QueueName, id: &JobId, delivery: Delivery, ending: Ending, reason: &str) {
    let message = match ending {
        Ending::TimedOut => "a job timed out",
        Ending::Panicked => "a job panicked",
        Ending::Lost => "a job was lost",
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

fn log_dead(queue: &QueueName, id: &JobId, delivery: Delivery, ending: Ending, reason: &str) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_events_is_bounded_and_the_rest_is_counted() {
        let (mut limit, now) = (LogLimit::default(), Instant::now());
        assert_eq!((0..MAX_EVENTS + 7).filter(|_| limit.admit(now)).count(), MAX_EVENTS as usize);
        assert_eq!(limit.reports_at(), Some(now + WINDOW));
        assert_eq!(limit.take_suppressed(now, false), None);
        let later = now + WINDOW;
        assert_eq!(limit.take_suppressed(later, false), Some(7));
        assert_eq!(limit.reports_at(), None);
        assert!(limit.admit(later));
    }

    #[test]
    fn a_worker_that_ends_reports_what_was_suppressed() {
        let (mut limit, now) = (LogLimit::default(), Instant::now());
        assert_eq!((0..=MAX_EVENTS).filter(|_| !limit.admit(now)).count(), 1);
        assert_eq!(limit.take_suppressed(now, true), Some(1));
    }
}
