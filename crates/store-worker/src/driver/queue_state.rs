//! What the driver knows about one queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use store_core::{MAX_BATCH, QueueName};
use tokio::time::Instant;

use super::gate::Gate;
use super::settling::Batch;
use crate::builder::QueueParts;
use crate::stats::Meters;
use crate::task::Start;

/// One queue of a worker.
pub(super) struct QueueState {
    pub(super) name: QueueName,
    pub(super) handler: Arc<dyn Start>,
    pub(super) concurrency: usize,
    pub(super) weight: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) meters: Meters,
    pub(super) gate: Gate,

    /// Whether it is among the active ones.
    pub(super) active: bool,
    /// Whether it may have something to claim.
    pub(super) ready: bool,
    /// Whether it is ready because of news that nobody else has.
    pub(super) has_news: bool,
    /// Whether what is claimed is given back: the news were for others.
    pub(super) hands_on: bool,
    /// Whether it was looked into.
    pub(super) seen: bool,
    /// For how many jobs a claim is under way.
    pub(super) claiming: usize,
    /// Whether a wait is under way that covers it.
    pub(super) covered: bool,
    /// When something becomes due, by the last claim.
    pub(super) due: Option<Instant>,
    pub(super) last_claim: Instant,
    /// Claimed jobs without a handler, in order.
    pub(super) waiting: VecDeque<u64>,
    pub(super) running: usize,
    /// What the metrics say of it.
    pub(super) told_running: usize,

    pub(super) renew_at: Instant,
    /// How many renewals are under way.
    pub(super) extending: usize,

    pub(super) pending: Batch,
    /// How many settlements are under way.
    pub(super) settling: usize,
    /// Until when a few settlements may wait for others, while handlers are fast.
    pub(super) settle_by: Instant,
    /// How many settlements travel together at most; smaller after a failure, so that neither one that is refused nor too
    /// many at once hold up the others.
    pub(super) settle_limit: usize,
}

impl QueueState {
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
            active: true,
            ready: true,
            has_news: false,
            hands_on: false,
            seen: false,
            claiming: 0,
            covered: false,
            due: None,
            last_claim: now,
            waiting: VecDeque::new(),
            running: 0,
            told_running: 0,
            renew_at: now + lease / 3,
            extending: 0,
            pending: Batch::default(),
            settling: 0,
            settle_by: now,
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

    /// Whether a wait may cover it: nothing is known to be there, and there is room.
    pub(super) fn is_waitable(&self, now: Instant) -> bool {
        !self.ready && self.claiming == 0 && self.held() < self.concurrency && self.gate.is_open(now)
    }

    /// Whether jobs are to be claimed from it when there is room.
    pub(super) fn may_be_claimed(&self, now: Instant) -> bool {
        self.ready && self.claiming == 0 && self.gate.is_open(now)
    }

    /// Whether it has jobs.
    pub(super) fn has_jobs(&self) -> bool {
        !self.waiting.is_empty() || self.running > 0
    }

    /// Whether nothing goes on with it.
    pub(super) fn rests(&self) -> bool {
        let is_busy = self.ready || self.held() > 0 || self.unsettled() > 0 || self.extending > 0;
        !is_busy && self.gate.opens_at().is_none()
    }

    /// When it may need the driver.
    pub(super) fn wakes(&self) -> impl Iterator<Item = Instant> {
        let renew = self.has_jobs().then_some(self.renew_at);
        let settle = (self.pending.len() > 0).then_some(self.settle_by);
        [renew, settle, self.gate.opens_at()].into_iter().flatten()
    }
}
