//! Counters that the driver writes and handles read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use store_core::Timestamp;
use tokio::time::Instant;

use crate::stats::{Ending, WorkerStats};

/// The counters of one worker.
#[derive(Debug)]
pub(crate) struct Tally {
    /// The zero of the times below, which are milliseconds.
    began: Instant,
    endings: [AtomicU64; Ending::ALL.len()],
    dead: AtomicU64,
    /// When the store last answered a claim, in milliseconds since the Unix epoch; 0 before the first one.
    claim_answered_at: AtomicU64,
    /// The driver's last step in which the worker needed no claim.
    needed_no_claim: AtomicU64,
    /// One per queue, in the order of the worker's queues.
    queues: Vec<QueueTally>,
}

/// The counters of one queue.
#[derive(Debug, Default)]
struct QueueTally {
    running: AtomicU64,
    stuck: AtomicU64,
    /// When the store last answered a claim; 0 before the first one.
    claim_answered: AtomicU64,
    /// When the queue last needed no claim.
    needed_no_claim: AtomicU64,
}

impl Tally {
    pub(crate) fn new(queues: usize) -> Self {
        Self {
            began: Instant::now(),
            endings: Default::default(),
            dead: AtomicU64::new(0),
            claim_answered_at: AtomicU64::new(0),
            needed_no_claim: AtomicU64::new(0),
            queues: (0..queues).map(|_| QueueTally::default()).collect(),
        }
    }

    /// A time, at least 1.
    fn millis(&self, now: Instant) -> u64 {
        1 + now.duration_since(self.began).as_millis() as u64
    }

    /// Counts the end of a delivery.
    pub(crate) fn count(&self, ending: Ending, dead: bool) {
        self.endings[ending as usize].fetch_add(1, Ordering::Relaxed);
        self.dead.fetch_add(u64::from(dead), Ordering::Relaxed);
    }

    pub(crate) fn set_handlers(&self, queue: usize, running: usize, stuck: usize) {
        self.queues[queue].running.store(running as u64, Ordering::Relaxed);
        self.queues[queue].stuck.store(stuck as u64, Ordering::Relaxed);
    }

    /// The store answered a claim from this queue.
    pub(crate) fn claim_answered(&self, queue: usize, at: Timestamp, now: Instant) {
        self.claim_answered_at.store(at.as_millis(), Ordering::Relaxed);
        self.queues[queue].claim_answered.store(self.millis(now), Ordering::Relaxed);
    }

    /// The worker runs as many handlers as it may, is paused or shuts down.
    pub(crate) fn needs_no_claims(&self, now: Instant) {
        self.needed_no_claim.store(self.millis(now), Ordering::Relaxed);
    }

    /// This queue runs as many handlers as it may.
    pub(crate) fn needs_no_claim(&self, queue: usize, now: Instant) {
        self.queues[queue].needed_no_claim.store(self.millis(now), Ordering::Relaxed);
    }

    /// Whether, within `limit`, a claim from each queue was answered or was not needed. `false` before the first claims.
    pub(crate) fn is_claiming_within(&self, limit: Duration) -> bool {
        let oldest = self.millis(Instant::now()).saturating_sub(limit.as_millis() as u64).max(1);
        let is_recent = |time: &AtomicU64| time.load(Ordering::Relaxed) >= oldest;
        let claims = |queue: &QueueTally| is_recent(&queue.claim_answered) || is_recent(&queue.needed_no_claim);
        is_recent(&self.needed_no_claim) || self.queues.iter().all(claims)
    }

    pub(crate) fn running(&self, queue: usize) -> u64 {
        self.queues[queue].running.load(Ordering::Relaxed)
    }

    pub(crate) fn stats(&self) -> WorkerStats {
        let ended = |ending: Ending| self.endings[ending as usize].load(Ordering::Relaxed);
        let answered_at = self.claim_answered_at.load(Ordering::Relaxed);
        WorkerStats {
            running: self.queues.iter().map(|queue| queue.running.load(Ordering::Relaxed)).sum(),
            stuck: self.queues.iter().map(|queue| queue.stuck.load(Ordering::Relaxed)).sum(),
            last_claim_answered_at: (answered_at > 0).then(|| Timestamp::from_millis(answered_at)),
            completed: ended(Ending::Completed),
            failed: ended(Ending::Failed),
            timed_out: ended(Ending::TimedOut),
            panicked: ended(Ending::Panicked),
            snoozed: ended(Ending::Snoozed),
            cancelled: ended(Ending::Cancelled),
            released: ended(Ending::Released),
            lost: ended(Ending::Lost),
            unknown: ended(Ending::Unknown),
            dead: self.dead.load(Ordering::Relaxed),
        }
    }
}
