//! Measures how fast handlers end, and determines how claims and settlements are combined.

use std::time::Duration;

use tokio::time::Instant;

/// How long a small claim or a few settlements wait for more, while handlers are fast.
pub(super) const LINGER: Duration = Duration::from_millis(1);

/// A worker is saturated if it runs as many handlers as it may, and none of them has ended for this long. It leaves
/// notifications to other workers.
const SATURATED: Duration = Duration::from_millis(50);

/// Measures how fast handlers end, against the time that claims take.
pub(super) struct Pace {
    concurrency: usize,
    prefetch: usize,
    /// How many handlers have ended.
    ended: usize,
    /// How many of them had ended when the last claim was sent.
    ended_before_claim: usize,
    /// How many handlers ended during the claim that was answered last: the next claim may claim this many jobs ahead.
    ended_during_claim: usize,
    /// Whether handlers end about as fast as claims are answered.
    is_fast: bool,
    /// Whether the last handler that ended ran for less than [`LINGER`].
    is_short: bool,
    /// Until when a small claim may wait to become larger.
    linger_until: Instant,
    /// When the last handler began or ended.
    moved_at: Instant,
}

impl Pace {
    pub(super) fn new(concurrency: usize, prefetch: usize, now: Instant) -> Self {
        Self {
            concurrency,
            prefetch,
            ended: 0,
            ended_before_claim: 0,
            ended_during_claim: 0,
            is_fast: false,
            is_short: false,
            linger_until: now,
            moved_at: now,
        }
    }

    pub(super) fn handler_began(&mut self, now: Instant) {
        self.moved_at = now;
    }

    /// A handler has ended that ran for this long.
    pub(super) fn handler_ended(&mut self, ran: Duration, now: Instant) {
        self.moved_at = now;
        self.ended += 1;
        self.is_short = ran < LINGER;
    }

    /// How long the claim after a hand-over waits for the handler's end, to be sent together with its settlement. A separate call costs
    /// an idle process about as much as everything else that it does for a job.
    pub(super) fn patience(&self) -> Duration {
        if self.is_short { LINGER } else { Duration::ZERO }
    }

    /// Returns how many handlers have ended.
    pub(super) fn claim_sent(&mut self) -> usize {
        self.ended_before_claim = self.ended;
        self.ended
    }

    /// A claim was answered. `ended_before`: how many handlers had ended when it was sent.
    pub(super) fn claim_answered(&mut self, ended_before: usize, now: Instant) {
        self.ended_during_claim = self.ended - ended_before;
        self.is_fast |= self.are_many(self.ended_during_claim);
        self.linger_until = now + LINGER;
    }

    /// Whether handlers are fast if this many end during a claim.
    fn are_many(&self, ended: usize) -> bool {
        self.concurrency > 1 && 2 * ended >= self.concurrency
    }

    /// Too many jobs were claimed ahead: no more are claimed ahead until handlers end again.
    pub(super) fn claimed_too_many(&mut self) {
        self.ended_during_claim = 0;
    }

    /// Measures before a claim.
    pub(super) fn measure(&mut self, now: Instant) {
        if self.linger_until + SATURATED <= now {
            // The last claim is too old to measure how fast handlers are now.
            (self.is_fast, self.ended_during_claim, self.ended_before_claim) = (false, 0, self.ended);
        }
        self.is_fast |= self.are_many(self.ended - self.ended_before_claim);
    }

    /// How many jobs may be claimed ahead of a free handler.
    pub(super) fn ahead(&self) -> usize {
        if self.is_fast { self.prefetch } else { self.ended_during_claim.min(self.prefetch) }
    }

    pub(super) fn is_fast(&self) -> bool {
        self.is_fast
    }

    /// Whether a claim of `wanted` jobs waits to become larger: a few large claims cost less than many small ones. If claims
    /// `are_under_way`, their jobs will soon end and leave more places.
    pub(super) fn holds_back(&self, wanted: usize, are_under_way: bool, now: Instant) -> bool {
        let until = if are_under_way { self.linger_until + SATURATED } else { self.linger_until };
        self.is_fast && wanted < self.concurrency && now < until
    }

    /// A claim of `wanted` jobs did not become larger in time. Returns whether handlers count as slow from now on.
    pub(super) fn slows_down(&mut self, wanted: usize) -> bool {
        let is_slow = self.is_fast && 2 * wanted < self.concurrency;
        self.is_fast &= !is_slow;
        is_slow
    }

