//! Waiting for notifications of the queues at which the worker is registered.
//!
//! Claims register the worker. A notification reaches one worker only: a worker that has no room for the job passes it on.

use store_core::{Claim, Op, REGISTRATION, Result, Wakeup};
use tokio::time::Instant;

use super::work::{Mode, Work};
use crate::event::Event;

impl Work {
    /// Waits for the next notification: one call is always under way. A worker that may claim nothing gives back what it gets.
    pub(super) fn wait(&mut self, now: Instant) {
        let is_saturated = self.pace.is_saturated(self.running, now);
        self.pass_on(is_saturated || self.is_paused || self.mode != Mode::Working, now);
        if !self.is_waiting && self.waiter_gate.is_open(now) {
            self.is_waiting = true;
            let waiter = self.waiter.clone();
            let call = async move { waiter.next(REGISTRATION).await };
            self.call(Op::QueueClaim, call, move |answer| Event::Woken { sent: now, answer });
        }
    }

    pub(super) fn on_woken(&mut self, sent: Instant, answer: Result<Option<Wakeup>>, now: Instant) {
        self.is_waiting = false;
        let wakeup = match answer {
            Ok(wakeup) => {
                self.waiter_gate.open(sent);
                self.on_recovery();
                wakeup
            }
            Err(error) => {
                self.waiter_gate.close(now);
                self.on_outage(&error);
                Some(Wakeup::Missed)
            }
        };
        match wakeup {
            None => {}
            Some(Wakeup::Claimed { queue, claim, is_registered, since }) => {
                let Some(index) = self.names.get(&queue).copied() else { return };
                let supply = &mut self.queues[index].supply;
                supply.set_reserved(self.waiter.reserved(&queue));
                supply.handed_over(is_registered, self.pace.patience(), now);
                self.on_handed_over(index, claim, Instant::from_std(since), now);
            }
            Some(Wakeup::Notified { queue }) => {
                if let Some(index) = self.names.get(&queue).copied() {
                    let supply = &mut self.queues[index].supply;
                    supply.set_reserved(self.waiter.reserved(&queue));
                    supply.notified();
                    self.activate(index);
                }
            }
            Some(_) => (0..self.queues.len()).for_each(|index| self.want(index)),
        }
    }

    /// A push leased jobs to this worker. Those for which no handler is free go to other workers.
    fn on_handed_over(&mut self, index: usize, claim: Claim, leased: Instant, now: Instant) {
        self.activate(index);
        let settings = &self.queues[index].settings;
        let room = settings.concurrency.saturating_sub(self.queues[index].jobs());
        let room = room.min(self.settings.concurrency.saturating_sub(self.jobs()));
        let is_certain = leased + self.settings.lease > now;
        let may_start = self.mode == Mode::Working && !self.is_paused && is_certain;
        let excess = claim.jobs.len().saturating_sub(if may_start { room } else { 0 });
        self.add_jobs(index, claim.jobs, leased, now);
        self.give_back(index, excess);
    }

    /// Passes notifications on to other workers: those of queues that run as many handlers as they may, or all if `all`.
    fn pass_on(&mut self, all: bool, now: Instant) {
        for position in 0..self.active.len() {
            let index = self.active[position];
            let queue = &self.queues[index];
            let is_full = queue.is_full() && queue.settings.concurrency < self.settings.concurrency;
            if queue.supply.is_notified() && (all || is_full) && queue.may_claim(now) {
                self.send_claim_to_pass_on(index, now);
            }
        }
    }
}
