//! The driver's state of one queue.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use store_core::QueueName;
use tokio::time::Instant;

use super::gate::Gate;
use super::log_limit::LogLimit;
use super::outbox::Outbox;
use super::portions::next_turn;
use super::supply::Supply;
use crate::builder::QueueParts;
use crate::stats::Meters;
use crate::task::Start;

/// The settings of a queue, which never change, and its metrics.
pub(super) struct QueueSettings {
    pub(super) name: QueueName,
    pub(super) handler: Arc<dyn Start>,
    pub(super) concurrency: usize,
    pub(super) weight: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) meters: Meters,
}

/// One queue of a worker: its jobs in the store, those that the worker holds, and their results.
pub(super) struct QueueState {
    pub(super) settings: QueueSettings,
    pub(super) supply: Supply,
    pub(super) outbox: Outbox,
    /// Closed after a settlement or a renewal failed. No call is sent.
    pub(super) gate: Gate,
    /// Closed after a claim failed. Settlements and renewals are sent: the partitions that have the jobs may work.
    pub(super) claim_gate: Gate,
    pub(super) log_limit: LogLimit,
    /// See [`turn`](Self::turn).
    turn: u64,
    /// Whether each step of the driver visits it.
    is_active: bool,
    /// Claimed jobs without a handler, in order.
    waiting: VecDeque<u64>,
    running: usize,
    /// Of the running handlers: those that were stopped and have not ended.
    stuck: usize,
    /// The numbers of running and of stuck handlers in metrics and statistics.
    reported: (usize, usize),
    renew_at: Instant,
    /// The partitions with renewals under way, and how many.
    renewals: BTreeMap<u16, usize>,
    /// Whether the last one that ended failed.
    has_renewal_failed: bool,
}

impl QueueState {
    pub(super) fn new(
        parts: QueueParts,
        concurrency: usize,
        timeout: Option<Duration>,
        lease: Duration,
        now: Instant,
    ) -> Self {
        let settings = QueueSettings {
            meters: Meters::new(&parts.name),
            name: parts.name,
            handler: parts.handler,
            concurrency: parts.options.concurrency.unwrap_or(concurrency).min(concurrency),
            weight: parts.options.weight as usize,
            timeout: parts.options.handler_timeout.or(timeout),
        };
        Self {
            settings,
            supply: Supply::new(lease),
            outbox: Outbox::new(now),
            gate: Gate::new(lease),
            claim_gate: Gate::new(lease),
            log_limit: LogLimit::default(),
            turn: 0,
            is_active: true,
            waiting: VecDeque::new(),
            running: 0,
            stuck: 0,
            reported: (0, 0),
            renew_at: now + lease / 3,
            renewals: BTreeMap::new(),
            has_renewal_failed: false,
        }
    }

    /// How many jobs the worker holds, or may get from the claim under way.
    pub(super) fn held(&self) -> usize {
        self.supply.claiming() + self.jobs()
    }

