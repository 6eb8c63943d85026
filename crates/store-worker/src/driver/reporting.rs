//! Counting and logging how deliveries ended.
//!
//! An event that makes a job dead has the level `error`, all others have `warn`. A delivery is logged when the store has
//! answered its settlement, at the place where it is counted. So a failed attempt that was settled too late is one event, "lost".

use store_core::{JobId, Outcome, Settlement};
use tokio::time::Instant;

use super::delivery::{Delivery, log, log_dead, log_stuck};
use super::outbox::{Batch, Note};
use super::slot::Fate;
use super::work::{Mode, Work};
use crate::job::Job;
use crate::span::TARGET;
use crate::stats::Ending;

pub(super) const LEASE_LOST: &str = "the lease was lost";
const NOT_SETTLED: &str = "the lease ended before the result was settled";
const PERHAPS_SETTLED: &str = "its lease has ended, and an earlier settlement or a commit of it may have been accepted";
const UNANSWERED: &str = "the worker ended before its settlement was answered";
pub(super) const GONE: &str =
    "the reply to its settlement was lost, and the job is gone: the settlement or another worker removed it";
pub(super) const NOT_DURABLE: &str =
    "its settlement did not reach the durability: a failover may undo it, or the lease was lost before";
pub(super) const NOT_GIVEN_BACK: &str = "the job could not be given back before the worker ended";

impl Work {
    /// Counts a delivery whose settlement the store accepted, and logs it if it failed.
    pub(super) fn report_settled(&mut self, index: usize, settlement: &Settlement, note: &Note, now: Instant) {
        let queue = &mut self.queues[index];
        queue.settings.meters.count(&self.tally, note.ending, note.dead);
        let (Outcome::Retry { error: reason, .. } | Outcome::Dead { reason }) = &settlement.outcome else { return };
        if queue.log_limit.admit(now) {
            let id = &settlement.lease.job;
            if note.dead {
                log_dead(&queue.settings.name, id, note.delivery, note.ending, reason);
            } else {
                log(&queue.settings.name, id, note.delivery, note.ending, reason);
            }
        }
    }

    /// Counts and logs a delivery whose result does not count: the job comes back, or is dead after its last attempt.
    pub(super) fn report_lost(&mut self, index: usize, id: &JobId, delivery: Delivery, reason: &str, now: Instant) {
        self.report_ending(index, id, delivery, Ending::Lost, reason, now);
    }

    fn report_ending(
        &mut self,
        index: usize,
        id: &JobId,
        delivery: Delivery,
        ending: Ending,
        reason: &str,
        now: Instant,
    ) {
        self.clean &= self.mode == Mode::Working;
        let queue = &mut self.queues[index];
        queue.settings.meters.count(&self.tally, ending, false);
        if queue.log_limit.admit(now) {
            log(&queue.settings.name, id, delivery, ending, reason);
        }
    }

    /// Counts and logs a delivery whose lease has ended, and which an earlier call may have settled: it is not known whether its
    /// result counts.
    pub(super) fn report_perhaps_settled(&mut self, index: usize, id: &JobId, delivery: Delivery, now: Instant) {
        self.report_ending(index, id, delivery, Ending::Unknown, PERHAPS_SETTLED, now);
    }

    /// Counts and logs a delivery whose settlement was not accepted before its lease ended. If an earlier call may have settled
    /// it, it is not known whether its result counts.
    pub(super) fn report_not_settled(&mut self, index: usize, settlement: &Settlement, note: &Note, now: Instant) {
        if note.may_be_settled {
            self.report_perhaps_settled(index, &settlement.lease.job, note.delivery, now);
        } else {
            self.report_lost(index, &settlement.lease.job, note.delivery, NOT_SETTLED, now);
        }
    }

    /// Counts and logs a delivery of which the store does not tell whether its settlement counts.
    pub(super) fn report_unknown(
        &mut self,
        index: usize,
        settlement: &Settlement,
        note: &Note,
        reason: &str,
        now: Instant,
    ) {
        self.report_ending(index, &settlement.lease.job, note.delivery, Ending::Unknown, reason, now);
    }

    /// [`Work::report_not_settled`] for each delivery of a batch.
    pub(super) fn report_batch_not_settled(&mut self, index: usize, batch: &Batch, now: Instant) {
        batch.iter().for_each(|(settlement, note)| self.report_not_settled(index, settlement, note, now));
    }

    /// Counts and logs each delivery of a batch that was not settled before the worker ended. A result that is under way, or that
    /// an earlier call may have settled, is unknown; a job that is given back has none.
    pub(super) fn report_batch_given_up(&mut self, index: usize, batch: &Batch, is_under_way: bool, now: Instant) {
        for (settlement, note) in batch.iter() {
            let has_result = !matches!(settlement.outcome, Outcome::Release);
            let (ending, reason) = match has_result && (is_under_way || note.may_be_settled) {
                true => (Ending::Unknown, UNANSWERED),
                false => (Ending::Lost, NOT_GIVEN_BACK),
            };
            self.report_ending(index, &settlement.lease.job, note.delivery, ending, reason, now);
        }
    }

    /// Counts and logs a handler that was stopped and did not end in time.
    pub(super) fn report_stuck(&mut self, index: usize, job: &Job, why: Fate, now: Instant) {
        let queue = &mut self.queues[index];
        queue.handler_stuck();
        if queue.log_limit.admit(now) {
            log_stuck(&queue.settings.name, job.id(), Delivery::of(job), why.reason());
        }
    }

    /// Logs how many events were suppressed, of the queues whose window is over, or of all when the worker `has_ended`.
    pub(super) fn report_suppressed(&mut self, now: Instant, has_ended: bool) {
        for index in &self.active {
            let queue = &mut self.queues[*index];
            if let Some(suppressed) = queue.log_limit.take_suppressed(now, has_ended) {
                tracing::warn!(target: TARGET, queue = %queue.settings.name, suppressed, "more deliveries failed or were lost than are logged");
            }
        }
    }

    /// Updates the numbers of running handlers in metrics and statistics, and notes which queues need no claim: those that run as
    /// many handlers as they may.
    pub(super) fn report_handlers(&mut self, now: Instant) {
        // If all handlers are stuck, the worker is not alive.
        let is_full = self.running >= self.settings.concurrency && self.stuck < self.running;
        if is_full || self.is_paused || self.mode != Mode::Working {
            self.tally.needs_no_claims(now);
        }
        for index in &self.active {
            let queue = &mut self.queues[*index];
            if queue.is_full() && queue.stuck() < queue.running() {
                self.tally.needs_no_claim(*index, now);
            }
            if let Some((running, stuck)) = queue.changed_handlers() {
                queue.settings.meters.running.set(running as f64);
                queue.settings.meters.stuck.set(stuck as f64);
                self.tally.set_handlers(*index, running, stuck);
            }
        }
    }
}
