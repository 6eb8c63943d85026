//! The writes that one run of a server has acknowledged, with upper bounds of their replication offsets (*positions*).

use std::collections::VecDeque;
use std::time::Duration;

use store_core::AcknowledgedWrite;

/// The largest age difference between the newest and the oldest recorded write.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// The most jobs and other writes that are recorded.
const MOST_KEPT: usize = 100_000;
/// The bound of a write whose position is not known yet.
const UNKNOWN: u64 = u64::MAX;

/// One acknowledged write.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) write: AcknowledgedWrite,
    /// The write ends at or before this position.
    bound: u64,
    /// The slot of its keys in a cluster.
    pub(super) slot: Option<u16>,
    number: u64,
}

/// The last writes of one server, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ring {
    receipts: VecDeque<Receipt>,
    /// The number of jobs and other writes in `receipts`.
    weight: usize,
    /// The number of the next receipt.
    next: u64,
    /// The receipts before this number have a bound.
    bounded: u64,
    /// The largest bound of the receipts that were dropped.
    forgotten: Option<u64>,
    /// Another server has acknowledged writes that this one received later, and has dropped their receipts. A reading of the position
    /// before this number bounds them.
    adopted: Option<u64>,
}

/// The writes of a ring, divided by whether another server has them.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) survived: Vec<Receipt>,
    pub(super) lost: Vec<AcknowledgedWrite>,
    /// The largest bound of the dropped receipts, if the other server has all of their writes.
    pub(super) older_survived: Option<u64>,
    pub(super) older_lost: bool,
}

