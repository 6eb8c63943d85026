//! Renewing leases, and stopping handlers whose lease or time is over or whose job is cancelled.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use store_core::{Extended, Extension, NewJob, Op, Result, Timestamp};
use tokio::time::Instant;

use super::delivery::Delivery;
use super::reporting::LEASE_LOST;
use super::slot::{Fate, Phase, Slot};
use super::work::Work;
use crate::event::Event;

/// How many bytes of reports one call carries, at most; the others are sent by the next call. A call that is too large for the line
/// loses the leases.
const MAX_PROGRESS_BYTES: usize = 1 << 20;

impl Work {
    /// Renews the leases of each partition of a queue in one call, every third of the lease time: a partition that cannot be
    /// reached keeps no other one from being renewed. Jobs claimed ahead that have waited that long are given back instead. The
    /// calls after one that failed carry no reports.
    pub(super) fn extend(&mut self, now: Instant) {
        for position in 0..self.active.len() {
            let index = self.active[position];
            let queue = &mut self.queues[index];
            if queue.jobs() == 0 || !queue.is_renewal_due(now) {
                continue;
            }
            let third = self.settings.lease / 3;
            queue.renewal_begun(now + third);
            if self.first_waits_since(index).is_some_and(|since| since + third <= now) {
                self.give_back(index, usize::MAX);
            }
            let queue = &self.queues[index];
            let mut partitions: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
            for (id, slot) in self.slots.iter().filter(|(_, slot)| slot.queue == index && slot.is_kept()) {
                if !queue.is_renewing(slot.partition()) {
                    partitions.entry(slot.partition()).or_default().push(*id);
                }
            }
            for (partition, mut ids) in partitions {
                // Another one is the first to send its report.
                let first = fastrand::usize(..ids.len());
                ids.rotate_left(first);
                for ids in ids.chunks(NewJob::MAX_BATCH) {
                    self.send_extend((index, partition), ids.to_vec(), now);
                }
            }
        }
    }

    /// Since when the first job claimed ahead has waited for a handler.
    fn first_waits_since(&self, index: usize) -> Option<Instant> {
        let first = self.queues[index].first_waiting().and_then(|id| self.slots.get(&id))?;
        if let Phase::Waiting { since } = first.phase { Some(since) } else { None }
    }

    fn send_extend(&mut self, (index, partition): (usize, u16), ids: Vec<u64>, now: Instant) {
        let mut left = if self.queues[index].has_renewal_failed() { 0 } else { MAX_PROGRESS_BYTES };
        let extension = |id: &u64| {
            let slot = self.slots.get(id)?;
            let mut extension = Extension::new(slot.lease());
            extension.progress = slot.job.take_progress(left);
            left -= extension.progress.as_ref().map_or(0, Bytes::len);
            Some(extension)
        };
        let extensions: Vec<Extension> = ids.iter().filter_map(extension).collect();
        self.queues[index].renewal_sent(partition);
        let (store, queue) = (self.store.clone(), self.queues[index].settings.name.clone());
        let lasting = self.settings.lease;
        let call = async move {
            let answer = store.extend(&queue, &extensions, lasting).await;
            Ok((extensions, answer))
        };
        self.call(Op::QueueExtend, call, move |outcome| {
            let (extensions, answer) = outcome.unwrap_or_else(|broken| (Vec::new(), Err(broken)));
            Event::Extended { of: (index, partition), sent: now, ids, extensions, answer }
        });
    }

    pub(super) fn on_extended(
        &mut self,
        (index, partition): (usize, u16),
        sent: Instant,
        ids: &[u64],
        extensions: Vec<Extension>,
        answer: Result<Vec<Extended>>,
        now: Instant,
    ) {
        self.queues[index].renewal_answered(partition);
        match answer {
            Ok(answers) => {
                self.queues[index].renewal_done();
                self.on_answer(index, sent);
                for (id, answer) in ids.iter().zip(answers) {
                    match answer.until() {
                        Some(until) => self.renewed(*id, sent, until),
                        None => self.found_lost(*id, now),
                    }
                    if answer.is_cancel_requested() {
                        self.cancel_requested(*id, now);
                    }
                }
            }
            Err(error) => {
                for (id, extension) in ids.iter().zip(extensions) {
                    if let (Some(slot), Some(progress)) = (self.slots.get(id), extension.progress) {
                        slot.job.put_back_progress(progress);
                    }
                }
                self.on_error(index, Op::QueueExtend, &error, now);
                self.queues[index].renewal_failed(now);
            }
        }
    }

