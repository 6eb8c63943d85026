//! Claiming jobs, and starting their handlers.

use std::time::Duration;

use store_core::{Claim, ClaimRequest, ClaimedJob, Error, NewJob, Op, Result, Timestamp};
use tokio::time::Instant;

use super::portions::{Grant, divide};
use super::slot::{Phase, Slot};
use super::supply::Heard;
use super::work::{Mode, Work};
use crate::event::Event;
use crate::job::Job;
use crate::span;

/// Claims stop while more settlements are outstanding than this and twice the concurrency.
const UNSETTLED: usize = NewJob::MAX_BATCH;

/// The longest time until a job that becomes due is claimed; it is claimed earlier if the worker's registration ends.
const FURTHEST: Duration = Duration::from_secs(3600);

/// After this time without an answer, a claim that ends a reservation hangs.
const HANGS: Duration = Duration::from_millis(50);

impl Work {
    /// Claims as many jobs as there is room for. One call per queue is under way at a time.
    pub(super) fn claim(&mut self, now: Instant) {
        self.repeat_claims(now);
        if !self.may_claim() {
            return;
        }
        self.check_supplies(now);
        if !self.active.iter().any(|index| self.queues[*index].may_be_claimed(now)) {
            return;
        }
        // A few large claims cost less than many small ones. While handlers end as fast as claims are answered, a small claim waits.
        self.pace.measure(now);
        let mut grants = self.grants(now);
        let wanted = grants.iter().map(|grant| grant.jobs).sum();
        let are_under_way = self.active.iter().any(|index| self.queues[*index].supply.claiming() > 0);
        if self.pace.holds_back(wanted, are_under_way, now) {
            return;
        }
        if self.pace.slows_down(wanted) {
            grants = self.grants(now);
        }
        self.send_claims(&grants, now);
        if wanted == 0 {
            self.recall(&grants, now);
        }
    }

    /// Queues wait for places, and none is free: a claim from another queue ends its reservation, as far as they need the places.
    /// It may find jobs. One such claim is under way at a time; one that hangs holds up the next for a while.
    fn recall(&mut self, waiting: &[Grant], now: Instant) {
        let is_under_way = |index: usize| self.queues[index].supply.claiming() > 0;
        if self.recalled.is_some_and(|(index, until)| now < until && is_under_way(index)) {
            return;
        }
        let Some(needed) = waiting.iter().map(|grant| self.queues[grant.queue].supply.may_have()).min() else { return };
        let may_be_recalled = |index: &usize| {
            let queue = &self.queues[*index];
            queue.supply.can_be_recalled() && queue.may_claim(now)
        };
        // First the queue that is claimed from next anyway.
        let all = (0..self.queues.len()).filter(may_be_recalled);
        let Some(index) = all.min_by_key(|index| self.queues[*index].supply.claims_at()) else { return };
        self.recalled = Some((index, now + HANGS));
        self.want(index);
        let reserved = self.queues[index].supply.reserved();
        self.send_claim(index, reserved.min(NewJob::MAX_BATCH), reserved.saturating_sub(needed), now);
    }

    pub(super) fn may_claim(&self) -> bool {
        let unsettled: usize = self.active.iter().map(|index| self.queues[*index].outbox.len()).sum();
        self.mode == Mode::Working && !self.is_paused && unsettled < UNSETTLED + 2 * self.settings.concurrency
    }

    /// How many jobs the worker holds, or may get from claims under way and from hand-overs.
    fn taken(&self) -> usize {
        self.queues.iter().map(|queue| queue.jobs() + queue.supply.expected()).sum()
    }

    /// Wants the registered queues in which a job is due or whose registration has ended. Visits all queues, but only if the
    /// earliest one may be due.
    fn check_supplies(&mut self, now: Instant) {
        if self.claim_at.is_none_or(|at| at > now) {
            return;
        }
        for index in 0..self.queues.len() {
            if self.queues[index].supply.check(now) {
                self.activate(index);
            }
        }
        self.claim_at = self.queues.iter().filter_map(|queue| queue.supply.claims_at()).min();
    }

