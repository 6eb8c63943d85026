//! Pausing, and shutting down.

use std::time::Duration;

use tokio::time::Instant;

use super::delivery::Delivery;
use super::reporting::NOT_GIVEN_BACK;
use super::slot::{Fate, Phase, Slot};
use super::work::{Mode, Work};
use crate::event::Command;
use crate::span::TARGET;

/// How long the store has to accept the remaining settlements after the deadline.
const FLUSH: Duration = Duration::from_secs(5);

/// The same after [`WorkerHandle::shutdown_now`](crate::WorkerHandle::shutdown_now).
const FLUSH_NOW: Duration = Duration::from_secs(1);

impl Work {
    pub(super) fn on_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Pause => self.is_paused = true,
            Command::Resume => {
                self.is_paused = false;
                (0..self.queues.len()).for_each(|index| self.want(index));
            }
            Command::Shutdown if self.mode == Mode::Working => {
                self.mode = Mode::Draining { deadline: now + self.settings.shutdown_deadline };
                tracing::info!(target: TARGET, worker = %self.name, running = self.running, "shutting down; running handlers may finish");
                self.release_all_waiting();
            }
            Command::Shutdown => {}
            Command::ShutdownNow => {
                self.release_all_waiting();
                self.drop_handlers(now + FLUSH_NOW, now);
            }
        }
    }

    fn release_all_waiting(&mut self) {
        (0..self.queues.len()).for_each(|index| self.release_waiting(index, usize::MAX));
    }

    fn drop_handlers(&mut self, until: Instant, now: Instant) {
        let until = if let Mode::Flushing { until: before } = self.mode { before.min(until) } else { until };
        self.mode = Mode::Flushing { until };
        let is_running = |(id, slot): (&u64, &Slot)| matches!(slot.phase, Phase::Running { .. }).then_some(*id);
        let running: Vec<u64> = self.slots.iter().filter_map(is_running).collect();
        self.clean &= running.is_empty();
        running.into_iter().for_each(|id| self.stop(id, Fate::Released, now));
    }

    pub(super) fn check_shutdown(&mut self, now: Instant) {
        if let Mode::Draining { deadline } = self.mode
            && deadline <= now
        {
            self.drop_handlers(now + FLUSH, now);
        }
    }

    /// Whether all work is done, or the time for it is over.
    pub(super) fn has_ended(&mut self, now: Instant) -> bool {
        if self.mode == Mode::Working {
            return false;
        }
        let idle = self.slots.is_empty() && self.active.iter().all(|index| self.queues[*index].is_done());
        match self.mode {
            Mode::Working => false,
            Mode::Draining { .. } => idle,
            Mode::Flushing { until } if idle || until > now => idle,
            Mode::Flushing { .. } => {
                self.give_up(now);
                true
            }
        }
    }

    /// Reports the jobs that could not be given back as lost. The settlements under way may still be executed.
    fn give_up(&mut self, now: Instant) {
        self.clean = false;
        for slot in std::mem::take(&mut self.slots).into_values() {
            slot.abort();
            self.report_lost(slot.queue, slot.job.id(), Delivery::of(&slot.job), NOT_GIVEN_BACK, now);
        }
        for index in 0..self.queues.len() {
            for (under_way, pending) in self.queues[index].outbox.take_all() {
                under_way.iter().for_each(|batch| self.report_batch_given_up(index, batch, true, now));
                self.report_batch_given_up(index, &pending, false, now);
            }
        }
    }
}
