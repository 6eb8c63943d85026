//! All state of a running worker, and the calls to its store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use store_core::{Durability, Error, HolderName, Op, Queue, QueueName, Result, Waiter};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::gate::Gate;
use super::pace::Pace;
use super::queue_state::QueueState;
use super::slot::Slot;
use crate::builder::Parts;
use crate::event::Event;
use crate::span::{SpanHook, TARGET};
use crate::stats::count_store_error;
use crate::tally::Tally;
use crate::task::catch_panic;

/// The phase of a worker's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Working,
    /// Running handlers may finish.
    Draining {
        deadline: Instant,
    },
    /// Handlers were dropped, and the remaining jobs are given back.
    Flushing {
        until: Instant,
    },
}

impl Mode {
    pub(super) fn ends_at(self) -> Option<Instant> {
        match self {
            Mode::Working => None,
            Mode::Draining { deadline: at } | Mode::Flushing { until: at } => Some(at),
        }
    }
}

/// The settings of a worker, which never change.
pub(super) struct Settings {
    pub(super) concurrency: usize,
    pub(super) lease: Duration,
    pub(super) cancel_grace: Duration,
    pub(super) shutdown_deadline: Duration,
    pub(super) durability: Durability,
    /// The most settlements that wait for others while handlers are fast.
    pub(super) few: usize,
    pub(super) span_hook: Option<SpanHook>,
}

type Calls = FuturesUnordered<BoxFuture<'static, Event>>;

/// A set with one future, which never ends. A set that has polled all of its futures wakes its task once more, and a runtime wakes
/// another thread to run that task.
fn no_calls() -> Calls {
    std::iter::once(std::future::pending().boxed()).collect()
}

/// All state of a running worker. Only the driver's task has it.
pub(super) struct Work {
    pub(super) store: Arc<dyn Queue>,
    pub(super) waiter: Arc<dyn Waiter>,
    pub(super) name: HolderName,
    pub(super) settings: Settings,
    /// Handlers send the event of their end to it.
    pub(super) events: UnboundedSender<Event>,
    /// Calls of the store that are under way.
    pub(super) calls: Calls,
    pub(super) tally: Arc<Tally>,
    pub(super) queues: Vec<QueueState>,
    pub(super) names: HashMap<QueueName, usize>,
    /// The queues that have work or calls under way. A step visits only these, however many queues there are.
    pub(super) active: Vec<usize>,
    pub(super) slots: HashMap<u64, Slot>,
    pub(super) next_id: u64,
    pub(super) running: usize,
    /// Of the running handlers: those that were stopped and have not ended.
    pub(super) stuck: usize,
    pub(super) is_paused: bool,
    pub(super) mode: Mode,
    pub(super) pace: Pace,
    /// The turn of the queue that was claimed from last ([`QueueState::turn`]).
    pub(super) turn: u64,
    /// The queue whose reservation a claim ends, and when that claim counts as hanging.
    pub(super) recalled: Option<(usize, Instant)>,
    /// At or before the first time at which a slot is due for a check.
    pub(super) check_at: Option<Instant>,
    /// At or before the first time at which to claim from a registered queue.
    pub(super) claim_at: Option<Instant>,
    /// Closed while the waiter fails.
    pub(super) waiter_gate: Gate,
    pub(super) is_waiting: bool,
    /// Whether the store is unavailable, which is logged once.
    is_store_down: bool,
    pub(super) clean: bool,
}

impl Work {
    pub(super) fn new(parts: Parts, name: HolderName, events: UnboundedSender<Event>, tally: Arc<Tally>) -> Self {
        let prefetch = parts.prefetch.unwrap_or(parts.concurrency);
        let settings = Settings {
            concurrency: parts.concurrency,
            lease: parts.lease,
            cancel_grace: parts.cancel_grace,
            shutdown_deadline: parts.shutdown_deadline,
            durability: parts.durability,
            few: parts.concurrency + prefetch,
            span_hook: parts.span_hook,
        };
        let now = Instant::now();
        let queue = |queue| QueueState::new(queue, parts.concurrency, parts.handler_timeout, parts.lease, now);
        let queues: Vec<QueueState> = parts.queues.into_iter().map(queue).collect();
        let names = queues.iter().enumerate().map(|(index, queue)| (queue.settings.name.clone(), index));
        Self {
            names: names.collect(),
            active: (0..queues.len()).collect(),
            queues,
            waiter: parts.store.waiter(),
            store: parts.store,
            name,
            pace: Pace::new(settings.concurrency, prefetch, now),
            waiter_gate: Gate::new(settings.lease),
            settings,
            events,
            calls: no_calls(),
            tally,
            slots: HashMap::new(),
            next_id: 0,
            running: 0,
            stuck: 0,
            is_paused: false,
            mode: Mode::Working,
            turn: 0,
            recalled: None,
            check_at: None,
            claim_at: None,
            is_waiting: false,
            is_store_down: false,
            clean: true,
        }
    }

