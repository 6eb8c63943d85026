//! A bound on the events that one queue logs.

use std::time::Duration;

use tokio::time::Instant;

/// The most events of one queue within [`WINDOW`]. The driver writes them: more would delay all jobs of the worker.
const MAX_EVENTS: u32 = 1000;

const WINDOW: Duration = Duration::from_secs(1);

/// Bounds the events of one queue: [`MAX_EVENTS`] in a [`WINDOW`]. It counts the others, which one event reports.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    window_ends: Option<Instant>,
    logged: u32,
    suppressed: u64,
}

impl LogLimit {
    /// Whether an event may be logged now. If not, it is counted.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        if self.window_ends.is_none_or(|at| at <= now) {
            (self.window_ends, self.logged) = (Some(now + WINDOW), 0);
        }
        let is_admitted = self.logged < MAX_EVENTS;
        self.logged += u32::from(is_admitted);
        self.suppressed += u64::from(!is_admitted);
        is_admitted
    }

    /// When suppressed events are reported, if there are any.
    pub(super) fn reports_at(&self) -> Option<Instant> {
        self.window_ends.filter(|_| self.suppressed > 0)
    }

    /// Takes the number of suppressed events: at the end of the window, or `early`.
    pub(super) fn take_suppressed(&mut self, now: Instant, early: bool) -> Option<u64> {
        let is_due = self.reports_at().is_some_and(|at| early || at <= now);
        is_due.then(|| std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_events_is_bounded_and_the_rest_is_counted() {
        let (mut limit, now) = (LogLimit::default(), Instant::now());
        assert_eq!((0..MAX_EVENTS + 7).filter(|_| limit.admit(now)).count(), MAX_EVENTS as usize);
        assert_eq!(limit.reports_at(), Some(now + WINDOW));
        assert_eq!(limit.take_suppressed(now, false), None);
        let later = now + WINDOW;
        assert_eq!(limit.take_suppressed(later, false), Some(7));
        assert_eq!(limit.reports_at(), None);
        assert!(limit.admit(later));
    }

    #[test]
    fn a_worker_that_ends_reports_what_was_suppressed() {
        let (mut limit, now) = (LogLimit::default(), Instant::now());
        assert_eq!((0..=MAX_EVENTS).filter(|_| !limit.admit(now)).count(), 1);
        assert_eq!(limit.take_suppressed(now, true), Some(1));
    }
}
