//! Claiming jobs, and starting their handlers.

use std::cmp::Ordering;
use std::time::Duration;

use store_core::{Claim, ClaimRequest, NewJob, Op, Result};
use tokio::time::Instant;

use super::waiting::SATURATED;
use super::{Driver, Event, IDLE, LINGER, Mode, Phase, Slot};
use crate::job::Job;
use crate::span;

/// Claims stop while more settlements are outstanding than this and twice the concurrency.
const UNSETTLED: usize = NewJob::MAX_BATCH;

/// How many jobs to claim from a queue.
struct Grant {
    queue: usize,
    jobs: usize,
    /// The most jobs that the queue's bound leaves room for.
    room: usize,
    /// How many jobs of the queue the worker holds.
    held: usize,
    weight: usize,
}

impl Grant {
    /// Compares two queues by their jobs per weight, after one more job each.
    fn compare_load(&self, other: &Self) -> Ordering {
        // a/v < b/w without division
        ((self.held + self.jobs + 1) * other.weight).cmp(&((other.held + other.jobs + 1) * self.weight))
    }
}

impl Driver {
    /// Claims as many jobs as there is room for. One call per queue is under way at a time.
    pub(super) fn claim(&mut self, now: Instant) {
        if !self.may_claim() {
            return;
        }
        self.check_due(now);
        self.check_overdue(now);
        if !self.active.iter().any(|index| self.queues[*index].may_be_claimed(now)) {
            return;
        }
        // A few large claims cost less than many small ones. While handlers end as fast as claims are answered, a small claim waits.
        if self.linger_until + SATURATED <= now {
            // The last claim is too old to measure how fast handlers are now.
            (self.is_fast, self.pace, self.ended_since_claim) = (false, 0, 0);
        }
        self.is_fast |= self.settings.concurrency > 1 && 2 * self.ended_since_claim >= self.settings.concurrency;
        let mut grants = self.grants(now);
        let wanted: usize = grants.iter().map(|grant| grant.jobs).sum();
        if self.is_fast && wanted < self.settings.concurrency {
            if now < self.linger_until {
                return;
            }
            if 2 * wanted < self.settings.concurrency {
                self.is_fast = false;
                grants = self.grants(now);
            }
        }
        for Grant { queue, jobs, .. } in grants {
            if jobs > 0 {
                self.send_claim(queue, jobs.min(NewJob::MAX_BATCH), now);
            }
        }
    }

    pub(super) fn may_claim(&self) -> bool {
        let unsettled: usize = self.active.iter().map(|index| self.queues[*index].unsettled()).sum();
        self.mode == Mode::Working && !self.paused && unsettled < UNSETTLED + 2 * self.settings.concurrency
    }

    fn held(&self) -> usize {
        self.active.iter().map(|index| self.queues[*index].held()).sum()
    }

    /// Marks a queue: the driver claims from it as soon as there is room.
    pub(super) fn make_ready(&mut self, index: usize) {
        self.queues[index].ready = true;
        self.activate(index);
    }

    /// Marks the queues in which a job is due. Visits all queues, but only if the earliest job may be due.
    fn check_due(&mut self, now: Instant) {
        if self.due_at.is_none_or(|at| at > now) {
            return;
        }
        for index in 0..self.queues.len() {
            if self.queues[index].due.take_if(|due| *due <= now).is_some() {
                self.make_ready(index);
            }
        }
        self.due_at = self.queues.iter().filter_map(|queue| queue.due).min();
    }

    /// How many jobs to claim from each queue. Each free place goes to the queue with the fewest jobs per weight.
    fn grants(&self, now: Instant) -> Vec<Grant> {
        let ahead = if self.is_fast { self.settings.prefetch } else { self.pace.min(self.settings.prefetch) };
        let mut free = (self.settings.concurrency + ahead).saturating_sub(self.held());
        let grant = |index: &usize| {
            let queue = &self.queues[*index];
            let room = (queue.concurrency + ahead.min(queue.concurrency)).saturating_sub(queue.held());
            let wants = room > 0 && queue.may_be_claimed(now);
            wants.then_some(Grant { queue: *index, jobs: 0, room, held: queue.held(), weight: queue.weight })
        };
        let mut grants: Vec<Grant> = self.active.iter().filter_map(grant).collect();
        if let [only] = &mut grants[..] {
            only.jobs = free.min(only.room);
            return grants;
        }
        while free > 0 {
            let open = grants.iter_mut().filter(|grant| grant.jobs < grant.room);
            let Some(lightest) = open.min_by(|a, b| a.compare_load(b)) else { break };
            lightest.jobs += 1;
            free -= 1;
        }
        grants
    }

