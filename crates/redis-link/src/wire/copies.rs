//! The copies of one request. The server executes none of them after the deadline of that copy, and none after the horizon
//! of the call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Failure, Request};
use crate::link::{Acknowledged, ServerRun};
use crate::{Arg, Reply};

/// The copies that one call sends, one after the other.
pub(crate) struct Copies {
    /// How long one copy is valid, in µs.
    lasting: i64,
    /// How long after the first copy the last one is valid, in µs.
    budget: i64,
    /// When the caller's lease ends: no copy is executed later.
    lease_end: Option<Instant>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether a copy before the last one may have been executed.
    earlier: bool,
    /// Whether the last copy may have been executed.
    last: bool,
    /// The time in µs by the server's clock after which no copy is executed.
    horizon: Option<i64>,
    /// When the deadline of the last copy is over.
    over: Option<Instant>,
    /// The run of the server to which the last copy was sent.
    run: Option<Arc<ServerRun>>,
    /// The replication offset that was read after the last copy.
    position: Option<u64>,
}

/// What a copy carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    /// The time in µs by the server's clock after which the copy is refused.
    pub(super) until: i64,
    /// Whether an earlier copy may have been executed.
    pub(super) is_repeat: bool,
}

impl Deadline {
    /// Of a request that is sent once; as [`Copies::admit`].
    pub(super) fn once(reading: Option<i64>, lasting: Duration) -> Self {
        let until = reading.map_or(0, |reading| reading.saturating_add(micros(lasting)).max(0));
        Self { until, is_repeat: false }
    }

    /// The first argument of the script, with the time in ms that a test has set.
    pub(super) fn argument(self, set_ms: Option<u64>) -> Arg {
        let Self { until, is_repeat } = self;
        match (set_ms, is_repeat) {
            (None, false) => Arg::Int(until),
            (None, true) => Arg::from(format!("{until} r")),
            (Some(set_ms), false) => Arg::from(format!("{until} {set_ms}")),
            (Some(set_ms), true) => Arg::from(format!("{until} {set_ms} r")),
        }
    }
}

impl Copies {
    /// No copy yet. Each is valid for `lasting`, and the last one until `budget` after the first.
    pub(crate) fn new(lasting: Duration, budget: Duration) -> Self {
        Self { lasting: micros(lasting), budget: micros(budget), lease_end: None, state: Mutex::default() }
    }

    /// How long after the first copy the last one is valid.
    pub(crate) fn budget(&self) -> Duration {
        Duration::from_micros(self.budget.unsigned_abs())
    }

    /// The same, for a call that repeats an earlier call: its first copy is a repetition, too.
    pub(crate) fn again(self) -> Self {
        self.lock().last = true;
        self
    }

    /// The same, for a call under a lease that ends at `end`, by the clock of this process.
    pub(crate) fn until(mut self, end: Instant) -> Self {
        self.lease_end = Some(end);
        self
    }

    /// Another copy, to be sent now.
    pub(crate) fn next<'c>(&'c self, request: &Request<'_>) -> Request<'c> {
        request.copy(Instant::now(), self)
    }

    /// The deadline of a copy sent at `sent`, when the server's clock showed at least `reading` µs. If the reading is not
    /// known, the deadline is in the past, and the refusal reports the time. Fails at the horizon: the copy is not sent.
    pub(super) fn admit(
        &self,
        sent: Instant,
        reading: Option<i64>,
        run: Option<&Arc<ServerRun>>,
    ) -> Result<Deadline, Failure> {
        let mut state = self.lock();
        (state.run, state.position) = (run.cloned(), None);
        let is_repeat = state.earlier || state.last;
        let left = self.lease_end.map_or(i64::MAX, |end| micros(end.saturating_duration_since(sent)));
        if left == 0 {
            return Err(Failure::Withheld("the lease has ended"));
        }
        // The refusal of a copy takes back `last`, which is about that copy alone.
        state.earlier = is_repeat;
        let Some(reading) = reading else { return Ok(Deadline { until: 0, is_repeat }) };
        let horizon = match state.horizon {
            Some(horizon) if is_repeat => horizon,
            // None of this call's copies was executed: the time begins with this one.
            _ => *state.horizon.insert(reading.saturating_add(self.budget.min(left))),
        };
        // Another server may have another clock than the one that determined the horizon.
        let horizon = horizon.min(reading.saturating_add(left));
        if reading >= horizon {
            return Err(Failure::Withheld("the time for repetitions is over"));
        }
        state.last = true;
        state.over = Some(sent + Duration::from_micros(self.lasting.unsigned_abs()));
        Ok(Deadline { until: reading.saturating_add(self.lasting).min(horizon).max(0), is_repeat })
    }

    /// Records the outcome of the last copy: one that was refused was not executed, and one that was answered will not be executed later.
    pub(crate) fn note(&self, result: &Result<Reply, Failure>) {
        let is_refusal = |failure: &Failure| {
            matches!(failure, Failure::Late) || failure.is_unknown_script() || failure.is_of_moving_slot()
        };
        let mut state = self.lock();
        if result.as_ref().is_err_and(is_refusal) {
            state.last = false;
        }
        if matches!(result, Err(Failure::Answered(_))) {
            state.over = None;
        }
    }