    /// From now on, visits a queue in each step.
    pub(super) fn activate(&mut self, index: usize) {
        if self.queues[index].activate() {
            self.active.push(index);
        }
    }

    /// There may be jobs in a queue: the driver claims from it as soon as there is room.
    pub(super) fn want(&mut self, index: usize) {
        self.queues[index].supply.want();
        self.activate(index);
    }

    /// Stops visiting idle queues.
    pub(super) fn deactivate_idle(&mut self) {
        let queues = &mut self.queues;
        self.active.retain(|index| queues[*index].stays_active());
    }

    /// How many jobs the worker holds.
    pub(super) fn jobs(&self) -> usize {
        self.active.iter().map(|index| self.queues[*index].jobs()).sum()
    }

    /// Ensures that slots are checked at `at` or before.
    pub(super) fn check_slots_at(&mut self, at: Instant) {
        self.check_at = Some(self.check_at.map_or(at, |check| check.min(at)));
    }

    /// Begins a call of the store, whose answer is an event.
    pub(super) fn call<T>(
        &self,
        op: Op,
        call: impl Future<Output = Result<T>> + Send + 'static,
        event: impl FnOnce(Result<T>) -> Event + Send + 'static,
    ) {
        self.calls.push(Box::pin(async move {
            let broken = |_| Err(Error::indeterminate(op, "the store's client panicked"));
            event(catch_panic(call).await.unwrap_or_else(broken))
        }));
    }

    /// The store answered a call on this queue that was sent at `sent`.
    pub(super) fn on_answer(&mut self, index: usize, sent: Instant) {
        let queue = &mut self.queues[index];
        queue.gate.open(sent);
        queue.claim_gate.open(sent);
        self.on_recovery();
    }

    /// Logs once that all calls succeed again.
    pub(super) fn on_recovery(&mut self) {
        let are_healthy = || self.waiter_gate.is_healthy() && self.queues.iter().all(QueueState::is_healthy);
        if self.is_store_down && are_healthy() {
            self.is_store_down = false;
            tracing::info!(target: TARGET, worker = %self.name, "the store is available again");
        }
    }

    /// A call on this queue failed: the driver claims nothing from it for a while, and sends nothing at all if it was another call.
    pub(super) fn on_error(&mut self, index: usize, op: Op, error: &Error, now: Instant) {
        let queue = &mut self.queues[index];
        let gate = if op == Op::QueueClaim { &mut queue.claim_gate } else { &mut queue.gate };
        gate.close(now);
        self.activate(index);
        self.on_outage(error);
    }

    /// Counts a call that failed. Logs once that the store is unavailable.
    pub(super) fn on_outage(&mut self, error: &Error) {
        count_store_error(error.op(), error.kind().name());
        if !self.is_store_down {
            self.is_store_down = true;
            tracing::warn!(target: TARGET, worker = %self.name, %error, "the store is unavailable; the worker waits and tries again");
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.slots.values().for_each(Slot::abort);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    use futures_util::StreamExt;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn calls_under_way_do_not_wake_the_driver() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let (mut calls, mut context) = (no_calls(), Context::from_waker(&waker));
        // The first poll includes the future that never ends.
        assert!(calls.poll_next_unpin(&mut context).is_pending());
        woken.0.store(false, Ordering::Relaxed);
        for _ in 0..3 {
            calls.push(std::future::pending().boxed());
            assert!(calls.poll_next_unpin(&mut context).is_pending());
            assert!(!woken.0.load(Ordering::Relaxed));
        }
    }
}