impl Ring {
    /// Records a write. Its bound is known if the position was read after it in the same pipeline.
    pub(super) fn add(&mut self, write: AcknowledgedWrite, bound: Option<u64>, slot: Option<u16>) {
        let oldest = write.at.checked_sub(KEPT_FOR);
        self.weight += weight(&write);
        self.receipts.push_back(Receipt { write, bound: bound.unwrap_or(UNKNOWN), slot, number: self.next });
        self.next += 1;
        let is_old = |receipt: &Receipt| oldest.is_some_and(|oldest| receipt.write.at < oldest);
        while self.weight > MOST_KEPT || self.receipts.front().is_some_and(is_old) {
            let Some(dropped) = self.receipts.pop_front() else { break };
            self.weight -= weight(&dropped.write);
            self.forgotten = self.forgotten.max(Some(dropped.bound));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.receipts.is_empty() && !self.has_dropped()
    }

    /// Whether receipts were dropped.
    pub(super) fn has_dropped(&self) -> bool {
        self.forgotten.is_some() || self.adopted.is_some()
    }

    /// The server has received writes of another one, which has dropped their receipts.
    pub(super) fn adopt_dropped(&mut self) {
        // a reading that is under way does not bound them
        self.next += 1;
        self.adopted = Some(self.next);
    }

    /// The number of the next receipt, if a receipt before it needs a reading of the position.
    pub(super) fn unbounded(&self) -> Option<u64> {
        (self.bounded < self.next).then_some(self.next)
    }

    /// Sets the bound of receipts: when the stream ended at `position`, all writes before the number `before` had been acknowledged.
    pub(super) fn bound(&mut self, before: u64, position: u64) {
        let fresh = self.receipts.iter_mut().rev().take_while(|receipt| receipt.number >= self.bounded);
        for receipt in fresh.filter(|receipt| receipt.number < before) {
            receipt.bound = receipt.bound.min(position);
        }
        self.bounded = self.bounded.max(before);
        if self.adopted.take_if(|adopted| *adopted <= before).is_some() {
            self.forgotten = self.forgotten.max(Some(position));
        }
    }

    /// Removes receipts.
    pub(super) fn take(&mut self, is_taken: impl Fn(&Receipt) -> bool) -> Vec<Receipt> {
        if !self.receipts.iter().any(&is_taken) {
            return Vec::new();
        }
        let (taken, rest): (VecDeque<_>, _) = std::mem::take(&mut self.receipts).into_iter().partition(is_taken);
        self.receipts = rest;
        self.weight -= taken.iter().map(|receipt| weight(&receipt.write)).sum::<usize>();
        taken.into()
    }

    /// Empties the ring. Another server has the stream up to the position `has`; `None`: it has none of it.
    pub(super) fn judge(&mut self, has: Option<u64>) -> Judged {
        let mut judged = Judged::default();
        let survives = |bound: u64| bound != UNKNOWN && has.is_some_and(|has| bound <= has);
        for receipt in std::mem::take(&mut self.receipts) {
            match survives(receipt.bound) {
                true => judged.survived.push(receipt),
                false => judged.lost.push(receipt.write),
            }
        }
        self.weight = 0;
        match self.forgotten.take() {
            Some(bound) if survives(bound) => judged.older_survived = Some(bound),
            Some(_) => judged.older_lost = true,
            None => {}
        }
        judged.older_lost |= self.adopted.take().is_some();
        judged
    }

    /// Records writes that survived from an earlier server, because another failover may lose them. They are the oldest.
    pub(super) fn inherit(&mut self, survived: Vec<Receipt>, older: Option<u64>) {
        self.forgotten = self.forgotten.max(older);
        for receipt in survived.into_iter().rev() {
            if self.weight >= MOST_KEPT {
                self.forgotten = self.forgotten.max(Some(receipt.bound));
                continue;
            }
            self.weight += weight(&receipt.write);
            self.receipts.push_front(Receipt { number: 0, ..receipt });
        }
    }
}

fn weight(write: &AcknowledgedWrite) -> usize {
    write.jobs.len().max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use store_core::{JobId, Op};

    use super::*;

    fn write(name: &str, at: Instant) -> AcknowledgedWrite {
        AcknowledgedWrite::new(Op::QueuePush, name, [JobId::new("a").unwrap(), JobId::new("b").unwrap()], at)
    }

    fn names(writes: &[AcknowledgedWrite]) -> Vec<&str> {
        writes.iter().map(|write| &*write.name).collect()
    }

    #[test]
    fn a_write_survives_if_its_bound_does() {
        let (mut ring, now) = (Ring::default(), Instant::now());
        assert_eq!(ring.unbounded(), None);
        ring.add(write("one", now), None, None);
        ring.add(write("two", now), Some(17), None);
        assert_eq!(ring.unbounded(), Some(2));
        ring.add(write("three", now), None, None);
        ring.bound(2, 20);
        assert_eq!(ring.unbounded(), Some(3), "the third was recorded after the position was read");
        ring.bound(3, 30);
        ring.add(write("four", now), None, None);
        let judged = ring.judge(Some(17));
        assert_eq!((names(&judged.lost), judged.survived.len()), (vec!["one", "three", "four"], 1));
        assert!(ring.is_empty() && !judged.older_lost && judged.older_survived.is_none());
        let mut next = Ring::default();
        next.add(write("five", now), Some(40), None);
        next.inherit(judged.survived, None);
        next.bound(1, 50);
        assert_eq!(names(&next.judge(Some(16)).lost), ["two", "five"], "a second failover loses more");
    }

    #[test]
    fn receipts_of_a_slot_are_removed() {
        let (mut ring, now) = (Ring::default(), Instant::now());
        ring.add(write("one", now), Some(5), Some(7));
        ring.add(write("two", now), Some(6), Some(8));
        assert!(ring.take(|receipt| receipt.slot == Some(9)).is_empty());
        let taken = ring.take(|receipt| receipt.slot == Some(7));
        assert_eq!((taken.len(), &*taken[0].write.name, ring.weight), (1, "one", 2));
        assert_eq!(names(&ring.judge(None).lost), ["two"]);
    }

    #[test]
    fn what_another_server_dropped_survives_only_after_a_reading() {
        let mut ring = Ring::default();
        let under_way = ring.next;
        ring.adopt_dropped();
        assert!(!ring.is_empty() && ring.unbounded().is_some());
        ring.bound(under_way, 20);
        assert!(ring.judge(Some(u64::MAX)).older_lost && ring.is_empty());
        ring.adopt_dropped();
        ring.bound(ring.unbounded().unwrap(), 30);
        let judged = ring.judge(Some(30));
        assert!(!judged.older_lost && judged.older_survived == Some(30));
        ring.adopt_dropped();
        ring.bound(ring.unbounded().unwrap(), 30);
        assert!(ring.judge(Some(29)).older_lost);
    }

    #[test]
    fn an_unknown_position_never_survives() {
        let mut ring = Ring::default();
        ring.add(write("one", Instant::now()), None, None);
        assert_eq!(ring.judge(Some(u64::MAX)).lost.len(), 1);
        ring.add(write("one", Instant::now()), Some(1), None);
        assert_eq!(ring.judge(None).lost.len(), 1);
    }

    #[test]
    fn the_ring_is_bounded_and_reports_what_it_dropped() {
        let (mut ring, now) = (Ring::default(), Instant::now());
        for _ in 0..MOST_KEPT {
            ring.add(write("one", now), Some(5), None);
        }
        assert_eq!((ring.receipts.len(), ring.weight), (MOST_KEPT / 2, MOST_KEPT));
        ring.add(write("late", now + KEPT_FOR + Duration::from_millis(1)), Some(9), None);
        assert_eq!((ring.receipts.len(), ring.weight, ring.forgotten), (1, 2, Some(5)));
        let judged = ring.judge(Some(4));
        assert!(judged.older_lost && judged.lost.len() == 1);
        ring.add(write("one", now), Some(5), None);
        ring.add(write("late", now + KEPT_FOR * 2), Some(9), None);
        let judged = ring.judge(Some(5));
        assert!(!judged.older_lost && judged.older_survived == Some(5));
    }
}