    /// How many jobs to claim from each queue: in each step, the queue with the fewest jobs gets a place. While handlers are fast, it
    /// gets places for all jobs that it may have: a few large claims cost a server much less than many small ones. A claim has the
    /// places that its queue reserves, and none that another queue reserves.
    fn grants(&self, now: Instant) -> Vec<Grant> {
        let ahead = self.pace.ahead();
        let free = (self.settings.concurrency + ahead).saturating_sub(self.taken());
        // A claim that hangs would block other queues if it took all places.
        let most = if self.pace.is_fast() { self.settings.concurrency } else { 1 };
        let grant = |index: &usize| {
            let queue = &self.queues[*index];
            let settings = &queue.settings;
            let room = (settings.concurrency + ahead.min(settings.concurrency)).saturating_sub(queue.held());
            let wants = room > 0 && queue.may_be_claimed(now);
            let (held, weight, turn) = (queue.held(), settings.weight, queue.turn(self.turn));
            let portion = queue.supply.may_have().min(most);
            let jobs = queue.supply.reserved().min(room);
            wants.then_some(Grant { queue: *index, jobs, room, held, weight, turn, portion })
        };
        let mut grants: Vec<Grant> = self.active.iter().filter_map(grant).collect();
        divide(&mut grants, free);
        grants
    }

    /// Sends claims that register the worker. Over all queues they reserve no more handlers than are free, and none while a queue
    /// waits for a place.
    fn send_claims(&mut self, grants: &[Grant], now: Instant) {
        let mut free = self.settings.concurrency.saturating_sub(self.taken());
        let does_one_wait = grants.iter().any(|grant| grant.jobs == 0);
        let share = (self.settings.concurrency / self.queues.len()).max(1);
        let are_scarce = self.queues.len() > self.settings.concurrency;
        for grant in grants.iter().filter(|grant| grant.jobs > 0) {
            let (max, queue) = (grant.jobs.min(NewJob::MAX_BATCH), &self.queues[grant.queue]);
            let room = queue.settings.concurrency.saturating_sub(queue.held());
            // If there are more queues than handlers, those that get jobs have the reservations.
            let leaves_it = are_scarce && queue.supply.has_waited_in_vain();
            let may_reserve = queue.supply.can_reserve() && !leaves_it && !does_one_wait;
            let own = queue.supply.reserved();
            let reserve = if may_reserve { max.min(room).min(share).min(free + own) } else { 0 };
            free -= reserve.saturating_sub(own);
            self.send_claim(grant.queue, max, reserve, now);
        }
    }

    fn send_claim(&mut self, index: usize, max: usize, reserve: usize, now: Instant) {
        let queue = &mut self.queues[index];
        self.turn = queue.take_turn(self.turn, max);
        queue.supply.claim_sent(max, reserve, self.pace.ahead(), now);
        let request = ClaimRequest::new(queue.settings.name.clone(), self.name.clone(), max, self.settings.lease);
        let request = request.with_max_bytes(queue.supply.max_bytes());
        self.call_claim(index, request, Some(reserve), now);
    }

    /// Passes a notification on: claims a job that the driver gives back, which notifies another worker.
    pub(super) fn send_claim_to_pass_on(&mut self, index: usize, now: Instant) {
        let queue = &mut self.queues[index];
        queue.supply.pass_on_sent(now);
        let request = ClaimRequest::new(queue.settings.name.clone(), self.name.clone(), 1, self.settings.lease);
        self.call_claim(index, request, None, now);
    }

    /// Sends the claims again whose replies were lost: the store returns the jobs that they have leased.
    fn repeat_claims(&mut self, now: Instant) {
        for position in 0..self.active.len() {
            let index = self.active[position];
            let queue = &mut self.queues[index];
            if !queue.supply.is_unheard() {
                continue;
            }
            queue.supply.give_up_repeat(self.settings.lease, self.mode != Mode::Working, now);
            let may_call = queue.may_claim(now);
            if let Some((request, reserve)) = queue.supply.repeat(may_call) {
                self.call_claim(index, request, reserve, now);
            }
        }
    }

    /// Calls the store: with a registration that reserves handlers, or without a registration.
    fn call_claim(&mut self, index: usize, request: ClaimRequest, reserve: Option<usize>, now: Instant) {
        let ended_before = self.pace.claim_sent();
        let (store, waiter) = (self.store.clone(), self.waiter.clone());
        let call = async move {
            let answer = match reserve {
                Some(reserve) => waiter.claim(&request, reserve).await,
                None => store.claim(&request).await,
            };
            Ok((answer, request))
        };
        self.call(Op::QueueClaim, call, move |outcome| {
            let (answer, lost) = match outcome {
                Ok((answer @ Err(Error::Indeterminate { .. }), request)) => (answer, Some(request)),
                // This copy was not executed; an earlier one may have been.
                Ok((answer @ Err(Error::Unavailable { .. }), request)) if request.is_repeat => (answer, Some(request)),
                Ok((answer, _)) => (answer, None),
                Err(broken) => (Err(broken), None),
            };
            Event::Claimed { queue: index, sent: now, ended_before, answer, lost }
        });
    }

