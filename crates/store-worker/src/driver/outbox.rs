//! The settlements of one queue: those that wait for a call, and those under way.

use std::sync::Arc;

use store_core::{Error, NewJob, Settlement};
use tokio::time::Instant;

use super::delivery::Delivery;
use super::pace::LINGER;
use crate::stats::Ending;

/// Settlements, with a note for each.
#[derive(Default)]
pub(super) struct Batch {
    settlements: Vec<Settlement>,
    notes: Vec<Note>,
}

/// The data to count and log when a settlement is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Note {
    pub(super) ending: Ending,
    /// Whether the job is dead afterwards.
    pub(super) dead: bool,
    pub(super) delivery: Delivery,
    /// The latest time at which its lease ends.
    pub(super) drop_at: Instant,
    /// Whether the handler has made a commit, or the reply to a call that settles the job was lost: then a later answer that the
    /// lease is lost may mean that the first call took effect.
    pub(super) may_be_settled: bool,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.settlements.len()
    }

    pub(super) fn settlements(&self) -> &[Settlement] {
        &self.settlements
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

/// The settlements of one queue. One call is under way at a time: jobs that end during a call share the next one.
pub(super) struct Outbox {
    pending: Batch,
    under_way: Option<Arc<Batch>>,
    /// Until when a few settlements may wait for others, while handlers are fast.
    linger_until: Instant,
    /// Until when waiting settlements may wait for handlers of the queue that still run.
    waits_until: Option<Instant>,
    /// The most settlements in one call. It is smaller after a failure, so that one refused settlement, or a call that is too
    /// large, does not block the others.
    limit: usize,
}

impl Outbox {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            pending: Batch::default(),
            under_way: None,
            linger_until: now,
            waits_until: None,
            limit: NewJob::MAX_BATCH,
        }
    }

    /// How many settlements wait or are under way.
    pub(super) fn len(&self) -> usize {
        self.pending.len() + self.under_way.as_ref().map_or(0, |batch| batch.len())
    }

    /// When waiting settlements may have to be sent.
    pub(super) fn sends_at(&self) -> Option<Instant> {
        (self.pending.len() > 0)
            .then_some(self.waits_until.map_or(self.linger_until, |until| until.max(self.linger_until)))
    }

    pub(super) fn push(&mut self, settlement: Settlement, note: Note) {
        self.pending.push(settlement, note);
    }

    /// The settlements to send now, which are then under way. Fewer than `few` settlements may wait for others, and longer if some
    /// of the queue's handlers `are_running`.
    pub(super) fn send(&mut self, few: usize, are_running: bool, now: Instant) -> Option<Arc<Batch>> {
        if self.under_way.is_some() || self.pending.len() == 0 {
            return None;
        }
        let waits_until = *self.waits_until.get_or_insert(now + LINGER);
        let waits = now < self.linger_until || are_running && now < waits_until;
        if self.pending.len() < few && waits {
            return None;
        }
        self.waits_until = None;
        let batch = Arc::new(self.pending.take(self.limit));
        self.under_way = Some(Arc::clone(&batch));
        Some(batch)
    }

    /// The call was answered. The settlements that were under way; a few new ones may linger until `linger_until`.
    pub(super) fn answered(&mut self, linger_until: Instant) -> Option<Arc<Batch>> {
        self.linger_until = linger_until;
        self.under_way.take()
    }

    /// The store accepted a call: the next one may have more settlements.
    pub(super) fn accepted(&mut self) {
        self.limit = NewJob::MAX_BATCH.min(2 * self.limit);
    }

    /// The call of this batch failed: it waits for another call. Returns the settlements whose lease has ended.
    pub(super) fn failed(&mut self, batch: Arc<Batch>, error: &Error, now: Instant) -> Batch {
        // One settlement may be the cause, or there may be too many for the command time-out.
        if !matches!(error, Error::Unavailable { .. }) {
            self.limit = (batch.len() / 2).max(1);
        }
        let mut batch = Arc::into_inner(batch).expect("invariant: the call that shared it has ended");
        if matches!(error, Error::Indeterminate { .. }) {
            batch.notes.iter_mut().for_each(|note| note.may_be_settled = true);
        }
        self.pending.put_back(batch, now)
    }

    /// Takes all settlements out: those under way, and those that wait.
    pub(super) fn take_all(&mut self) -> (Option<Arc<Batch>>, Batch) {
        (self.under_way.take(), std::mem::take(&mut self.pending))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store_core::{Fence, JobId, JobLease, Op, Outcome, Timestamp};

    use super::*;

    fn outbox(now: Instant, leases_end: &[Instant]) -> Outbox {
        let mut outbox = Outbox::new(now);
        for (number, drop_at) in leases_end.iter().enumerate() {
            let lease =
                JobLease::new(JobId::new(number.to_string()).unwrap(), Fence::new(1), Timestamp::from_millis(0));
            let note = Note {
                ending: Ending::Completed,
                dead: false,
                delivery: Delivery::default(),
                drop_at: *drop_at,
                may_be_settled: false,
            };
            outbox.push(Settlement::new(lease, Outcome::Complete(None)), note);
        }
        outbox
    }

    fn ids(batch: &Batch) -> Vec<&str> {
        batch.settlements().iter().map(|settlement| settlement.lease.job.as_str()).collect()
    }

    #[test]
    fn one_call_is_under_way_at_a_time() {
        let now = Instant::now();
        let mut outbox = outbox(now, &[now; 3]);
        let batch = outbox.send(0, false, now).unwrap();
        assert_eq!((batch.len(), outbox.len()), (3, 3));
        assert!(outbox.send(0, false, now).is_none());
        drop(batch);
        assert_eq!(outbox.answered(now).unwrap().len(), 3);
        assert_eq!((outbox.len(), outbox.sends_at()), (0, None));
    }

    #[test]
    fn a_few_settlements_wait_until_the_lingering_ends() {
        let now = Instant::now();
        let later = now + Duration::from_millis(1);
        let mut outbox = outbox(later, &[later; 2]);
        assert!(outbox.send(3, false, now).is_none());
        assert_eq!(outbox.sends_at(), Some(later));
        assert_eq!(outbox.send(3, false, later).unwrap().len(), 2);
    }

    #[test]
    fn settlements_wait_for_handlers_that_still_run_but_not_for_long() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut outbox = outbox(now, &[later; 2]);
        assert!(outbox.send(3, true, now).is_none());
        assert_eq!(outbox.sends_at(), Some(now + LINGER));
        assert!(outbox.send(3, true, now + LINGER / 2).is_none());
        assert_eq!(outbox.send(3, true, now + LINGER).unwrap().len(), 2);
        let mut others = self::outbox(now, &[later; 2]);
        assert!(others.send(3, true, now).is_none());
        assert_eq!(others.send(3, false, now).unwrap().len(), 2, "all handlers have ended");
        assert_eq!(self::outbox(now, &[later; 3]).send(3, true, now).unwrap().len(), 3);
    }

    #[test]
    fn a_refused_call_is_halved_and_keeps_what_can_still_be_settled() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut outbox = outbox(now, &[later, now, later, later]);
        drop(outbox.send(0, false, now));
        let batch = outbox.answered(now).unwrap();
        assert_eq!(ids(&outbox.failed(batch, &Error::invalid_argument(Op::QueueSettle, "no"), now)), ["1"]);
        assert_eq!(ids(&outbox.send(0, false, now).unwrap()), ["0", "2"]);
        drop(outbox.answered(now));
        outbox.accepted();
        assert_eq!(ids(&outbox.send(0, false, now).unwrap()), ["3"]);
    }

    #[test]
    fn a_call_that_was_not_executed_is_sent_again_as_it_was() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut outbox = outbox(now, &[later; 4]);
        drop(outbox.send(0, false, now));
        let batch = outbox.answered(now).unwrap();
        assert_eq!(outbox.failed(batch, &Error::unavailable(Op::QueueSettle, "away"), now).len(), 0);
        assert_eq!(outbox.send(0, false, now).unwrap().len(), 4);
    }

    #[test]
    fn it_remembers_that_a_settlement_may_have_taken_effect() {
        let now = Instant::now();
        let mut outbox = outbox(now, &[now + Duration::from_secs(1)]);
        drop(outbox.send(0, false, now));
        let batch = outbox.answered(now).unwrap();
        assert_eq!(outbox.failed(batch, &Error::indeterminate(Op::QueueSettle, "cut"), now).len(), 0);
        assert!(outbox.send(0, false, now).unwrap().iter().all(|(_, note)| note.may_be_settled));
    }
}
