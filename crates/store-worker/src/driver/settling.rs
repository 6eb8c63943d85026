//! Settling deliveries in batches.

use std::sync::Arc;

use store_core::{Error, NewJob, Op, Receipt, Result, Settled, Settlement};
use tokio::time::Instant;

use super::ending::Verdict;
use super::reporting::{Delivery, NOT_SETTLED};
use super::{Driver, Event, LINGER, Mode, Slot};
use crate::span::TARGET;
use crate::stats::Ending;

/// Settlements of one queue, with a note for each.
#[derive(Default)]
pub(crate) struct Batch {
    settlements: Vec<Settlement>,
    notes: Vec<Note>,
}

/// The data to count and log when a settlement is answered.
pub(super) struct Note {
    pub(super) ending: Ending,
    pub(super) dead: bool,
    pub(super) delivery: Delivery,
    /// The latest time at which its lease ends.
    drop_at: Instant,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.settlements.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Settlement, &Note)> {
        self.settlements.iter().zip(&self.notes)
    }

    /// Takes the first `max` settlements.
    fn take(&mut self, max: usize) -> Self {
        let rest = self.len().min(max);
        let rest = Self { settlements: self.settlements.split_off(rest), notes: self.notes.split_off(rest) };
        std::mem::replace(self, rest)
    }

    fn push(&mut self, settlement: Settlement, note: Note) {
        self.settlements.push(settlement);
        self.notes.push(note);
    }

    /// Puts a batch back, behind the others. Takes out the settlements whose lease has ended, and returns them.
    fn put_back(&mut self, batch: Batch, now: Instant) -> Batch {
        let mut ended = Batch::default();
        for Batch { settlements, notes } in [std::mem::take(self), batch] {
            for (settlement, note) in settlements.into_iter().zip(notes) {
                let batch = if note.drop_at > now { &mut *self } else { &mut ended };
                batch.push(settlement, note);
            }
        }
        ended
    }
}

impl Driver {
    pub(super) fn push_settlement(&mut self, slot: &Slot, verdict: Verdict) {
        let drop_at = self.surely_over(slot.safe_until);
        let note = Note { ending: verdict.ending, dead: verdict.dead, delivery: Delivery::of(&slot.job), drop_at };
        self.queues[slot.queue].pending.push(Settlement::new(slot.lease(), verdict.outcome), note);
    }

    /// Settles the jobs that have ended, one call per queue at a time: jobs that end during a call share the next one. While
    /// handlers are fast, a few settlements wait for more.
    pub(super) fn settle(&mut self, now: Instant) {
        let fast = self.is_fast && self.mode == Mode::Working;
        let few = if fast { self.settings.concurrency + self.settings.prefetch } else { 0 };
        for position in 0..self.active.len() {
            let index = self.active[position];
            let queue = &mut self.queues[index];
            if queue.settling.is_some() || queue.pending.len() == 0 || !queue.gate.is_open(now) {
                continue;
            }
            if queue.pending.len() < few && now < queue.settle_by {
                continue;
            }
            let batch = queue.pending.take(queue.settle_limit);
            let (store, queue, durability) = (self.store.clone(), queue.name.clone(), self.settings.durability);
            let batch = Arc::new(batch);
            self.queues[index].settling = Some(Arc::clone(&batch));
            let call = async move { store.settle(&queue, &batch.settlements, durability).await };
            self.call(Op::QueueSettle, call, move |answer| Event::Settled { queue: index, sent: now, answer });
        }
    }

    pub(super) fn on_settled(
        &mut self,
        index: usize,
        sent: Instant,
        answer: Result<Receipt<Vec<Settled>>>,
        now: Instant,
    ) {
        self.queues[index].settle_by = now + LINGER;
        let Some(batch) = self.queues[index].settling.take() else { return };
        let answers = match answer {
            Ok(receipt) => receipt.value,
            Err(error @ Error::NotDurable { .. }) => {
                let queue = &self.queues[index].name;
                tracing::warn!(target: TARGET, %queue, %error, "settlements were executed, but did not reach the durability");
                vec![Settled::Done; batch.len()]
            }
            Err(error) => return self.settle_failed(index, batch, &error, now),
        };
        self.on_answer(&[index], sent);
        self.queues[index].settle_limit = NewJob::MAX_BATCH.min(2 * self.queues[index].settle_limit);
        for ((settlement, note), answer) in batch.iter().zip(answers) {
            if answer.is_lost() {
                self.report_lost(index, &settlement.lease.job, note.delivery, NOT_SETTLED, now);
            } else {
                self.report_settled(index, settlement, note, now);
            }
        }
    }

    fn settle_failed(&mut self, index: usize, batch: Arc<Batch>, error: &Error, now: Instant) {
        self.on_error(&[index], error, now);
        let queue = &mut self.queues[index];
        // One settlement may be the cause, or there may be too many for the command time-out.
        if !matches!(error, Error::Unavailable { .. }) {
            queue.settle_limit = (batch.len() / 2).max(1);
        }
        let batch = Arc::into_inner(batch).expect("invariant: the call that shared it has ended");
        let ended = queue.pending.put_back(batch, now);
        self.report_batch_lost(index, &ended, NOT_SETTLED, now);
    }
}