    /// How many jobs the worker holds.
    pub(super) fn jobs(&self) -> usize {
        self.waiting.len() + self.running
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn stuck(&self) -> usize {
        self.stuck
    }

    /// Whether as many handlers run as may.
    pub(super) fn is_full(&self) -> bool {
        self.running >= self.settings.concurrency
    }

    /// Whether to claim from it when there is room.
    pub(super) fn may_be_claimed(&self, now: Instant) -> bool {
        self.supply.is_wanted() && self.supply.waits_until().is_none_or(|until| until <= now) && self.may_claim(now)
    }

    /// Whether claims may be sent.
    pub(super) fn may_claim(&self, now: Instant) -> bool {
        self.gate.is_open(now) && self.claim_gate.is_open(now)
    }

    /// Whether no call failed since the last success.
    pub(super) fn is_healthy(&self) -> bool {
        self.gate.is_healthy() && self.claim_gate.is_healthy()
    }

    /// When calls may be sent again.
    fn opens_at(&self) -> impl Iterator<Item = Instant> {
        [&self.gate, &self.claim_gate].into_iter().filter_map(Gate::opens_at)
    }

    /// Its turn: among queues with the same load, the driver claims from the one with the lowest turn first. The turn grows with the
    /// requested jobs per weight. It is never below `current`, so that a queue that had no jobs is not preferred for long.
    pub(super) fn turn(&self, current: u64) -> u64 {
        self.turn.max(current)
    }

    /// Records a claim of `jobs`. Returns the turn of the claim.
    pub(super) fn take_turn(&mut self, current: u64, jobs: usize) -> u64 {
        let taken = self.turn(current);
        self.turn = next_turn(taken, jobs, self.settings.weight);
        taken
    }

    /// From now on each step visits it. Returns whether that is new.
    pub(super) fn activate(&mut self) -> bool {
        !std::mem::replace(&mut self.is_active, true)
    }

    /// Ends the visits if it has no work and no calls under way. Returns whether they continue.
    pub(super) fn stays_active(&mut self) -> bool {
        let has_work = self.jobs() > 0 || self.outbox.len() > 0 || !self.renewals.is_empty();
        let has_report = self.log_limit.reports_at().is_some();
        let is_closed = self.opens_at().next().is_some();
        self.is_active = has_work || has_report || !self.supply.is_registered() || is_closed;
        self.is_active
    }

    /// The numbers of running and of stuck handlers, if they have changed since the last call.
    pub(super) fn changed_handlers(&mut self) -> Option<(usize, usize)> {
        let handlers = (self.running, self.stuck);
        (std::mem::replace(&mut self.reported, handlers) != handlers).then_some(handlers)
    }

    /// A job was claimed that has no handler yet. The first job that the worker holds determines when to renew.
    pub(super) fn job_claimed(&mut self, id: u64, renew_at: Instant) {
        self.renew_at = if self.jobs() == 0 { renew_at } else { self.renew_at.min(renew_at) };
        self.waiting.push_back(id);
    }

    /// The first claimed job without a handler.
    pub(super) fn first_waiting(&self) -> Option<u64> {
        self.waiting.front().copied()
    }

    /// Takes the first claimed job to start its handler, unless as many run as may.
    pub(super) fn start_first(&mut self) -> Option<u64> {
        let first = if self.is_full() { None } else { self.waiting.pop_front() };
        self.running += usize::from(first.is_some());
        first
    }

    /// Takes the last claimed job without a handler, to give it back.
    pub(super) fn take_last(&mut self) -> Option<u64> {
        self.waiting.pop_back()
    }

    /// Forgets a claimed job without a handler.
    pub(super) fn forget_waiting(&mut self, id: u64) {
        self.waiting.retain(|waiting| *waiting != id);
    }

    /// A handler was stopped and did not end in time.
    pub(super) fn handler_stuck(&mut self) {
        self.stuck += 1;
    }

    /// A handler has ended, which may have been stuck.
    pub(super) fn handler_ended(&mut self, was_stuck: bool) {
        self.running -= 1;
        self.stuck -= usize::from(was_stuck);
        self.supply.wait_no_longer();
    }

    /// Whether to renew the leases now.
    pub(super) fn is_renewal_due(&self, now: Instant) -> bool {
        self.renew_at <= now && self.gate.is_open(now)
    }

    /// The leases are renewed now, except those of partitions with a renewal under way, and again at `next`.
    pub(super) fn renewal_begun(&mut self, next: Instant) {
        self.renew_at = next;
    }

    /// Whether a call that renews leases of this partition is under way.
    pub(super) fn is_renewing(&self, partition: u16) -> bool {
        self.renewals.contains_key(&partition)
    }

    /// A call that renews leases of this partition was sent.
    pub(super) fn renewal_sent(&mut self, partition: u16) {
        *self.renewals.entry(partition).or_default() += 1;
    }

    /// A call that renews leases of this partition was answered.
    pub(super) fn renewal_answered(&mut self, partition: u16) {
        if let Some(calls) = self.renewals.get_mut(&partition) {
            *calls -= 1;
            if *calls == 0 {
                self.renewals.remove(&partition);
            }
        }
    }

    /// A call that renews leases failed: they are renewed again as soon as calls may be sent.
    pub(super) fn renewal_failed(&mut self, now: Instant) {
        self.renew_at = now;
        self.has_renewal_failed = true;
    }

    /// A call that renews leases was executed.
    pub(super) fn renewal_done(&mut self) {
        self.has_renewal_failed = false;
    }

    /// Whether the last call that renewed leases failed.
    pub(super) fn has_renewal_failed(&self) -> bool {
        self.has_renewal_failed
    }

    /// Whether no claim and no settlement is outstanding.
    pub(super) fn is_done(&self) -> bool {
        self.supply.claiming() == 0 && self.outbox.len() == 0
    }

    /// When the driver may have to act on it.
    pub(super) fn wakes(&self) -> impl Iterator<Item = Instant> {
        let renew = (self.jobs() > 0).then_some(self.renew_at);
        let claim = self.supply.waits_until();
        let others = [renew, claim, self.outbox.sends_at(), self.log_limit.reports_at()].into_iter().flatten();
        others.chain(self.opens_at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueOptions;
    use crate::handler::HandlerResult;
    use crate::job::Job;

    const LEASE: Duration = Duration::from_secs(15);

    fn queue(concurrency: usize, now: Instant) -> QueueState {
        let handler = async |_: Job| -> HandlerResult { unreachable!("no handler runs") };
        let options = QueueOptions::new().with_concurrency(concurrency);
        let parts =
            QueueParts { name: QueueName::new("email").unwrap(), options, handler: Arc::new(Arc::new(handler)) };
        QueueState::new(parts, 64, None, LEASE, now)
    }

    #[test]
    fn claimed_jobs_start_in_their_order_up_to_the_bound_and_go_back_from_the_end() {
        let now = Instant::now();
        let mut queue = queue(2, now);
        (1..=5).for_each(|id| queue.job_claimed(id, now));
        assert_eq!([queue.start_first(), queue.start_first(), queue.start_first()], [Some(1), Some(2), None]);
        assert_eq!((queue.jobs(), queue.running(), queue.is_full()), (5, 2, true));
        queue.forget_waiting(4);
        assert_eq!((queue.take_last(), queue.first_waiting()), (Some(5), Some(3)));
        queue.handler_ended(false);
        assert_eq!(queue.start_first(), Some(3));
        assert_eq!((queue.jobs(), queue.held()), (2, 2));
    }

    #[test]
    fn a_claim_under_way_is_held_beside_the_jobs() {
        let now = Instant::now();
        let mut queue = queue(8, now);
        assert!(queue.may_be_claimed(now));
        queue.job_claimed(1, now);
        queue.supply.claim_sent(3, 3, 0, now);
        assert_eq!((queue.held(), queue.jobs(), queue.may_be_claimed(now), queue.is_done()), (4, 1, false, false));
    }

    #[test]
    fn a_claim_that_failed_holds_up_no_renewal_and_another_call_that_failed_also_claims() {
        let now = Instant::now();
        let mut queue = queue(8, now);
        queue.job_claimed(1, now);
        queue.claim_gate.close(now);
        assert!(!queue.may_be_claimed(now) && queue.is_renewal_due(now) && !queue.is_healthy());
        queue.claim_gate.open(now);
        assert!(queue.may_be_claimed(now) && queue.is_healthy());
        queue.gate.close(now);
        assert!(!queue.may_be_claimed(now) && !queue.is_renewal_due(now) && !queue.is_healthy());
    }

    #[test]
    fn a_stuck_handler_keeps_its_place_until_it_ends() {
        let now = Instant::now();
        let mut queue = queue(1, now);
        queue.job_claimed(1, now);
        queue.start_first();
        queue.handler_stuck();
        assert_eq!((queue.is_full(), queue.changed_handlers(), queue.changed_handlers()), (true, Some((1, 1)), None));
        queue.handler_ended(true);
        assert_eq!((queue.is_full(), queue.stuck(), queue.changed_handlers()), (false, 0, Some((0, 0))));
    }

    #[test]
    fn the_first_job_determines_when_leases_are_renewed_and_a_later_one_may_need_it_earlier() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut queue = queue(8, now);
        queue.job_claimed(1, at(20));
        queue.job_claimed(2, at(30));
        assert!(!queue.is_renewal_due(at(19)) && queue.is_renewal_due(at(20)));
        queue.job_claimed(3, at(10));
        assert!(queue.is_renewal_due(at(10)));
        queue.renewal_begun(at(40));
        queue.renewal_sent(7);
        queue.renewal_sent(7);
        queue.renewal_answered(7);
        assert!(queue.is_renewing(7) && !queue.is_renewing(0), "one partition keeps no other one from being renewed");
        queue.renewal_answered(7);
        assert!(!queue.is_renewing(7) && queue.is_renewal_due(at(41)));
    }

    #[test]
    fn it_is_idle_only_when_it_is_registered_and_holds_nothing() {
        let now = Instant::now();
        let mut queue = queue(8, now);
        assert!(queue.stays_active() && !queue.activate());
        queue.supply.claim_sent(8, 8, 0, now);
        assert!(queue.stays_active());
        queue.supply.claim_heard(super::super::supply::Heard::default(), now);
        queue.job_claimed(1, now);
        assert!(queue.stays_active());
        queue.take_last();
        assert!(!queue.stays_active() && queue.activate());
    }
}
