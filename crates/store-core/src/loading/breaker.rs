//! Leaves a store alone that fails, and tries it again after a while with one call.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::Ttl;

pub(super) struct Breaker {
    failures_to_open: u32,
    pause: Duration,
    state: Mutex<State>,
}

enum State {
    /// Calls pass; so many have failed in a row.
    Closed { failures: u32 },
    /// No call passes until then.
    Open { until: Instant },
    /// One call has passed, and its outcome decides.
    HalfOpen,
}

/// Leave for one call. One that is dropped without an outcome says nothing about the store.
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
    is_settled: bool,
}

impl Breaker {
    pub(super) fn new(failures_to_open: u32, pause: Duration) -> Self {
        // A moment beyond what the clock can hold would panic.
        let (failures_to_open, pause) = (failures_to_open.max(1), pause.min(Ttl::MAX));
        Self { failures_to_open, pause, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// Leave to ask the store; `None` while it is left alone.
    pub(super) fn permit(&self) -> Option<Permit<'_>> {
        let mut state = self.state();
        let is_probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if until <= Instant::now() => true,
            State::Open { .. } | State::HalfOpen => return None,
        };
        if is_probe {
            *state = State::HalfOpen;
        }
        Some(Permit { breaker: self, is_probe, is_settled: false })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// The call is over; whether the store answered it.
    pub(super) fn settle(mut self, answered: bool) {
        self.is_settled = true;
        let mut state = self.breaker.state();
        let failures = match *state {
            State::Closed { failures } => failures,
            State::HalfOpen if self.is_probe => self.breaker.failures_to_open,
            // The answer to a call from before; it decides nothing any more.
            State::Open { .. } | State::HalfOpen => return,
        };
        *state = if answered {
            State::Closed { failures: 0 }
        } else if failures.saturating_add(1) >= self.breaker.failures_to_open {
            State::Open { until: Instant::now() + self.breaker.pause }
        } else {
            State::Closed { failures: failures + 1 }
        };
    }
}

impl Drop for Permit<'_> {
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

    fn fail(breaker: &Breaker) {
        breaker.permit().unwrap().settle(false);
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
        (0..3).for_each(|_| fail(&breaker));
        tokio::time::advance(PAUSE).await;
        fail(&breaker);
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
