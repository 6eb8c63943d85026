//! The settlements of one queue: those that wait for a call, and those under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use store_core::{Error, NewJob, Settlement};
use tokio::time::Instant;

use super::delivery::Delivery;
use super::pace::LINGER;
use crate::stats::Ending;

/// After this time without an answer, a call holds up no settlements of other partitions.
const HANGS: Duration = Duration::from_millis(200);

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

/// The settlements of one queue. A call has those of one partition, so that a partition that cannot be reached holds up no other one.
/// The calls of all partitions are sent together: jobs that end during these calls share the next ones.
pub(super) struct Outbox {
    partitions: BTreeMap<u16, OfPartition>,
    /// Until when a few settlements may wait for others, while handlers are fast.
    linger_until: Instant,
    /// Until when waiting settlements may wait for handlers of the queue that still run.
    waits_until: Option<Instant>,
}

struct OfPartition {
    pending: Batch,
    under_way: Option<UnderWay>,
    /// The most settlements in one call. It is smaller after a failure, so that one refused settlement, or a call that is too
    /// large, does not block the others.
    limit: usize,
}

struct UnderWay {
    batch: Arc<Batch>,
    /// Until when it holds up the settlements of other partitions.
    hangs_at: Instant,
}

impl Default for OfPartition {
    fn default() -> Self {
        Self { pending: Batch::default(), under_way: None, limit: NewJob::MAX_BATCH }
    }
}

impl OfPartition {
    /// How many settlements a call may be sent for.
    fn waiting(&self) -> usize {
        if self.under_way.is_none() { self.pending.len() } else { 0 }
    }
}

impl Outbox {
    pub(super) fn new(now: Instant) -> Self {
        Self { partitions: BTreeMap::new(), linger_until: now, waits_until: None }
    }

    /// How many settlements wait or are under way.
    pub(super) fn len(&self) -> usize {
        let len = |of: &OfPartition| of.pending.len() + of.under_way.as_ref().map_or(0, |call| call.batch.len());
        self.partitions.values().map(len).sum()
    }

    /// How many settlements calls may be sent for.
    fn waiting(&self) -> usize {
        self.partitions.values().map(OfPartition::waiting).sum()
    }

    /// Until when calls under way hold up those of other partitions.
    fn held_up_until(&self) -> Option<Instant> {
        self.partitions.values().filter_map(|of| of.under_way.as_ref()).map(|call| call.hangs_at).max()
    }

    /// When waiting settlements may have to be sent.
    pub(super) fn sends_at(&self) -> Option<Instant> {
        let at = [Some(self.linger_until), self.waits_until, self.held_up_until()].into_iter().flatten().max();
        at.filter(|_| self.waiting() > 0)
    }

    pub(super) fn push(&mut self, settlement: Settlement, note: Note) {
        self.partitions.entry(settlement.lease.partition).or_default().pending.push(settlement, note);
    }

    /// The settlements to send now, by partition, which are then under way. Fewer than `few` settlements may wait for others, and
    /// longer if some of the queue's handlers `are_running`.
    pub(super) fn send(&mut self, few: usize, are_running: bool, now: Instant) -> Vec<(u16, Arc<Batch>)> {
        let waiting = self.waiting();
        if waiting == 0 || self.held_up_until().is_some_and(|until| now < until) {
            return Vec::new();
        }
        let waits_until = *self.waits_until.get_or_insert(now + LINGER);
        let waits = now < self.linger_until || are_running && now < waits_until;
        if waiting < few && waits {
            return Vec::new();
        }
        self.waits_until = None;
        let sent = self.partitions.iter_mut().filter(|(_, of)| of.waiting() > 0);
        let send = |(partition, of): (&u16, &mut OfPartition)| {
            let batch = Arc::new(of.pending.take(of.limit));
            of.under_way = Some(UnderWay { batch: Arc::clone(&batch), hangs_at: now + HANGS });
            (*partition, batch)
        };
        sent.map(send).collect()
    }

    /// The call of a partition was answered. The settlements that were under way; a few new ones may linger until `linger_until`.
    pub(super) fn answered(&mut self, partition: u16, linger_until: Instant) -> Option<Arc<Batch>> {
        self.linger_until = linger_until;
        Some(self.partitions.get_mut(&partition)?.under_way.take()?.batch)
    }

