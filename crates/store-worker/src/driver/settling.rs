//! Settling deliveries in batches, and giving jobs back.

use std::sync::Arc;

use store_core::{Error, Op, Outcome, Receipt, Result, Settled, Settlement};
use tokio::time::Instant;

use super::delivery::Delivery;
use super::outbox::{Batch, Note};
use super::pace::LINGER;
use super::reporting::{GONE, NOT_DURABLE};
use super::slot::Slot;
use super::verdict::Verdict;
use super::work::{Mode, Work};
use crate::event::Event;
use crate::span::TARGET;
use crate::stats::Ending;

impl Work {
    /// Settles the jobs that have ended, one call per partition at a time. While handlers are fast, a few settlements wait for more.
    pub(super) fn settle(&mut self, now: Instant) {
        let is_fast = self.pace.is_fast() && self.mode == Mode::Working;
        let few = if is_fast { self.settings.few } else { 0 };
        for position in 0..self.active.len() {
            let index = self.active[position];
            let queue = &mut self.queues[index];
            if !queue.gate.is_open(now) {
                continue;
            }
            for (partition, batch) in queue.outbox.send(few, queue.running() > 0, now) {
                self.send_settlements((index, partition), batch, now);
            }
        }
    }

    fn send_settlements(&self, of: (usize, u16), batch: Arc<Batch>, now: Instant) {
        let (store, durability) = (self.store.clone(), self.settings.durability);
        let queue = self.queues[of.0].settings.name.clone();
        let call = async move { store.settle(&queue, batch.settlements(), durability).await };
        self.call(Op::QueueSettle, call, move |answer| Event::Settled { of, sent: now, answer });
    }

    pub(super) fn push_settlement(&mut self, slot: &Slot, verdict: Verdict) {
        // The lease may have begun later than at the earliest time, if its claim or renewal took long.
        let drop_at = slot.safe_until + self.settings.lease.max(std::time::Duration::from_secs(1));
        let (ending, dead, delivery) = (verdict.ending, verdict.dead, Delivery::of(&slot.job));
        let note = Note { ending, dead, delivery, drop_at, may_be_settled: slot.job.may_be_committed() };
        self.queues[slot.queue].outbox.push(Settlement::new(slot.lease(), verdict.outcome), note);
    }

    pub(super) fn on_settled(
        &mut self,
        (index, partition): (usize, u16),
        sent: Instant,
        answer: Result<Receipt<Vec<Settled>>>,
        now: Instant,
    ) {
        let Some(batch) = self.queues[index].outbox.answered(partition, now + LINGER) else { return };
        let (answers, why_unknown) = match answer {
            Ok(receipt) => (receipt.value, GONE),
            Err(error @ Error::NotDurable { .. }) => {
                let queue = &self.queues[index].settings.name;
                tracing::warn!(target: TARGET, %queue, %error, "settlements did not reach the durability");
                // The error has no answers, and a failover may undo what was settled.
                (vec![Settled::Unknown; batch.len()], NOT_DURABLE)
            }
            Err(error) => return self.settle_failed((index, partition), batch, &error, now),
        };
        self.on_answer(index, sent);
        self.queues[index].outbox.accepted(partition);
        for ((settlement, note), answer) in batch.iter().zip(answers) {
            match answer {
                Settled::Lost => self.report_not_settled(index, settlement, note, now),
                Settled::Unknown => self.report_unknown(index, settlement, note, why_unknown, now),
                _ => self.report_settled(index, settlement, note, now),
            }
        }
    }

    fn settle_failed(&mut self, (index, partition): (usize, u16), batch: Arc<Batch>, error: &Error, now: Instant) {
        self.on_error(index, Op::QueueSettle, error, now);
        let ended = self.queues[index].outbox.failed(partition, batch, error, now);
        self.report_batch_not_settled(index, &ended, now);
    }

    /// Gives up to `most` claimed jobs back that have no handler, for workers that have room.
    pub(super) fn give_back(&mut self, index: usize, most: usize) {
        if most > 0 {
            self.pace.claimed_too_many();
            self.want(index);
            self.release_waiting(index, most);
        }
    }

    /// Releases up to `most` claimed jobs that have no handler: the last one first, so that the queue keeps their order.
    pub(super) fn release_waiting(&mut self, index: usize, most: usize) {
        for _ in 0..most {
            let Some(id) = self.queues[index].take_last() else { break };
            if let Some(slot) = self.slots.remove(&id) {
                self.push_settlement(&slot, Verdict::new(Outcome::Release, Ending::Released));
            }
        }
    }

    /// Settles a job that has no handler yet as cancelled.
    pub(super) fn cancel_waiting(&mut self, id: u64) {
        if let Some(slot) = self.slots.remove(&id) {
            self.queues[slot.queue].forget_waiting(id);
            self.push_settlement(&slot, Verdict::new(Outcome::Cancelled, Ending::Cancelled));
        }
    }
}