    /// Records the server's replication offset after the last copy.
    pub(crate) fn note_position(&self, position: Option<u64>) {
        self.lock().position = position;
    }

    /// The receipt for the last copy, which was answered. Its keys have this slot.
    pub(crate) fn acknowledged(&self, slot: Option<u16>) -> Option<Acknowledged> {
        let state = self.lock();
        state.run.clone().map(|run| Acknowledged::new(run, state.position, slot))
    }

    /// Waits until the deadline of the last copy, after which no server executes one.
    pub(crate) async fn over(&self) {
        let over = self.lock().over;
        if let Some(over) = over {
            tokio::time::sleep_until(over.into()).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1000;

    fn copies() -> Copies {
        Copies::new(Duration::from_millis(1000), Duration::from_millis(3500))
    }

    /// The deadline of a copy that is sent when the server's clock shows so many ms.
    fn sent(copies: &Copies, at: i64) -> Option<(i64, bool)> {
        let admitted = copies.admit(Instant::now(), Some(at * MS), None).ok();
        admitted.map(|deadline| (deadline.until / MS, deadline.is_repeat))
    }

    #[test]
    fn a_copy_after_one_that_may_have_been_executed_is_a_repetition() {
        let copies = copies();
        assert_eq!(sent(&copies, 0), Some((1000, false)));
        copies.note(&Err(Failure::LOST));
        assert_eq!(sent(&copies, 1100), Some((2100, true)));
        copies.note(&Err(Failure::Late));
        assert_eq!(sent(&copies, 1200), Some((2200, true)), "the first one may still have been executed");
    }

    #[test]
    fn a_refused_copy_was_not_executed_and_the_time_begins_with_the_next() {
        let refusals = [
            || Failure::Late,
            || super::super::answered(b"NOSCRIPT No matching script."),
            || super::super::answered(b"TRYAGAIN Multiple keys request during rehashing of slot"),
            || super::super::answered(b"ASK 1 127.0.0.1:7000"),
        ];
        for refusal in refusals {
            let copies = copies();
            for at in [0, 5_000, 90] {
                assert_eq!(sent(&copies, at), Some((at + 1000, false)));
                copies.note(&Err(refusal()));
            }
        }
    }

    #[test]
    fn no_copy_lasts_longer_than_the_budget_of_the_call() {
        let copies = copies();
        assert_eq!(sent(&copies, 100), Some((1100, false)));
        assert_eq!(sent(&copies, 3000), Some((3600, true)), "clipped");
        assert_eq!(sent(&copies, 3599), Some((3600, true)));
        assert_eq!(sent(&copies, 3600), None);
        assert_eq!(sent(&copies, 90_000), None, "a process that was suspended sends nothing");
    }

    #[test]
    fn a_call_that_repeats_another_is_a_repetition_from_its_first_copy_on() {
        let copies = copies().again();
        assert_eq!(sent(&copies, 5000), Some((6000, true)));
        copies.note(&Err(Failure::Late));
        assert_eq!(sent(&copies, 5100), Some((6100, true)));
        assert_eq!(sent(&copies, 8500), None);
    }

    #[test]
    fn no_copy_outlasts_the_lease_of_its_caller() {
        let end = Instant::now() + Duration::from_millis(700);
        let copies = copies().again().until(end);
        let admit = |before: u64, at: i64| {
            let admitted = copies.admit(end - Duration::from_millis(before), Some(at * MS), None).ok();
            admitted.map(|deadline| deadline.until / MS)
        };
        assert_eq!(admit(700, 5_000), Some(5_700));
        // Whether the time that has passed is seen by the clock of the process, by that of the server, or by both.
        assert_eq!((admit(300, 5_100), admit(300, 5_400), admit(500, 5_600)), (Some(5_400), Some(5_700), Some(5_700)));
        assert_eq!((admit(0, 5_100), admit(600, 5_700), admit(600, 9_000)), (None, None, None));
        assert!(copies.admit(end, None, None).is_err(), "not even to read the clock");
    }

    #[test]
    fn a_copy_of_an_unknown_time_is_refused_by_the_server_and_begins_nothing() {
        let copies = copies();
        let unknown = copies.admit(Instant::now(), None, None).unwrap();
        assert_eq!(unknown, Deadline { until: 0, is_repeat: false });
        assert_eq!(sent(&copies, 7000), Some((8000, false)));
    }

    #[test]
    fn a_copy_of_an_unknown_time_does_not_hide_the_one_before_it() {
        let lost = copies();
        assert_eq!(sent(&lost, 5_000), Some((6_000, false)));
        lost.note(&Err(Failure::LOST));
        for copies in [copies().again(), lost] {
            let unknown = copies.admit(Instant::now(), None, None).unwrap();
            assert_eq!(unknown, Deadline { until: 0, is_repeat: true });
            copies.note(&Err(Failure::Late));
            assert_eq!(sent(&copies, 7_000), Some((8_000, true)));
        }
    }
}