    /// The store accepted a call: the next one of this partition may have more settlements.
    pub(super) fn accepted(&mut self, partition: u16) {
        let of = self.partitions.entry(partition).or_default();
        of.limit = NewJob::MAX_BATCH.min(2 * of.limit);
    }

    /// The call of this batch failed: it waits for another call. Returns the settlements whose lease has ended.
    pub(super) fn failed(&mut self, partition: u16, batch: Arc<Batch>, error: &Error, now: Instant) -> Batch {
        let of = self.partitions.entry(partition).or_default();
        // One settlement may be the cause, or there may be too many for the command time-out.
        if !matches!(error, Error::Unavailable { .. }) {
            of.limit = (batch.len() / 2).max(1);
        }
        let mut batch = Arc::into_inner(batch).expect("invariant: the call that shared it has ended");
        if matches!(error, Error::Indeterminate { .. }) {
            batch.notes.iter_mut().for_each(|note| note.may_be_settled = true);
        }
        of.pending.put_back(batch, now)
    }

    /// Takes all settlements out: those under way, and those that wait.
    pub(super) fn take_all(&mut self) -> Vec<(Option<Arc<Batch>>, Batch)> {
        std::mem::take(&mut self.partitions)
            .into_values()
            .map(|of| (of.under_way.map(|call| call.batch), of.pending))
            .collect()
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

    /// What is sent of the only partition.
    fn send(outbox: &mut Outbox, few: usize, are_running: bool, now: Instant) -> Option<Arc<Batch>> {
        let mut calls = outbox.send(few, are_running, now);
        assert!(calls.len() <= 1);
        calls.pop().map(|(partition, batch)| {
            assert_eq!(partition, 0);
            batch
        })
    }

    fn ids(batch: &Batch) -> Vec<&str> {
        batch.settlements().iter().map(|settlement| settlement.lease.job.as_str()).collect()
    }

    #[test]
    fn one_call_is_under_way_at_a_time() {
        let now = Instant::now();
        let mut outbox = outbox(now, &[now; 3]);
        let batch = send(&mut outbox, 0, false, now).unwrap();
        assert_eq!((batch.len(), outbox.len()), (3, 3));
        assert!(send(&mut outbox, 0, false, now).is_none());
        drop(batch);
        assert_eq!(outbox.answered(0, now).unwrap().len(), 3);
        assert_eq!((outbox.len(), outbox.sends_at()), (0, None));
    }

    #[test]
    fn a_few_settlements_wait_until_the_lingering_ends() {
        let now = Instant::now();
        let later = now + Duration::from_millis(1);
        let mut outbox = outbox(later, &[later; 2]);
        assert!(send(&mut outbox, 3, false, now).is_none());
        assert_eq!(outbox.sends_at(), Some(later));
        assert_eq!(send(&mut outbox, 3, false, later).unwrap().len(), 2);
    }

    #[test]
    fn settlements_wait_for_handlers_that_still_run_but_not_for_long() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut outbox = outbox(now, &[later; 2]);
        assert!(send(&mut outbox, 3, true, now).is_none());
        assert_eq!(outbox.sends_at(), Some(now + LINGER));
        assert!(send(&mut outbox, 3, true, now + LINGER / 2).is_none());
        assert_eq!(send(&mut outbox, 3, true, now + LINGER).unwrap().len(), 2);
        let mut others = self::outbox(now, &[later; 2]);
        assert!(send(&mut others, 3, true, now).is_none());
        assert_eq!(send(&mut others, 3, false, now).unwrap().len(), 2, "all handlers have ended");
        assert_eq!(send(&mut self::outbox(now, &[later; 3]), 3, true, now).unwrap().len(), 3);
    }

