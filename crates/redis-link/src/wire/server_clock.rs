//! A lower bound of how far a server's clock is ahead of ours.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Reply;

/// How often a connection in use measures the time.
const MEASURED_EVERY: Duration = Duration::from_secs(30);
/// How much two clocks may drift apart: 1 µs in `DRIFT` µs.
const DRIFT: i64 = 2000;

/// The clock of the server of one connection. Its reading is never later than the server's true time.
#[derive(Debug)]
pub(super) struct ServerClock {
    /// The origin of our own monotonic time.
    origin: Instant,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// By how many µs, at least, the server's clock was ahead of ours at the time `at`; `None` before the first measurement.
    ahead: Option<i64>,
    at: Instant,
    measure_from: Instant,
}

impl ServerClock {
    pub(super) fn new() -> Self {
        let origin = Instant::now();
        Self { origin, known: Mutex::new(Known { ahead: None, at: origin, measure_from: origin }) }
    }

    /// A lower bound of the server's clock at `instant`, in µs; `None` before the first measurement.
    pub(super) fn reading(&self, instant: Instant) -> Option<i64> {
        let known = *self.lock();
        known.ahead_at(instant).map(|ahead| self.own(instant).saturating_add(ahead))
    }

    /// Records that the server reported `server` µs to a request that was sent at `sent` and answered at `answered`.
    pub(super) fn note(&self, server: i64, sent: Instant, answered: Instant) {
        let (least, most) = (server.saturating_sub(self.own(answered)), server.saturating_sub(self.own(sent)));
        let mut known = self.lock();
        let ahead = match known.ahead_at(answered) {
            // One of the two clocks has stepped, or another server answers.
            Some(ahead) if ahead > most => least,
            Some(ahead) => ahead.max(least),
            None => least,
        };
        *known = Known { ahead: Some(ahead), at: answered, measure_from: answered + MEASURED_EVERY };
    }

    /// Whether it is time to measure again. Returns `true` once per interval.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut known = self.lock();
        let is_due = now >= known.measure_from;
        if is_due {
            known.measure_from = now + MEASURED_EVERY;
        }
        is_due
    }

    fn own(&self, instant: Instant) -> i64 {
        micros(instant.saturating_duration_since(self.origin))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn ahead_at(&self, instant: Instant) -> Option<i64> {
        let drifted = micros(instant.saturating_duration_since(self.at)) / DRIFT;
        self.ahead.map(|ahead| ahead.saturating_sub(drifted))
    }
}

/// The reply to `TIME` in µs.
pub(crate) fn time(reply: &Reply) -> Option<i64> {
    let Reply::List(parts) = reply else { return None };
    let [seconds, rest] = parts.as_slice() else { return None };
    seconds.as_int()?.checked_mul(1_000_000)?.checked_add(rest.as_int()?)
}

/// The server's time in the refusal of a script that arrived after its deadline.
pub(super) fn late(reply: &Reply) -> Option<i64> {
    let Reply::List(parts) = reply else { return None };
    match parts.as_slice() {
        [Reply::Bytes(word), time] if word.as_ref() == b"late" => time.as_int(),
        _ => None,
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1000;

    /// A clock, and an instant so many ms after its beginning.
    fn clock() -> (ServerClock, impl Fn(u64) -> Instant) {
        let clock = ServerClock::new();
        let origin = clock.origin;
        (clock, move |ms| origin + Duration::from_millis(ms))
    }

    #[test]
    fn nothing_is_known_before_the_first_measurement() {
        let (clock, at) = clock();
        assert_eq!(clock.reading(at(5)), None);
        assert!(clock.is_due(at(0)));
    }

    #[test]
    fn the_answer_counts_from_when_it_arrived() {
        let (clock, at) = clock();
        clock.note(5_000 * MS, at(10), at(14));
        assert_eq!(clock.reading(at(14)), Some(5_000 * MS));
        assert_eq!(clock.reading(at(15)), Some(5_001 * MS - 1000 / DRIFT));
    }

    #[test]
    fn a_better_measurement_raises_the_bound_and_a_worse_one_does_not_lower_it() {
        let (clock, at) = clock();
        clock.note(5_000 * MS, at(10), at(110));
        clock.note(5_106 * MS, at(115), at(117));
        assert_eq!(clock.reading(at(117)), Some(5_106 * MS));
        clock.note(5_200 * MS, at(117), at(317));
        assert_eq!(clock.reading(at(317)), Some(5_306 * MS - 200 * MS / DRIFT), "the worse one yields 5,200 ms");
    }

    #[test]
    fn a_clock_step_is_followed_in_both_directions() {
        let (clock, at) = clock();
        clock.note(5_000 * MS, at(10), at(12));
        clock.note(90 * MS, at(20), at(22));
        assert_eq!(clock.reading(at(22)), Some(90 * MS));
        clock.note(9_000 * MS, at(30), at(32));
        assert_eq!(clock.reading(at(32)), Some(9_000 * MS));
    }

    /// In an idle hour the clocks may drift apart by 1.8 s: a deadline by the old measurement would be too late.
    #[test]
    fn an_old_measurement_loses_precision() {
        let (clock, at) = clock();
        clock.note(5_000 * MS, at(0), at(0));
        assert_eq!(clock.reading(at(3_600_000)), Some(3_605_000 * MS - 1_800 * MS));
    }

    #[test]
    fn it_is_measured_again_once_every_30_seconds() {
        let (clock, at) = clock();
        clock.note(5_000 * MS, at(0), at(0));
        assert!(!clock.is_due(at(29_999)));
        assert!(clock.is_due(at(30_000)) && !clock.is_due(at(30_001)) && clock.is_due(at(60_000)));
    }

    #[test]
    fn times_are_parsed_from_texts_and_numbers() {
        let text = |text: &'static str| Reply::Bytes(text.into());
        assert_eq!(time(&Reply::List(vec![text("1700000000"), text("000123")])), Some(1_700_000_000_000_123));
        assert_eq!(time(&text("OK")), None);
        assert_eq!(late(&Reply::List(vec![text("late"), Reply::Int(7)])), Some(7));
        assert_eq!(late(&Reply::List(vec![text("each"), Reply::Int(7)])), None);
        assert_eq!(late(&Reply::List(vec![text("late")])), None);
    }
}
