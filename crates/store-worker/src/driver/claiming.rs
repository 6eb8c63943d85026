//! Claiming jobs, waiting for them, starting their handlers.

use std::time::Duration;

use store_core::{Claim, ClaimRequest, MAX_BATCH, Op, QueueName, Result};
use tokio::time::Instant;

use super::{Driver, Event, IDLE, Mode, Phase, Slot};
use crate::job::Job;

/// How long one wait lasts at most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A queue that has no wait is looked at again after this time, when there is room: one that keeps the worker full cannot
/// hide an idle one. A full worker does not wait, for it would take the news from those that have room. And a claim that
/// takes longer than this keeps the other queues from being waited for no longer.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How many settlements may be outstanding before claims stop, beside twice the concurrency.
const UNSETTLED: usize = MAX_BATCH;

impl Driver {
    /// Claims as many jobs as there is room for, one call per queue at a time.
    pub(super) fn claim(&mut self, now: Instant) {
        if !self.may_claim() {
            return;
        }
        for lane in &mut self.lanes {
            let is_due = lane.due.is_some_and(|due| due <= now);
            let known_at = lane.last_claim.max(lane.uncovered_at);
            let is_hidden = !lane.covered && now.duration_since(known_at) >= LOOK_AGAIN;
            if !lane.ready && lane.claiming == 0 && (is_due || is_hidden) {
                lane.ready = true;
            }
        }
        if !self.lanes.iter().any(|lane| lane.ready && lane.claiming == 0) {
            return;
        }
        for (lane, grant) in self.grants(now).into_iter().enumerate() {
            if grant > 0 {
                self.send_claim(lane, grant.min(MAX_BATCH), now);
            }
        }
    }

    fn may_claim(&self) -> bool {
        let unsettled: usize = self.lanes.iter().map(|lane| lane.unsettled()).sum();
        self.mode == Mode::Working && !self.paused && unsettled < UNSETTLED + 2 * self.settings.concurrency
    }

    fn held(&self) -> usize {
        self.lanes.iter().map(|lane| lane.held()).sum()
    }

    /// How many jobs to claim from each queue: one by one to the queue that has the fewest for its weight.
    fn grants(&self, now: Instant) -> Vec<usize> {
        let mut grants = vec![0; self.lanes.len()];
        let ahead = self.pace.min(self.settings.prefetch);
        let mut free = (self.settings.concurrency + ahead).saturating_sub(self.held());
        let room = |index: usize| {
            let lane = &self.lanes[index];
            let may = lane.ready && lane.claiming == 0 && lane.gate.is_open(now);
            if may { (lane.concurrency + ahead.min(lane.concurrency)).saturating_sub(lane.held()) } else { 0 }
        };
        let mut wanting: Vec<usize> = (0..self.lanes.len()).filter(|index| room(*index) > 0).collect();
        if let [only] = wanting[..] {
            grants[only] = free.min(room(only));
            return grants;
        }
        while free > 0 && !wanting.is_empty() {
            let load = |index: usize| (self.lanes[index].held() + grants[index] + 1, self.lanes[index].weight);
            // a/v < b/w without division
            let lighter = |a: usize, b: usize| (load(a).0 * load(b).1).cmp(&(load(b).0 * load(a).1));
            let Some(lightest) = wanting.iter().copied().min_by(|a, b| lighter(*a, *b)) else { break };
            grants[lightest] += 1;
            free -= 1;
            wanting.retain(|index| grants[*index] < room(*index));
        }
        grants
    }