    #[test]
    fn a_refused_call_is_halved_and_keeps_what_can_still_be_settled() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut outbox = outbox(now, &[later, now, later, later]);
        drop(send(&mut outbox, 0, false, now));
        let batch = outbox.answered(0, now).unwrap();
        assert_eq!(ids(&outbox.failed(0, batch, &Error::invalid_argument(Op::QueueSettle, "no"), now)), ["1"]);
        assert_eq!(ids(&send(&mut outbox, 0, false, now).unwrap()), ["0", "2"]);
        drop(outbox.answered(0, now));
        outbox.accepted(0);
        assert_eq!(ids(&send(&mut outbox, 0, false, now).unwrap()), ["3"]);
    }

    #[test]
    fn a_call_that_was_not_executed_is_sent_again_as_it_was() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut outbox = outbox(now, &[later; 4]);
        drop(send(&mut outbox, 0, false, now));
        let batch = outbox.answered(0, now).unwrap();
        assert_eq!(outbox.failed(0, batch, &Error::unavailable(Op::QueueSettle, "away"), now).len(), 0);
        assert_eq!(send(&mut outbox, 0, false, now).unwrap().len(), 4);
    }

    #[test]
    fn it_remembers_that_a_settlement_may_have_taken_effect() {
        let now = Instant::now();
        let mut outbox = outbox(now, &[now + Duration::from_secs(1)]);
        drop(send(&mut outbox, 0, false, now));
        let batch = outbox.answered(0, now).unwrap();
        assert_eq!(outbox.failed(0, batch, &Error::indeterminate(Op::QueueSettle, "cut"), now).len(), 0);
        assert!(send(&mut outbox, 0, false, now).unwrap().iter().all(|(_, note)| note.may_be_settled));
    }

    /// Pushes a settlement of a partition.
    fn push(outbox: &mut Outbox, partition: u16, later: Instant) {
        let of_one = &mut self::outbox(later, &[later]).take_all()[0].1;
        let (mut settlement, note) = (of_one.settlements.remove(0), of_one.notes.remove(0));
        settlement.lease.partition = partition;
        outbox.push(settlement, note);
    }

    fn partitions(calls: &[(u16, Arc<Batch>)]) -> Vec<(u16, usize)> {
        calls.iter().map(|(partition, batch)| (*partition, batch.len())).collect()
    }

    #[test]
    fn settlements_of_all_partitions_are_sent_together() {
        let now = Instant::now();
        let mut outbox = Outbox::new(now);
        for partition in [3, 0, 7, 0, 3, 0] {
            push(&mut outbox, partition, now + HANGS);
        }
        assert_eq!(partitions(&outbox.send(0, false, now)), [(0, 3), (3, 2), (7, 1)]);
        push(&mut outbox, 0, now + HANGS);
        drop((outbox.answered(0, now), outbox.answered(3, now)));
        assert!(outbox.send(0, false, now).is_empty(), "the jobs that end meanwhile share the next calls");
        drop(outbox.answered(7, now));
        assert_eq!(partitions(&outbox.send(0, false, now)), [(0, 1)]);
    }

    #[test]
    fn a_call_that_hangs_holds_up_only_its_own_partition() {
        let now = Instant::now();
        let hangs_at = now + HANGS;
        let mut outbox = Outbox::new(now);
        [3, 0].into_iter().for_each(|partition| push(&mut outbox, partition, hangs_at));
        drop(outbox.send(0, false, now));
        drop(outbox.answered(0, now));
        [3, 0, 7].into_iter().for_each(|partition| push(&mut outbox, partition, hangs_at));
        assert!(outbox.send(0, false, now).is_empty());
        assert_eq!((outbox.sends_at(), outbox.len()), (Some(hangs_at), 4));
        assert_eq!(partitions(&outbox.send(0, false, hangs_at)), [(0, 1), (7, 1)]);
        drop((outbox.answered(0, now), outbox.answered(7, now)));
        assert_eq!((outbox.sends_at(), outbox.len()), (None, 2), "only the partition that hangs has settlements");
        push(&mut outbox, 0, hangs_at);
        assert_eq!(
            partitions(&outbox.send(0, false, hangs_at)),
            [(0, 1)],
            "it waits for the call that hangs only once"
        );
        let batch = outbox.answered(3, now).unwrap();
        drop(outbox.failed(3, batch, &Error::indeterminate(Op::QueueSettle, "cut"), now));
        drop(outbox.answered(0, now));
        assert_eq!(partitions(&outbox.send(0, false, now)), [(3, 1)], "fewer settlements after a failure");
    }
}