    fn renewed(&mut self, id: u64, sent: Instant, until: Timestamp) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.until = slot.until.max(until);
            slot.safe_until = slot.safe_until.max(sent + self.settings.lease);
        }
    }

    /// The cancellation of a job was requested.
    fn cancel_requested(&mut self, id: u64, now: Instant) {
        let stops = now + self.settings.cancel_grace;
        let Some(slot) = self.slots.get_mut(&id) else { return };
        match &mut slot.phase {
            Phase::Waiting { .. } => self.cancel_waiting(id),
            Phase::Running { cancel_asked, stop_at, .. } => {
                if !std::mem::replace(cancel_asked, true) {
                    *stop_at = Some(stop_at.map_or(stops, |at| at.min(stops)));
                    slot.job.cancel();
                    self.check_slots_at(stops);
                }
            }
        }
    }

    /// A renewal found that a lease has ended. If a commit of the handler may have ended it, the handler has the grace of a
    /// cancellation to return.
    fn found_lost(&mut self, id: u64, now: Instant) {
        let returns = now + self.settings.cancel_grace;
        match self.slots.get_mut(&id) {
            Some(slot) if slot.job.may_be_committed() => {
                slot.safe_until = slot.safe_until.min(returns);
                self.check_slots_at(returns);
            }
            _ => self.lost(id, now),
        }
    }

    /// A lease is lost: drops the handler, whose result no longer counts.
    fn lost(&mut self, id: u64, now: Instant) {
        let Some(slot) = self.slots.get(&id) else { return };
        match slot.phase {
            Phase::Running { .. } => self.stop(id, Fate::Lost, now),
            Phase::Waiting { .. } => {
                let (index, job) = (slot.queue, slot.job.clone());
                self.slots.remove(&id);
                self.queues[index].forget_waiting(id);
                self.report_lost(index, job.id(), Delivery::of(&job), LEASE_LOST, now);
            }
        }
    }

    /// Drops a handler, which has the grace of a cancellation to end.
    pub(super) fn stop(&mut self, id: u64, why: Fate, now: Instant) {
        // Later than `now`: else the driver does not wake for it.
        let stuck_at = now + self.settings.cancel_grace.max(Duration::from_millis(1));
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.stop(why, stuck_at);
            self.check_slots_at(stuck_at);
        }
    }

    /// Stops handlers whose lease or time is over, and reports those that have not ended after they were stopped. Visits all
    /// slots, but only if the earliest one may be due.
    pub(super) fn check_slots(&mut self, now: Instant) {
        if self.check_at.is_none_or(|at| at > now) {
            return;
        }
        let due = |slot: &Slot| slot.check_at().is_some_and(|at| at <= now);
        let over: Vec<u64> = self.slots.iter().filter(|(_, slot)| due(slot)).map(|(id, _)| *id).collect();
        for id in over {
            let Some(slot) = self.slots.get(&id) else { continue };
            match slot.phase {
                Phase::Running { stopped: Some(_), .. } => self.mark_stuck(id, now),
                Phase::Running { cancel_asked, .. } if slot.safe_until > now => {
                    self.stop(id, if cancel_asked { Fate::Cancelled } else { Fate::TimedOut }, now);
                }
                Phase::Waiting { .. } | Phase::Running { .. } => self.lost(id, now),
            }
        }
        self.check_at = self.slots.values().filter_map(Slot::check_at).min();
    }

    /// A handler did not end in time after it was stopped. It keeps its place until it ends.
    fn mark_stuck(&mut self, id: u64, now: Instant) {
        if let Some(slot) = self.slots.get_mut(&id)
            && let Some(stopped) = slot.stopped()
        {
            slot.set_stuck();
            self.stuck += 1;
            let (index, job) = (slot.queue, slot.job.clone());
            self.report_stuck(index, &job, stopped.why, now);
        }
    }
}
