//! Renewing leases, and stopping handlers whose lease or time is over or whose job is cancelled.

use std::time::Duration;

use store_core::{Extended, Extension, JobLease, NewJob, Op, Result, Timestamp};
use tokio::time::Instant;

use super::reporting::{Delivery, LEASE_LOST};
use super::{Driver, Event, Fate, Phase, Slot};
use crate::span;
use crate::stats::Ending;

impl Slot {
    /// The lease, with its end from the server's last answer.
    pub(super) fn lease(&self) -> JobLease {
        let mut lease = self.job.claimed().lease.clone();
        lease.until = self.until;
        lease
    }

    /// Whether its lease is renewed.
    fn is_kept(&self) -> bool {
        match &self.phase {
            Phase::Waiting { .. } => true,
            Phase::Running { fate, .. } => fate.is_none(),
        }
    }

    /// When the slot is due for a check.
    fn check_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Running { fate: Some(_), .. } => None,
            Phase::Running { stop_at: Some(at), .. } => Some(self.safe_until.min(*at)),
            Phase::Waiting { .. } | Phase::Running { .. } => Some(self.safe_until),
        }
    }

    /// Drops the handler, if it runs, with the worker.
    pub(super) fn abort(&self) {
        if let Phase::Running { task, .. } = &self.phase {
            self.job.cancel();
            task.abort();
        }
    }

    /// Drops the handler for this reason, unless it was dropped before.
    pub(super) fn stop(&mut self, why: Fate) {
        if let Phase::Running { task, span, fate, .. } = &mut self.phase
            && fate.is_none()
        {
            *fate = Some(why);
            match why {
                Fate::Lost => span::fail(span, Ending::Lost),
                Fate::TimedOut => span::fail(span, Ending::TimedOut),
                Fate::Cancelled | Fate::Released => {}
            }
            self.job.cancel();
            task.abort();
        }
    }
}

impl Driver {
    /// Renews the leases of each queue in one call, every third of the lease time. Jobs claimed ahead that have waited that long
    /// are given back instead.
    pub(super) fn extend(&mut self, now: Instant) {
        for position in 0..self.active.len() {
            let index = self.active[position];
            let queue = &mut self.queues[index];
            if queue.renew_at > now || queue.extending > 0 || !queue.gate.is_open(now) {
                continue;
            }
            let third = self.settings.lease / 3;
            queue.renew_at = now + third;
            if self.first_waits_since(index).is_some_and(|since| since + third <= now) {
                self.give_back(index);
            }
            let kept = self.slots.iter().filter(|(_, slot)| slot.queue == index && slot.is_kept());
            let ids: Vec<u64> = kept.map(|(id, _)| *id).collect();
            for ids in ids.chunks(NewJob::MAX_BATCH) {
                self.send_extend(index, ids.to_vec(), now);
            }
        }
    }

    /// Since when the first job claimed ahead has waited for a handler.
    fn first_waits_since(&self, index: usize) -> Option<Instant> {
        let first = self.queues[index].waiting.front().and_then(|id| self.slots.get(id))?;
        if let Phase::Waiting { since } = first.phase { Some(since) } else { None }
    }

    /// Gives back the jobs claimed ahead, for workers that have room.
    pub(super) fn give_back(&mut self, index: usize) {
        self.pace = 0;
        self.queues[index].ready = true;
        self.release_waiting(index);
    }

    fn send_extend(&mut self, index: usize, ids: Vec<u64>, now: Instant) {
        let extension = |id: &u64| {
            let slot = self.slots.get(id)?;
            let mut extension = Extension::new(slot.lease());
            extension.progress = slot.job.take_progress();
            Some(extension)
        };
        let extensions: Vec<Extension> = ids.iter().filter_map(extension).collect();
        self.queues[index].extending += 1;
        let (store, queue, lasting) = (self.store.clone(), self.queues[index].name.clone(), self.settings.lease);
        let call = async move {
            let answer = store.extend(&queue, &extensions, lasting).await;
            Ok((extensions, answer))
        };
        self.call(Op::QueueExtend, call, move |outcome| {
            let (extensions, answer) = outcome.unwrap_or_else(|broken| (Vec::new(), Err(broken)));
            Event::Extended { queue: index, sent: now, ids, extensions, answer }
        });
    }

    pub(super) fn on_extended(
        &mut self,
        index: usize,
        sent: Instant,
        ids: &[u64],
        extensions: Vec<Extension>,
        answer: Result<Vec<Extended>>,
        now: Instant,
    ) {
        self.queues[index].extending -= 1;
        match answer {
            Ok(answers) => {
                self.on_answer(&[index], sent);
                for (id, answer) in ids.iter().zip(answers) {
                    match answer.until() {
                        Some(until) => self.renewed(*id, sent, until),
                        None => self.lost(*id, now),
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
                self.on_error(&[index], &error, now);
                self.queues[index].renew_at = now;
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

    /// A lease is lost: drops the handler, whose result no longer counts.
    fn lost(&mut self, id: u64, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        match slot.phase {
            Phase::Running { .. } => slot.stop(Fate::Lost),
            Phase::Waiting { .. } => {
                let (index, job) = (slot.queue, slot.job.clone());
                self.slots.remove(&id);
                self.queues[index].waiting.retain(|waiting| *waiting != id);
                self.report_lost(index, job.id(), Delivery::of(&job), LEASE_LOST, now);
            }
        }
    }

    /// Ensures that slots are checked at `at` or before.
    pub(super) fn check_slots_at(&mut self, at: Instant) {
        self.check_at = Some(self.check_at.map_or(at, |check| check.min(at)));
    }

    /// Stops handlers whose lease or time is over. Visits all slots, but only if the earliest one may be due.
    pub(super) fn check_slots(&mut self, now: Instant) {
        if self.check_at.is_none_or(|at| at > now) {
            return;
        }
        let due = |slot: &Slot| slot.check_at().is_some_and(|at| at <= now);
        let over: Vec<u64> = self.slots.iter().filter(|(_, slot)| due(slot)).map(|(id, _)| *id).collect();
        for id in over {
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            match slot.phase {
                Phase::Running { cancel_asked, .. } if slot.safe_until > now => {
                    slot.stop(if cancel_asked { Fate::Cancelled } else { Fate::TimedOut });
                }
                Phase::Waiting { .. } | Phase::Running { .. } => self.lost(id, now),
            }
        }
        self.check_at = self.slots.values().filter_map(Slot::check_at).min();
    }

    /// When a lease that lasts at least until `safe_until` has ended, even if its claim or renewal took long.
    pub(super) fn surely_over(&self, safe_until: Instant) -> Instant {
        safe_until + self.settings.lease.max(Duration::from_secs(1))
    }
}
