//! Receipts follow slots that move to another primary of a cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::run::{Fate, ServerRun};
use super::{Losses, SUCCESSION, lock};
use crate::Endpoint;
use crate::link::cluster::SlotMap;
use crate::link::receipts::Receipt;

/// A slot that a server had.
#[derive(Clone)]
pub(super) struct Move {
    to: Endpoint,
    /// It had the slot at this time.
    after: Instant,
    /// When the move was reported.
    reported: Instant,
    /// Whether the run that has the slot now takes into account that the server has dropped receipts of it.
    is_noted: bool,
}

impl Losses {
    /// From now on these are the primaries of the cluster, and these are their slots.
    pub(in crate::link) fn primaries(&self, endpoints: &[Endpoint], slots: &Arc<SlotMap>) {
        let reported = Instant::now();
        let before = lock(&self.slots).replace((Arc::clone(slots), reported));
        let moves = before.map(|(before, after)| (before.moves(slots), after));
        for run in lock(&self.runs).iter() {
            let mut state = run.lock();
            if !endpoints.contains(&run.endpoint) {
                state.left = state.left.or(Some(reported));
                continue;
            }
            state.left = None;
            let Some((moves, after)) = moves.as_ref().filter(|_| state.fate.is_none()) else { continue };
            for (slot, from, to) in moves {
                if *from == run.endpoint {
                    state.moves.insert(*slot, Move { to: to.clone(), after: *after, reported, is_noted: false });
                    self.wake.notify_one();
                } else if *to == run.endpoint {
                    state.moves.remove(slot);
                }
            }
        }
    }

    /// Moves the receipts of slots that have moved to the runs that have the slots now.
    pub(super) fn follow(&self, runs: &[Arc<ServerRun>]) {
        for run in runs {
            let (moves, is_connected) = run.moves();
            let mut lost = None;
            let mut destination = |of: &Move| match of.destination(runs, is_connected) {
                Destination::Later => None,
                Destination::Run(run) => Some(run),
                Destination::Unknown => Some(Arc::clone(lost.get_or_insert_with(|| self.lost(&of.to)))),
            };
            let destinations: HashMap<_, _> =
                moves.iter().filter_map(|(slot, of)| Some((*slot, destination(of)?))).collect();
            let (receipts, with_dropped) = run.take_moved(|slot| destinations.contains_key(&slot));
            for receipt in receipts {
                if let Some(to) = receipt.slot.and_then(|slot| destinations.get(&slot)) {
                    to.adopt(receipt);
                }
            }
            with_dropped.iter().filter_map(|slot| destinations.get(slot)).for_each(|to| to.adopt_dropped());
        }
    }

    /// A run whose writes have an unknown outcome.
    fn lost(&self, endpoint: &Endpoint) -> Arc<ServerRun> {
        let run = ServerRun::new(endpoint, None, Instant::now(), &self.wake);
        run.replace(Fate::Unknown, run.begun);
        lock(&self.runs).push(Arc::clone(&run));
        run
    }
}

enum Destination {
    /// It is not known yet.
    Later,
    Run(Arc<ServerRun>),
    Unknown,
}

impl Move {
    /// `is_connected`: whether the server that had the slot still runs.
    fn destination(&self, runs: &[Arc<ServerRun>], is_connected: bool) -> Destination {
        let mut there = runs.iter().rev().filter(|run| run.endpoint == self.to);
        match there.find(|run| run.was_in_use_at(self.reported)).filter(|_| is_connected) {
            // It may have replaced the server that received the slot.
            Some(run) if run.has_earlier && run.begun > self.after => Destination::Unknown,
            Some(run) => Destination::Run(Arc::clone(run)),
            None if self.is_over() => Destination::Unknown,
            None => Destination::Later,
        }
    }

    /// Whether all writes that the server acknowledged before the move have been recorded.
    fn is_over(&self) -> bool {
        self.reported.elapsed() > SUCCESSION
    }
}

impl ServerRun {
    fn moves(&self) -> (Vec<(u16, Move)>, bool) {
        let mut state = self.lock();
        if state.fate.is_some() {
            state.moves.clear();
        }
        let moves = state.moves.iter().map(|(slot, of)| (*slot, of.clone())).collect();
        (moves, state.is_connected())
    }

    /// Removes the receipts of these slots. Returns them, and the slots of which receipts may have been dropped before.
    fn take_moved(&self, is_known: impl Fn(u16) -> bool) -> (Vec<Receipt>, Vec<u16>) {
        let mut state = self.lock();
        if state.moves.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let has_dropped = state.ring.has_dropped();
        let new = state.moves.iter_mut().filter(|(slot, of)| is_known(**slot) && !of.is_noted);
        let new = new.map(|(slot, of)| {
            of.is_noted = true;
            *slot
        });
        let with_dropped = new.filter(|_| has_dropped).collect();
        state.moves.retain(|slot, of| !(of.is_over() && is_known(*slot)));
        (state.ring.take(|receipt| receipt.slot.is_some_and(&is_known)), with_dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store_core::{AcknowledgedWrite, Op};

    use super::*;

    /// A slot has moved to a server that was replaced immediately. The report says that older writes may be lost, too.
    #[tokio::test]
    async fn what_a_server_dropped_before_a_slot_moved_is_unknown() {
        for has_dropped in [true, false] {
            let losses = Losses::begin(true, Duration::from_secs(1));
            let mut reports = losses.reports().unwrap();
            let endpoint = |port| Endpoint::new("10.0.0.1", port);
            let first = losses.found(&endpoint(1), None, Instant::now());
            let begun = Instant::now();
            let write = |at| first.add(AcknowledgedWrite::new(Op::LeaseAcquire, "one", [], at), Some(1), Some(7));
            if has_dropped {
                write(begun);
            }
            write(begun + Duration::from_secs(61));
            let long_ago = begun.checked_sub(SUCCESSION * 2).unwrap();
            let of = Move { to: endpoint(2), after: long_ago, reported: long_ago, is_noted: false };
            first.lock().moves.insert(7, of);
            losses.pass();
            losses.pass();
            let report = reports.try_recv().unwrap();
            assert_eq!((report.unknown.len(), report.has_older), (1, has_dropped));
            assert!(reports.try_recv().is_err());
        }
    }
}