    pub(super) fn send_claim(&mut self, index: usize, max: usize, now: Instant) {
        self.ended_since_claim = 0;
        let queue = &mut self.queues[index];
        // A notification that arrives from now on may be for jobs that this claim does not return.
        (queue.claiming, queue.last_claim, queue.ready, queue.is_notified) = (max, now, false, false);
        let request = ClaimRequest::new(queue.name.clone(), self.name.clone(), max, self.settings.lease);
        let store = self.store.clone();
        self.call(Op::QueueClaim, async move { store.claim(&request).await }, move |answer| Event::Claimed {
            queue: index,
            sent: now,
            asked: max,
            answer,
        });
    }

    pub(super) fn on_claimed(
        &mut self,
        index: usize,
        sent: Instant,
        asked: usize,
        answer: Result<Claim>,
        now: Instant,
    ) {
        let queue = &mut self.queues[index];
        queue.claiming = 0;
        let passes_on = std::mem::take(&mut queue.passes_on);
        if !std::mem::replace(&mut queue.is_checked, true) {
            self.waits.on_first_check();
        }
        let claim = match answer {
            Ok(claim) => claim,
            Err(error) => {
                self.make_ready(index);
                return self.on_error(&[index], &error, now);
            }
        };
        self.on_answer(&[index], sent);
        self.pace = self.ended_since_claim;
        self.linger_until = now + LINGER;
        let queue = &mut self.queues[index];
        queue.ready |= !claim.paused && (claim.jobs.len() >= asked || claim.next == Some(Duration::ZERO));
        queue.due = claim.next.map(|next| now + next.min(IDLE));
        self.due_at = self.due_at.into_iter().chain(queue.due).min();
        if !queue.has_jobs() {
            queue.renew_at = sent + self.settings.lease / 3;
        }
        let safe_until = sent + self.settings.lease;
        for claimed in claim.jobs {
            let id = self.next_id;
            self.next_id += 1;
            let until = claimed.lease.until;
            let job = Job::new(self.queues[index].name.clone(), claimed, now);
            self.slots.insert(id, Slot { queue: index, job, until, safe_until, phase: Phase::Waiting { since: now } });
            self.queues[index].waiting.push_back(id);
            self.check_slots_at(safe_until);
        }
        if self.mode != Mode::Working {
            self.release_waiting(index);
        } else if passes_on {
            self.give_back(index);
        }
    }

    /// Starts handlers for claimed jobs, up to the bounds on concurrency.
    pub(super) fn start_handlers(&mut self, now: Instant) {
        for position in 0..self.active.len() {
            let index = self.active[position];
            while self.running < self.settings.concurrency
                && self.queues[index].running < self.queues[index].concurrency
            {
                let Some(id) = self.queues[index].waiting.pop_front() else { break };
                self.start_handler(index, id, now);
            }
        }
    }

    fn start_handler(&mut self, index: usize, id: u64, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let queue = &mut self.queues[index];
        if slot.job.attempt() == 1 {
            queue.meters.push_to_handler.record(slot.job.age_at(now).as_secs_f64());
        }
        let span = span::of(&slot.job, &self.name, self.settings.span_hook.as_ref());
        let task = queue.handler.start(id, slot.job.clone(), span.clone(), &self.events);
        let stop_at = queue.timeout.map(|timeout| now + timeout);
        slot.phase = Phase::Running { task, span, since: now, stop_at, cancel_asked: false, fate: None };
        self.running += 1;
        self.waits.moved_at = now;
        queue.running += 1;
        if let Some(at) = stop_at {
            self.check_slots_at(at);
        }
    }
}
