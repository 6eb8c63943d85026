//! [`Breaker`]: stops calls to a store that fails, and tries it again after a pause with one call.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store_core::Ttl;
use tokio::time::Instant;

/// A circuit breaker. It is closed, and calls pass, until a number of calls in a row have failed. Then it is open: no call
/// passes for a pause. After the pause one call passes: if it is answered, the breaker closes, otherwise the next pause
/// begins.
///
/// While calls are answered, a call costs two atomic loads.
///
/// ```
/// use std::time::Duration;
/// use redis_link::Breaker;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let breaker = Breaker::new(1, Duration::from_secs(5));
/// let permit = breaker.permit().expect("it is closed");
/// assert!(permit.settle(false), "one failure opens it");
/// assert!(breaker.permit().is_none());
/// # }
/// ```
pub struct Breaker {
    failures_to_open: u32,
    pause: Duration,
    /// Whether the state is closed and the last call was answered; then a call needs no lock. Written under the lock of the
    /// state.
    is_quiet: AtomicBool,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    /// Calls pass; so many have failed in a row.
    Closed { failures: u32 },
    /// No call passes until then.
    Open { until: Instant },
    /// One call has passed, and its outcome decides.
    HalfOpen,
}

/// Permission for one call. Dropped without an outcome, it counts neither as an answer nor as a failure.
#[derive(Debug)]
pub struct BreakerPermit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    is_settled: bool,
}

impl Breaker {
    /// Opens after so many failures in a row, at least 1, for `pause`, at most [`Ttl::MAX`].
    pub fn new(failures_to_open: u32, pause: Duration) -> Self {
        // A moment beyond what the clock can hold would panic.
        let (failures_to_open, pause) = (failures_to_open.max(1), pause.min(Ttl::MAX));
        let state = Mutex::new(State::Closed { failures: 0 });
        Self { failures_to_open, pause, is_quiet: AtomicBool::new(true), state }
    }

    /// Permission for a call; `None` while the breaker is open.
    pub fn permit(&self) -> Option<BreakerPermit<'_>> {
        let is_probe = !self.is_quiet.load(Ordering::Acquire) && self.is_next_a_probe()?;
        Some(BreakerPermit { breaker: self, is_probe, is_settled: false })
    }

    /// Whether the next call is the one that decides; `None` if no call may pass.
    fn is_next_a_probe(&self) -> Option<bool> {
        let mut state = self.state();
        match *state {
            State::Closed { .. } => Some(false),
            State::Open { until } if until <= Instant::now() => {
                *state = State::HalfOpen;
                Some(true)
            }
            State::Open { .. } | State::HalfOpen => None,
        }
    }

    /// Applies the outcome of a call. Returns whether it has opened the breaker.
    fn settle(&self, is_probe: bool, answered: bool) -> bool {
        let mut state = self.state();
        let failures = match *state {
            State::Closed { failures } => failures,
            State::HalfOpen if is_probe => self.failures_to_open,
            // The answer to a call from before; it decides nothing any more.
            State::Open { .. } | State::HalfOpen => return false,
        };
        *state = if answered {
            State::Closed { failures: 0 }
        } else if failures.saturating_add(1) >= self.failures_to_open {
            State::Open { until: Instant::now() + self.pause }
        } else {
            State::Closed { failures: failures + 1 }
        };
        self.is_quiet.store(answered, Ordering::Release);
        matches!(*state, State::Open { .. }) && !is_probe
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("is_quiet", &self.is_quiet).finish_non_exhaustive()
    }
}

impl BreakerPermit<'_> {
    /// Ends the call; `answered` is whether the store answered it. Returns whether this outcome has opened a breaker that
    /// was closed.
    pub fn settle(mut self, answered: bool) -> bool {
        self.is_settled = true;
        // An answer changes nothing if the last call was answered, too.
        let changes = !answered || !self.breaker.is_quiet.load(Ordering::Acquire);
        changes && self.breaker.settle(self.is_probe, answered)
    }
}

impl Drop for BreakerPermit<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.is_settled {
            *self.breaker.state() = State::Open { until: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    fn fail(breaker: &Breaker) -> bool {
        breaker.permit().unwrap().settle(false)
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_one_probe_closes_it() {
        let breaker = Breaker::new(2, PAUSE);
        fail(&breaker);
        breaker.permit().unwrap().settle(true);
        fail(&breaker);
        fail(&breaker);
        assert!(breaker.permit().is_none());
        tokio::time::advance(PAUSE).await;
        let probe = breaker.permit().unwrap();
        assert!(breaker.permit().is_none(), "one probe at a time");
        probe.settle(true);
        fail(&breaker);
        assert!(breaker.permit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_without_end_is_none_that_panics() {
        let breaker = Breaker::new(1, Duration::MAX);
        fail(&breaker);
        assert!(breaker.permit().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_opens_it_again() {
        let breaker = Breaker::new(3, PAUSE);
        assert_eq!([fail(&breaker), fail(&breaker), fail(&breaker)], [false, false, true], "the last one opens it");
        tokio::time::advance(PAUSE).await;
        assert!(!fail(&breaker), "it was open before");
        assert!(breaker.permit().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_probe_leaves_the_next_one_free() {
        let breaker = Breaker::new(1, PAUSE);
        fail(&breaker);
        tokio::time::advance(PAUSE).await;
        drop(breaker.permit());
        assert!(breaker.permit().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn late_answers_decide_nothing() {
        let breaker = Breaker::new(1, PAUSE);
        let late = breaker.permit().unwrap();
        let later = breaker.permit().unwrap();
        fail(&breaker);
        late.settle(true);
        assert!(breaker.permit().is_none());
        tokio::time::advance(PAUSE).await;
        let probe = breaker.permit().unwrap();
        later.settle(false);
        probe.settle(true);
        assert!(breaker.permit().is_some());
    }
}
