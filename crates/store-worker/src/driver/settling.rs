//! Telling the store how deliveries ended, together.

use std::sync::Arc;

use store_core::{Error, MAX_BATCH, Op, Receipt, Result, Settled, Settlement};
use tokio::time::Instant;

use super::ending::Verdict;
use super::{Driver, Event, Mode, PATIENCE, Slot};
use crate::stats::Ending;

/// Settlements of one queue, and what to count for each.
#[derive(Default)]
pub(crate) struct Batch {
    settlements: Vec<Settlement>,
    notes: Vec<Note>,
}

struct Note {
    ending: Ending,
    dead: bool,
    /// When its lease is surely over.
    drop_at: Instant,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.settlements.len()
    }

    /// The first `max` of them; the others stay.
    fn take(&mut self, max: usize) -> Self {
        let rest = self.len().min(max);
        let rest = Self { settlements: self.settlements.split_off(rest), notes: self.notes.split_off(rest) };
        std::mem::replace(self, rest)
    }

    /// Puts a batch back, behind the others, and drops those whose lease is surely over. How many were dropped.
    fn put_back(&mut self, batch: Batch, now: Instant) -> usize {
        let before = self.len() + batch.len();
        for Batch { settlements, notes } in [std::mem::take(self), batch] {
            for (settlement, note) in settlements.into_iter().zip(notes).filter(|(_, note)| note.drop_at > now) {
                self.settlements.push(settlement);
                self.notes.push(note);
            }
        }
        before - self.len()
    }
}

impl Driver {
    pub(super) fn push_settlement(&mut self, slot: &Slot, verdict: Verdict) {
        let drop_at = self.surely_over(slot.safe_until);
        let pending = &mut self.queues[slot.queue].pending;
        pending.settlements.push(Settlement::new(slot.lease(), verdict.outcome));
        pending.notes.push(Note { ending: verdict.ending, dead: verdict.dead, drop_at });
    }

    /// Settles what has ended: one call per queue at a time; what ends meanwhile travels together in the next. While handlers
    /// are fast, a few wait for others.
    pub(super) fn settle(&mut self, now: Instant) {
        let fast = self.is_fast && self.mode == Mode::Working;
        let few = if fast { self.settings.concurrency + self.settings.prefetch } else { 0 };
        for position in 0..self.active.len() {
            let index = self.active[position];
            let queue = &mut self.queues[index];
            if queue.settling > 0 || queue.pending.len() == 0 || !queue.gate.is_open(now) {
                continue;
            }
            if queue.pending.len() < few && now < queue.settle_by {
                continue;
            }
            let batch = queue.pending.take(queue.settle_limit);
            queue.settling = batch.len();
            let (store, queue, durability) = (self.store.clone(), queue.name.clone(), self.settings.durability);
            let batch = Arc::new(batch);
            let sending = Arc::clone(&batch);
            let call = async move { store.settle(&queue, &sending.settlements, durability).await };
            self.call(Op::QueueSettle, call, move |answer| Event::Settled { queue: index, sent: now, batch, answer });
        }
    }

    pub(super) fn on_settled(
        &mut self,
        index: usize,
        sent: Instant,
        batch: Arc<Batch>,
        answer: Result<Receipt<Vec<Settled>>>,
        now: Instant,
    ) {
        (self.queues[index].settling, self.queues[index].settle_by) = (0, now + PATIENCE);
        let answers = match answer {
            Ok(receipt) => receipt.value,
            Err(error @ Error::NotDurable { .. }) => {
                tracing::warn!(queue = %self.queues[index].name, %error, "settlements stand, but are not as durable as asked");
                vec![Settled::Done; batch.len()]
            }
            Err(error) => return self.settle_failed(index, batch, &error, now),
        };
        self.on_answer(&[index], sent);
        self.queues[index].settle_limit = MAX_BATCH.min(2 * self.queues[index].settle_limit);
        for (note, answer) in batch.notes.iter().zip(answers) {
            match answer {
                Settled::Done => self.queues[index].meters.count(&self.tally, note.ending, note.dead),
                Settled::Lost => self.count_lost(index, 1),
            }
        }
    }

    fn settle_failed(&mut self, index: usize, batch: Arc<Batch>, error: &Error, now: Instant) {
        self.on_error(&[index], error, now);
        let queue = &mut self.queues[index];
        // It may be refused because of one of them, or be too much to arrive in time.
        if !matches!(error, Error::Unavailable { .. }) {
            queue.settle_limit = (batch.len() / 2).max(1);
        }
        let batch = Arc::into_inner(batch).expect("invariant: the call that shared it is over");
        let dropped = queue.pending.put_back(batch, now);
        if dropped > 0 {
            tracing::warn!(queue = %queue.name, dropped, "settlements were given up: their leases are over, the jobs come back");
        }
        self.count_lost(index, dropped);
    }
}
