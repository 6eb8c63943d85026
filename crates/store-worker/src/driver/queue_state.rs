//! The driver's state of one queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use store_core::{NewJob, QueueName};
use tokio::time::Instant;

use super::gate::Gate;
use super::reporting::LogLimit;
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

    /// Whether it is in [`Driver::active`](super::Driver).
    pub(super) active: bool,
    /// Whether it may have jobs to claim.
    pub(super) ready: bool,
    /// Whether it is ready because of a notification, which no other worker has got.
    pub(super) is_notified: bool,
    /// Whether the claim under way passes a notification on: the driver gives back the jobs that it claims.
    pub(super) passes_on: bool,
    /// Whether a claim from it was answered.
    pub(super) is_checked: bool,
    /// How many jobs the claim under way asks for.
    pub(super) claiming: usize,
    /// Whether a wait under way covers it.
    pub(super) covered: bool,
    /// When its next job becomes due, from the answer to the last claim.
    pub(super) due: Option<Instant>,
    pub(super) last_claim: Instant,
    /// Claimed jobs without a handler, in order.
    pub(super) waiting: VecDeque<u64>,
    pub(super) running: usize,
    /// The number of running handlers in metrics and statistics.
    pub(super) reported_running: usize,

    pub(super) renew_at: Instant,
    /// How many renewals are under way.
    pub(super) extending: usize,

    pub(super) pending: Batch,
    /// The settlements under way.
    pub(super) settling: Option<Arc<Batch>>,
    /// Until when a few settlements may wait for others, while handlers are fast.
    pub(super) settle_by: Instant,
    /// The most settlements in one call. It is smaller after a failure, so that one refused settlement, or a call that is too
    /// large, does not block the others.
    pub(super) settle_limit: usize,
    pub(super) log_limit: LogLimit,
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
            is_notified: false,
            passes_on: false,
            is_checked: false,
            claiming: 0,
            covered: false,
            due: None,
            last_claim: now,
            waiting: VecDeque::new(),
            running: 0,
            reported_running: 0,
            renew_at: now + lease / 3,
            extending: 0,
            pending: Batch::default(),
            settling: None,
            settle_by: now,
            settle_limit: NewJob::MAX_BATCH,
            log_limit: LogLimit::default(),
        }
    }

    /// How many jobs the worker holds or has asked for.
    pub(super) fn held(&self) -> usize {
        self.claiming + self.waiting.len() + self.running
    }

    /// How many settlements wait or are under way.
    pub(super) fn unsettled(&self) -> usize {
        self.pending.len() + self.settling.as_ref().map_or(0, |batch| batch.len())
    }

    /// Whether a wait may cover it: it has no known jobs, and there is room for some.
    pub(super) fn is_waitable(&self, now: Instant) -> bool {
        !self.ready && self.claiming == 0 && self.held() < self.concurrency && self.gate.is_open(now)
    }

    /// Whether to claim from it when there is room.
    pub(super) fn may_be_claimed(&self, now: Instant) -> bool {
        self.ready && self.claiming == 0 && self.gate.is_open(now)
    }

    /// Whether the worker holds jobs of it.
    pub(super) fn has_jobs(&self) -> bool {
        !self.waiting.is_empty() || self.running > 0
    }

    /// Whether it has no work and no calls under way.
    pub(super) fn is_idle(&self) -> bool {
        let is_busy = self.ready || self.held() > 0 || self.unsettled() > 0 || self.extending > 0;
        !is_busy && self.gate.opens_at().is_none() && self.log_limit.reports_at().is_none()
    }

    /// When the driver may have to act on it.
    pub(super) fn wakes(&self) -> impl Iterator<Item = Instant> {
        let renew = self.has_jobs().then_some(self.renew_at);
        let settle = (self.pending.len() > 0).then_some(self.settle_by);
        [renew, settle, self.gate.opens_at(), self.log_limit.reports_at()].into_iter().flatten()
    }
}