    /// Whether `running` handlers are as many as may run, and none has ended for a while.
    pub(super) fn is_saturated(&self, running: usize, now: Instant) -> bool {
        self.moved_at + SATURATED <= now && running >= self.concurrency
    }

    /// When the driver may have to act: a small claim has waited long enough, or the worker with `running` handlers becomes
    /// saturated. Some of these times may be in the past.
    pub(super) fn wakes(&self, running: usize) -> impl Iterator<Item = Instant> {
        let [lingers, is_old] = [self.linger_until, self.linger_until + SATURATED].map(|at| self.is_fast.then_some(at));
        let saturated = (running >= self.concurrency).then_some(self.moved_at + SATURATED);
        [lingers, is_old, saturated].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_claims_ahead_as_many_jobs_as_ended_during_the_last_claim() {
        let now = Instant::now();
        let mut pace = Pace::new(64, 3, now);
        let before = pace.claim_sent();
        (0..2).for_each(|_| pace.handler_ended(LINGER, now));
        pace.claim_answered(before, now);
        pace.measure(now);
        assert_eq!((pace.ahead(), pace.is_fast()), (2, false));
        pace.claimed_too_many();
        assert_eq!(pace.ahead(), 0);
    }

    #[test]
    fn it_is_fast_when_half_of_the_handlers_end_during_a_claim_until_claims_stay_small() {
        let now = Instant::now();
        let mut pace = Pace::new(4, 9, now);
        let before = pace.claim_sent();
        (0..2).for_each(|_| pace.handler_ended(LINGER, now));
        pace.claim_answered(before, now);
        pace.measure(now);
        assert_eq!((pace.ahead(), pace.holds_back(3, false, now), pace.holds_back(4, true, now)), (9, true, false));
        assert!(!pace.holds_back(3, false, now + LINGER) && pace.holds_back(3, true, now + LINGER));
        assert!(!pace.holds_back(3, true, now + LINGER + SATURATED), "a claim that hangs");
        assert!(!pace.slows_down(2) && pace.slows_down(1) && !pace.is_fast());
    }

    #[test]
    fn each_of_several_claims_measures_how_many_handlers_end() {
        let now = Instant::now();
        let mut pace = Pace::new(4, 9, now);
        let first = pace.claim_sent();
        pace.handler_ended(LINGER, now);
        let second = pace.claim_sent();
        pace.handler_ended(LINGER, now);
        pace.claim_answered(second, now);
        assert_eq!((pace.ahead(), pace.is_fast()), (1, false));
        pace.claim_answered(first, now);
        assert!(pace.is_fast());
    }

    #[test]
    fn a_measurement_that_is_too_old_does_not_count() {
        let now = Instant::now();
        let mut pace = Pace::new(4, 9, now);
        (0..4).for_each(|_| pace.handler_ended(LINGER, now));
        pace.measure(now + SATURATED);
        assert_eq!((pace.ahead(), pace.is_fast()), (0, false));
    }

    #[test]
    fn it_is_saturated_while_all_handlers_run_and_none_ends() {
        let now = Instant::now();
        let mut pace = Pace::new(2, 2, now);
        pace.handler_began(now);
        assert!(!pace.is_saturated(2, now));
        assert!(pace.is_saturated(2, now + SATURATED) && !pace.is_saturated(1, now + SATURATED));
        pace.handler_ended(LINGER, now + SATURATED);
        assert!(!pace.is_saturated(2, now + SATURATED));
    }

    #[test]
    fn a_claim_waits_for_handlers_that_are_short() {
        let now = Instant::now();
        let mut pace = Pace::new(2, 2, now);
        assert_eq!(pace.patience(), Duration::ZERO);
        pace.handler_ended(LINGER / 2, now);
        assert_eq!(pace.patience(), LINGER);
        pace.handler_ended(LINGER, now);
        assert_eq!(pace.patience(), Duration::ZERO);
    }

    #[test]
    fn an_idle_worker_is_not_woken() {
        let now = Instant::now();
        let mut pace = Pace::new(2, 2, now);
        let before = pace.claim_sent();
        pace.claim_answered(before, now);
        pace.handler_began(now);
        assert_eq!(pace.wakes(1).count(), 0);
        assert_eq!(pace.wakes(2).collect::<Vec<_>>(), [now + SATURATED]);
    }
}
