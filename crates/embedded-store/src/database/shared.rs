//! What both engines share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store_core::Role;
use store_core::metric::{
    Counter, EMBEDDED_COMMITS, EMBEDDED_ROWS, EMBEDDED_WRITTEN_BYTES, IdempotencyBegins, LimitDecisions, Metric,
};

use crate::closed::Closed;
use crate::rows::Written;
use crate::waiting::{Effects, Waiting};

/// What the handles and the engine of a database share.
pub(super) struct Shared {
    pub(super) commits: AtomicU64,
    meters: Meters,
    pub(super) begins: IdempotencyBegins,
    pub(super) decisions: LimitDecisions,
    pub(super) closed: Closed,
    pub(super) waiting: Arc<Waiting>,
}

/// The metrics of committed transactions.
struct Meters {
    commits: Counter,
    rows: Counter,
    bytes: Counter,
}

impl Shared {
    pub(super) fn new(role: Role) -> Self {
        let counter = |metric: &Metric| metric.counter(&[role.name()]);
        let meters = Meters {
            commits: counter(&EMBEDDED_COMMITS),
            rows: counter(&EMBEDDED_ROWS),
            bytes: counter(&EMBEDDED_WRITTEN_BYTES),
        };
        Self {
            commits: AtomicU64::new(0),
            meters,
            begins: IdempotencyBegins::new(role.name()),
            decisions: LimitDecisions::new(),
            closed: Closed::default(),
            waiting: Arc::default(),
        }
    }

    /// Counts a committed transaction.
    pub(super) fn count(&self, written: &Written) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.meters.commits.increment(1);
        self.meters.rows.increment(written.rows);
        self.meters.bytes.increment(written.bytes);
    }

    /// What a new transaction may change beside the rows.
    pub(super) fn effects(&self) -> Effects {
        Effects::new(self.waiting.clone())
    }
}
