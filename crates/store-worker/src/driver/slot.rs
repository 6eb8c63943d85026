//! A claimed job that the worker holds.

use store_core::{JobLease, Timestamp};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Span;

use crate::job::Job;
use crate::span;
use crate::stats::Ending;

/// A claimed job.
pub(super) struct Slot {
    pub(super) queue: usize,
    pub(super) job: Job,
    /// The end of the lease by the server's clock, from its last answer.
    pub(super) until: Timestamp,
    /// The lease lasts at least until this local time: the earliest time at which it can have begun, plus its length.
    pub(super) safe_until: Instant,
    pub(super) phase: Phase,
}

/// How far a claimed job is.
pub(super) enum Phase {
    /// Claimed ahead; no handler yet.
    Waiting { since: Instant },
    /// Its handler runs.
    Running {
        task: AbortHandle,
        span: Span,
        since: Instant,
        stop_at: Option<Instant>,
        cancel_asked: bool,
        stopped: Option<Stopped>,
    },
}

/// The driver has dropped a handler, which ends at its next `await`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped {
    pub(super) why: Fate,
    /// When it counts as stuck unless it has ended. `None` if it is stuck.
    pub(super) stuck_at: Option<Instant>,
}

/// Why the driver dropped a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    TimedOut,
    Cancelled,
    Released,
}

impl Fate {
    /// The reason in words.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Fate::Lost => "its lease was lost",
            Fate::TimedOut => "its time was over",
            Fate::Cancelled => "its job was cancelled",
            Fate::Released => "the worker shut down",
        }
    }
}

impl Slot {
    /// The lease, with its end from the server's last answer.
    pub(super) fn lease(&self) -> JobLease {
        let mut lease = self.job.claimed().lease.clone();
        lease.until = self.until;
        lease
    }

    /// The partition of the queue that has the job.
    pub(super) fn partition(&self) -> u16 {
        self.job.claimed().lease.partition
    }

    /// Whether its lease is renewed.
    pub(super) fn is_kept(&self) -> bool {
        self.stopped().is_none()
    }

    /// Whether and why the driver has dropped its handler.
    pub(super) fn stopped(&self) -> Option<Stopped> {
        if let Phase::Running { stopped, .. } = self.phase { stopped } else { None }
    }

    /// Whether its handler was dropped and did not end in time.
    pub(super) fn is_stuck(&self) -> bool {
        self.stopped().is_some_and(|stopped| stopped.stuck_at.is_none())
    }

    /// Its handler did not end in time after it was dropped.
    pub(super) fn set_stuck(&mut self) {
        if let Phase::Running { stopped: Some(stopped), .. } = &mut self.phase {
            stopped.stuck_at = None;
        }
    }

    /// When the slot is due for a check.
    pub(super) fn check_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Running { stopped: Some(stopped), .. } => stopped.stuck_at,
            Phase::Running { stop_at: Some(at), .. } => Some(self.safe_until.min(*at)),
            Phase::Waiting { .. } | Phase::Running { .. } => Some(self.safe_until),
        }
    }

    /// Drops the handler, if it runs, with the worker.
    pub(super) fn abort(&self) {
        if let Phase::Running { task, .. } = &self.phase {
            self.job.cancel();
            task.abort();
        }
    }

    /// Drops the handler for this reason, unless it was dropped before. It is stuck if it has not ended at `stuck_at`.
    pub(super) fn stop(&mut self, why: Fate, stuck_at: Instant) {
        if let Phase::Running { task, span, stopped, .. } = &mut self.phase
            && stopped.is_none()
        {
            *stopped = Some(Stopped { why, stuck_at: Some(stuck_at) });
            match why {
                Fate::Lost => span::fail(span, Ending::Lost),
                Fate::TimedOut => span::fail(span, Ending::TimedOut),
                Fate::Cancelled | Fate::Released => {}
            }
            self.job.cancel();
            task.abort();
        }
    }
}
