//! Pausing, and shutting down.

use std::time::Duration;

use store_core::Outcome;
use tokio::time::Instant;

use super::ending::Verdict;
use super::reporting::{Delivery, NOT_GIVEN_BACK};
use super::{Command, Driver, Fate, Phase};
use crate::span::TARGET;
use crate::stats::Ending;

/// How long the store has to accept the remaining settlements after the deadline.
const FLUSH: Duration = Duration::from_secs(5);

/// The same after [`WorkerHandle::shutdown_now`](crate::WorkerHandle::shutdown_now).
const FLUSH_NOW: Duration = Duration::from_secs(1);

/// The phase of a worker's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Working,
    /// Running handlers may finish.
    Draining {
        deadline: Instant,
    },
    /// Handlers were dropped, and the remaining jobs are given back.
    Flushing {
        until: Instant,
    },
}

impl Mode {
    pub(super) fn ends_at(self) -> Option<Instant> {
        match self {
            Mode::Working => None,
            Mode::Draining { deadline: at } | Mode::Flushing { until: at } => Some(at),
        }
    }
}

impl Driver {
    pub(super) fn on_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Pause => {
                self.paused = true;
                self.stop_waiting();
            }
            Command::Resume => {
                self.paused = false;
                (0..self.queues.len()).for_each(|index| self.make_ready(index));
            }
            Command::Shutdown if self.mode == Mode::Working => {
                self.mode = Mode::Draining { deadline: now + self.settings.shutdown_deadline };
                tracing::info!(target: TARGET, worker = %self.name, running = self.running, "shutting down; running handlers may finish");
                self.stop_waiting();
                self.release_all_waiting();
            }
            Command::Shutdown => {}
            Command::ShutdownNow => {
                self.stop_waiting();
                self.release_all_waiting();
                self.drop_handlers(now + FLUSH_NOW);
            }
        }
    }

    fn release_all_waiting(&mut self) {
        (0..self.queues.len()).for_each(|index| self.release_waiting(index));
    }

    /// Gives back the claimed jobs that have no handler: the last one first, so that the queue keeps their order.
    pub(super) fn release_waiting(&mut self, index: usize) {
        while let Some(id) = self.queues[index].waiting.pop_back() {
            if let Some(slot) = self.slots.remove(&id) {
                self.push_settlement(&slot, Verdict::new(Outcome::Release, Ending::Released));
            }
        }
    }

    fn drop_handlers(&mut self, until: Instant) {
        let until = if let Mode::Flushing { until: before } = self.mode { before.min(until) } else { until };
        self.mode = Mode::Flushing { until };
        for slot in self.slots.values_mut() {
            if matches!(slot.phase, Phase::Running { .. }) {
                self.clean = false;
                slot.stop(Fate::Released);
            }
        }
    }

    pub(super) fn check_shutdown(&mut self, now: Instant) {
        if let Mode::Draining { deadline } = self.mode
            && deadline <= now
        {
            self.drop_handlers(now + FLUSH);
        }
    }

    /// Whether all work is done, or the time for it is over.
    pub(super) fn has_ended(&mut self, now: Instant) -> bool {
        if self.mode == Mode::Working {
            return false;
        }
        let mut queues = self.active.iter().map(|index| &self.queues[*index]);
        let idle = queues.all(|queue| queue.claiming == 0 && queue.unsettled() == 0) && self.slots.is_empty();
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

    /// Reports the jobs that could not be given back as lost.
    fn give_up(&mut self, now: Instant) {
        self.clean = false;
        for slot in std::mem::take(&mut self.slots).into_values() {
            slot.abort();
            self.report_lost(slot.queue, slot.job.id(), Delivery::of(&slot.job), NOT_GIVEN_BACK, now);
        }
        for index in 0..self.queues.len() {
            let queue = &mut self.queues[index];
            let (settling, pending) = (queue.settling.take(), std::mem::take(&mut queue.pending));
            settling.iter().for_each(|batch| self.report_batch_lost(index, batch, NOT_GIVEN_BACK, now));
            self.report_batch_lost(index, &pending, NOT_GIVEN_BACK, now);
        }
    }
}
