//! What the driver knows about one queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use store_core::{MAX_BATCH, QueueName};
use tokio::time::Instant;

use super::claiming::LOOK_AGAIN;
use super::gate::Gate;
use super::settling::Batch;
use crate::builder::QueueParts;
use crate::stats::Meters;
use crate::task::Start;

/// One queue of a worker.
pub(super) struct Lane {
    pub(super) name: QueueName,
    pub(super) handler: Arc<dyn Start>,
    pub(super) concurrency: usize,
    pub(super) weight: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) meters: Meters,
    pub(super) gate: Gate,

    /// Whether it may have something to claim.
    pub(super) ready: bool,
    /// For how many jobs a claim is under way.
    pub(super) claiming: usize,
    /// Whether a wait is under way that covers it.
    pub(super) covered: bool,
    /// When the last wait that covered it ended.
    pub(super) uncovered_at: Instant,
    /// When something becomes due, by the last claim.
    pub(super) due: Option<Instant>,
    pub(super) last_claim: Instant,
    /// Claimed jobs without a handler, in order.
    pub(super) waiting: VecDeque<u64>,
    pub(super) running: usize,

    pub(super) renew_at: Instant,
    /// How many renewals are under way.
    pub(super) extending: usize,

    pub(super) pending: Batch,
    /// How many settlements are under way.
    pub(super) settling: usize,
    /// How many settlements travel together at most; smaller after a failure, so that neither one that is refused nor too
    /// many at once hold up the others.
    pub(super) settle_limit: usize,
}

impl Lane {
    pub(super) fn new(
        parts: QueueParts,
        concurrency: usize,
        timeout: Option<Duration>,
        lease: Duration,
        now: Instant,
    ) -> Self {
        Self {
            meters: Meters::new(&parts.name),
            name: parts.name,
            handler: parts.handler,
            concurrency: parts.options.concurrency.unwrap_or(concurrency).min(concurrency),
            weight: parts.options.weight as usize,
            timeout: parts.options.handler_timeout.or(timeout),
            gate: Gate::new(lease),
            ready: true,
            claiming: 0,
            covered: false,
            uncovered_at: now,
            due: None,
            last_claim: now,
            waiting: VecDeque::new(),
            running: 0,
            renew_at: now + lease / 3,
            extending: 0,
            pending: Batch::default(),
            settling: 0,
            settle_limit: MAX_BATCH,
        }
    }

    /// How many jobs it has, or may soon have.
    pub(super) fn held(&self) -> usize {
        self.claiming + self.waiting.len() + self.running
    }

    /// How many settlements the store has not answered.
    pub(super) fn unsettled(&self) -> usize {
        self.pending.len() + self.settling
    }

    /// When it may need the driver.
    pub(super) fn wakes(&self, claims: bool) -> impl Iterator<Item = Instant> {
        let renew = (!self.waiting.is_empty() || self.running > 0).then_some(self.renew_at);
        let due = if claims && !self.ready { self.due } else { None };
        let claim = (self.claiming > 0).then_some(self.last_claim + LOOK_AGAIN);
        [renew, due, claim, self.gate.opens_at()].into_iter().flatten()
    }
}