    pub(super) fn on_claimed(
        &mut self,
        index: usize,
        (sent, ended_before): (Instant, usize),
        answer: Result<Claim>,
        lost: Option<ClaimRequest>,
        now: Instant,
    ) {
        let queue = &mut self.queues[index];
        queue.supply.set_reserved(self.waiter.reserved(&queue.settings.name));
        let claim = match answer {
            Ok(claim) => claim,
            Err(error) => {
                match lost {
                    Some(request) => self.queues[index].supply.claim_lost(request),
                    None => self.queues[index].supply.claim_failed(),
                }
                return self.on_error(index, Op::QueueClaim, &error, now);
            }
        };
        self.on_answer(index, sent);
        self.pace.claim_answered(ended_before, now);
        let at = Timestamp::system_now();
        self.tally.claim_answered(index, at, now);
        self.queues[index].settings.meters.last_claim.set(at.as_millis() as f64 / 1000.0);
        let heard = Heard {
            jobs: claim.jobs.len(),
            bytes: claim.jobs.iter().map(|job| job.payload.len()).sum(),
            has_more: !claim.paused && claim.next == Some(Duration::ZERO),
            due: claim.next.map(|next| now + next.min(FURTHEST)),
        };
        let queue = &mut self.queues[index];
        let terms = queue.supply.claim_heard(heard, sent);
        self.claim_at = self.claim_at.into_iter().chain(queue.supply.claims_at()).min();
        self.add_jobs(index, claim.jobs, terms.first_sent, now);
        if self.mode != Mode::Working || terms.passes_on {
            self.give_back(index, usize::MAX);
        } else {
            // Pushes may have handed jobs over while the claim was under way.
            let excess = self.jobs().saturating_sub(self.settings.concurrency + terms.ahead);
            self.give_back(index, excess);
        }
    }

    /// Adds claimed jobs whose leases began at `leased` or later.
    pub(super) fn add_jobs(&mut self, index: usize, jobs: Vec<ClaimedJob>, leased: Instant, now: Instant) {
        let safe_until = leased + self.settings.lease;
        let renew_at = now + safe_until.saturating_duration_since(now) / 3;
        if !jobs.is_empty() {
            self.check_slots_at(safe_until);
        }
        for claimed in jobs {
            let id = self.next_id;
            self.next_id += 1;
            let until = claimed.lease.until;
            let job = Job::new(self.queues[index].settings.name.clone(), claimed, now);
            self.slots.insert(id, Slot { queue: index, job, until, safe_until, phase: Phase::Waiting { since: now } });
            self.queues[index].job_claimed(id, renew_at);
        }
    }

    /// Starts handlers for claimed jobs, up to the bounds on concurrency.
    pub(super) fn start_handlers(&mut self, now: Instant) {
        for position in 0..self.active.len() {
            let index = self.active[position];
            while self.running < self.settings.concurrency {
                let Some(id) = self.queues[index].start_first() else { break };
                self.running += 1;
                self.start_handler(index, id, now);
            }
        }
    }

    fn start_handler(&mut self, index: usize, id: u64, now: Instant) {
        let slot = self.slots.get_mut(&id).expect("invariant: a job that waits has a slot");
        let settings = &self.queues[index].settings;
        if slot.job.attempt() == 1 {
            settings.meters.push_to_handler.record(slot.job.age_at(now).as_secs_f64());
        }
        let span = span::of(&slot.job, &self.name, self.settings.span_hook.as_ref());
        let task = settings.handler.start(id, slot.job.clone(), span.clone(), &self.events);
        let stop_at = settings.timeout.map(|timeout| now + timeout);
        slot.phase = Phase::Running { task, span, since: now, stop_at, cancel_asked: false, stopped: None };
        self.pace.handler_began(now);
        if let Some(at) = stop_at {
            self.check_slots_at(at);
        }
    }
}