    fn send_claim(&mut self, index: usize, max: usize, now: Instant) {
        self.ended_since_claim = 0;
        let lane = &mut self.lanes[index];
        // News from now on are of jobs that this claim may not see.
        (lane.claiming, lane.last_claim, lane.ready) = (max, now, false);
        let request = ClaimRequest::new(lane.name.clone(), self.name.clone(), max, self.settings.lease);
        let store = self.store.clone();
        self.call(Op::QueueClaim, async move { store.claim(&request).await }, move |answer| Event::Claimed {
            lane: index,
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
        self.lanes[index].claiming = 0;
        let claim = match answer {
            Ok(claim) => claim,
            Err(error) => {
                self.lanes[index].ready = true;
                return self.on_error(&[index], &error, now);
            }
        };
        self.on_answer(&[index], sent);
        self.pace = self.ended_since_claim;
        let lane = &mut self.lanes[index];
        lane.ready |= !claim.paused && (claim.jobs.len() >= asked || claim.next == Some(Duration::ZERO));
        lane.due = claim.next.map(|next| now + next.min(IDLE));
        let safe_until = sent + self.settings.lease;
        for claimed in claim.jobs {
            let id = self.next_id;
            self.next_id += 1;
            let until = claimed.lease.until;
            let job = Job::new(self.lanes[index].name.clone(), claimed, now);
            self.slots.insert(id, Slot { lane: index, job, until, safe_until, phase: Phase::Waiting { since: now } });
            self.lanes[index].waiting.push_back(id);
            self.check_slots_at(safe_until);
        }
        if self.mode != Mode::Working {
            self.release_waiting(index);
        }
    }

    /// Waits for the queues that have nothing, in one call, if there is a free handler.
    pub(super) fn wait(&mut self, now: Instant) {
        let claiming = self.lanes.iter().any(|lane| lane.claiming > 0 && now < lane.last_claim + LOOK_AGAIN);
        if !self.may_claim() || claiming || self.held() >= self.settings.concurrency {
            return;
        }
        let mut lanes = Vec::new();
        let mut up_to = LONGEST_WAIT;
        // Stores may look at the first queue first: the one that had news last is the last.
        for index in (self.woken..self.lanes.len()).chain(0..self.woken) {
            let lane = &mut self.lanes[index];
            let is_busy = lane.ready || lane.claiming > 0 || lane.covered || lane.held() >= lane.concurrency;
            if is_busy || !lane.gate.is_open(now) {
                continue;
            }
            lane.covered = true;
            lanes.push(index);
            up_to = up_to.min(lane.due.map_or(LONGEST_WAIT, |due| due.saturating_duration_since(now)));
        }
        if lanes.is_empty() {
            return;
        }
        let names: Vec<QueueName> = lanes.iter().map(|index| self.lanes[*index].name.clone()).collect();
        let store = self.store.clone();
        let waited = move |answer| Event::Waited { lanes, sent: now, answer };
        let wait = self.call(Op::QueueWait, async move { store.wait(&names, up_to).await }, waited);
        self.waits.retain(|wait| !wait.is_finished());
        self.waits.push(wait);
    }

    /// Stops waiting, and leaves the news to others.
    pub(super) fn stop_waiting(&mut self, now: Instant) {
        self.waits.drain(..).for_each(|wait| wait.abort());
        for lane in self.lanes.iter_mut().filter(|lane| lane.covered) {
            (lane.covered, lane.uncovered_at) = (false, now);
        }
    }

    pub(super) fn on_waited(
        &mut self,
        lanes: &[usize],
        sent: Instant,
        answer: Result<Option<QueueName>>,
        now: Instant,
    ) {
        for index in lanes.iter().copied() {
            let lane = &mut self.lanes[index];
            lane.covered = false;
            lane.uncovered_at = now;
            // News may have been missed while the store was away, and are looked for once a wait in any case.
            lane.ready |= match &answer {
                Ok(Some(name)) if *name == lane.name => {
                    self.woken = index + 1;
                    true
                }
                Ok(Some(_)) => false,
                Ok(None) => now.duration_since(lane.last_claim) >= LONGEST_WAIT,
                Err(_) => true,
            };
        }
        match answer {
            Ok(_) => self.on_answer(lanes, sent),
            Err(error) => self.on_error(lanes, &error, now),
        }
    }

    /// Gives claimed jobs their handlers, as far as the bounds allow.
    pub(super) fn start_handlers(&mut self, now: Instant) {
        for index in 0..self.lanes.len() {
            while self.running < self.settings.concurrency && self.lanes[index].running < self.lanes[index].concurrency
            {
                let Some(id) = self.lanes[index].waiting.pop_front() else { break };
                self.start_handler(index, id, now);
            }
        }
    }

    fn start_handler(&mut self, index: usize, id: u64, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let lane = &mut self.lanes[index];
        if slot.job.attempt() == 1 {
            lane.meters.push_to_handler.record(slot.job.since_push().as_secs_f64());
        }
        let task = lane.handler.start(id, slot.job.clone(), &self.events);
        let stop_at = lane.timeout.map(|timeout| now + timeout);
        slot.phase = Phase::Running { task, since: now, stop_at, cancel_asked: false, fate: None };
        self.running += 1;
        lane.running += 1;
        lane.meters.running.set(lane.running as f64);
        self.tally.set_running(index, lane.running);
        if let Some(at) = stop_at {
            self.check_slots_at(at);
        }
    }
}
