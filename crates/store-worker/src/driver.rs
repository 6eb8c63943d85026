//! The driver: one task that owns all state of a worker and makes all decisions. Handlers run in tasks of their own. Calls of
//! the store run within the driver's task, which saves a task switch for each step of a job. The end of a handler or a call is an
//! [`Event`].

mod claiming;
mod ending;
mod gate;
mod leasing;
mod queue_state;
mod reporting;
mod settling;
mod stopping;
mod waiting;

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle as CallHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use store_core::{
    Claim, Durability, Error, Extended, Extension, HolderName, Op, Queue, QueueName, Receipt, Result, Settled,
    Timestamp,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::Span;

use crate::builder::Parts;
use crate::job::Job;
use crate::span::{SpanHook, TARGET};
use crate::stats::{Tally, count_store_error};
use crate::task::{Ended, catch_panic};
use queue_state::QueueState;
use stopping::Mode;
use waiting::Waits;

/// How many events the driver handles in one step.
const EVENTS: usize = 512;

/// The longest sleep of the driver while nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// How long a small claim or a few settlements wait for more, while handlers are fast.
const LINGER: Duration = Duration::from_millis(1);

/// An event that the driver handles.
pub(crate) enum Event {
    /// A handler has ended; sent once for each started handler.
    Finished { id: u64, ended: Ended },
    /// A claim was answered.
    Claimed { queue: usize, sent: Instant, asked: usize, answer: Result<Claim> },
    /// A wait has ended.
    Waited { id: u64, sent: Instant, answer: Result<Option<QueueName>> },
    /// Settlements were answered.
    Settled { queue: usize, sent: Instant, answer: Result<Receipt<Vec<Settled>>> },
    /// A renewal of leases was answered.
    Extended { queue: usize, sent: Instant, ids: Vec<u64>, extensions: Vec<Extension>, answer: Result<Vec<Extended>> },
    /// A call of a [`WorkerHandle`](crate::WorkerHandle).
    Command(Command),
}

/// A request of a handle.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    Shutdown,
    ShutdownNow,
    Pause,
    Resume,
}

/// A claimed job.
struct Slot {
    queue: usize,
    job: Job,
    /// The end of the lease by the server's clock, from its last answer.
    until: Timestamp,
    /// The lease lasts at least until this local time: the time at which the claim or renewal was sent, plus the lease's time.
    safe_until: Instant,
    phase: Phase,
}

enum Phase {
    /// Claimed ahead; no handler yet.
    Waiting { since: Instant },
    /// Its handler runs.
    Running {
        task: AbortHandle,
        span: Span,
        since: Instant,
        stop_at: Option<Instant>,
        cancel_asked: bool,
        fate: Option<Fate>,
    },
}

/// Why the driver dropped a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lost,
    TimedOut,
    Cancelled,
    Released,
}

/// The settings of a worker, which never change.
struct Settings {
    concurrency: usize,
    prefetch: usize,
    lease: Duration,
    cancel_grace: Duration,
    shutdown_deadline: Duration,
    durability: Durability,
    span_hook: Option<SpanHook>,
}

/// The state of a running worker.
pub(crate) struct Driver {
    store: Arc<dyn Queue>,
    name: HolderName,
    settings: Settings,
    events: UnboundedSender<Event>,
    /// Calls of the store that are under way. A stopped call gives no event.
    calls: FuturesUnordered<BoxFuture<'static, Option<Event>>>,
    tally: Arc<Tally>,
    queues: Vec<QueueState>,
    /// The queues that have work or calls under way. A step visits only these, however many queues there are.
    active: Vec<usize>,
    slots: HashMap<u64, Slot>,
    next_id: u64,
    running: usize,
    paused: bool,
    mode: Mode,
    /// How many handlers ended while the last claim was under way: the next claim may claim this many jobs ahead.
    pace: usize,
    /// Whether handlers end about as fast as claims are answered.
    is_fast: bool,
    /// Until when a small claim may wait to become larger.
    linger_until: Instant,
    ended_since_claim: usize,
    /// At or before the first time at which a slot is due for a check.
    check_at: Option<Instant>,
    /// At or before the first time at which a job of a queue becomes due.
    due_at: Option<Instant>,
    waits: Waits,
    /// Whether the store is unavailable, which is logged once.
    is_store_down: bool,
    clean: bool,
}

impl Driver {
    pub(crate) fn new(parts: Parts, name: HolderName, events: UnboundedSender<Event>, tally: Arc<Tally>) -> Self {
        let settings = Settings {
            concurrency: parts.concurrency,
            prefetch: parts.prefetch.unwrap_or(parts.concurrency),
            lease: parts.lease,
            cancel_grace: parts.cancel_grace,
            shutdown_deadline: parts.shutdown_deadline,
            durability: parts.durability,
            span_hook: parts.span_hook,
        };
        let now = Instant::now();
        let queue = |queue| QueueState::new(queue, parts.concurrency, parts.handler_timeout, parts.lease, now);
        let queues: Vec<QueueState> = parts.queues.into_iter().map(queue).collect();
        Self {
            active: (0..queues.len()).collect(),
            waits: Waits::new(queues.len(), now),
            queues,
            store: parts.store,
            name,
            settings,
            events,
            calls: FuturesUnordered::new(),
            tally,
            slots: HashMap::new(),
            next_id: 0,
            running: 0,
            paused: false,
            mode: Mode::Working,
            pace: 0,
            is_fast: false,
            linger_until: now,
            ended_since_claim: 0,
            check_at: None,
            due_at: None,
            is_store_down: false,
            clean: true,
        }
    }

    /// Runs until the shutdown is complete. Returns whether the shutdown was clean.
    pub(crate) async fn run(mut self, mut events: UnboundedReceiver<Event>) -> bool {
        let mut received = Vec::with_capacity(EVENTS);
        let mut wake_at = Instant::now();
        let mut sleep = pin!(sleep_until(wake_at));
        loop {
            let now = Instant::now();
            for event in received.drain(..) {
                self.on(event, now);
            }
            if self.act(now) {
                return self.clean;
            }
            // A wake-up that is too early does nothing. It costs less than moving the timer in each step.
            let next = self.next_wake(now);
            if next < wake_at || wake_at <= now {
                wake_at = next;
                sleep.as_mut().reset(next);
            }
            poll_fn(|context| self.poll_events(context, &mut events, &mut received, sleep.as_mut())).await;
        }
    }

    /// Is ready if there is an event, or if `sleep` is over.
    fn poll_events(
        &mut self,
        context: &mut Context<'_>,
        events: &mut UnboundedReceiver<Event>,
        received: &mut Vec<Event>,
        sleep: Pin<&mut Sleep>,
    ) -> Poll<()> {
        while let Poll::Ready(Some(answered)) = self.calls.poll_next_unpin(context) {
            received.extend(answered);
        }
        let _ = events.poll_recv_many(context, received, EVENTS);
        let is_time = sleep.poll(context).is_ready();
        if is_time || !received.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn on(&mut self, event: Event, now: Instant) {
        match event {
            Event::Finished { id, ended } => self.on_finished(id, ended, now),
            Event::Claimed { queue, sent, asked, answer } => self.on_claimed(queue, sent, asked, answer, now),
            Event::Waited { id, sent, answer } => self.on_waited(id, sent, answer, now),
            Event::Settled { queue, sent, answer } => self.on_settled(queue, sent, answer, now),
            Event::Extended { queue, sent, ids, extensions, answer } => {
                self.on_extended(queue, sent, &ids, extensions, answer, now);
            }
            Event::Command(command) => self.on_command(command, now),
        }
    }

    /// Does everything that can be done now. Returns whether the worker has ended.
    fn act(&mut self, now: Instant) -> bool {
        self.check_slots(now);
        self.check_shutdown(now);
        self.start_handlers(now);
        self.extend(now);
        self.settle(now);
        self.claim(now);
        self.wait(now);
        let has_ended = self.has_ended(now);
        self.report_suppressed(now, has_ended);
        self.deactivate_idle();
        has_ended
    }

    /// From now on, visits a queue in each step.
    fn activate(&mut self, index: usize) {
        if !std::mem::replace(&mut self.queues[index].active, true) {
            self.active.push(index);
        }
    }

    /// Updates the number of running handlers in metrics and statistics, and stops visiting idle queues.
    fn deactivate_idle(&mut self) {
        let (queues, tally) = (&mut self.queues, &self.tally);
        self.active.retain(|index| {
            let queue = &mut queues[*index];
            if queue.reported_running != queue.running {
                queue.reported_running = queue.running;
                queue.meters.running.set(queue.running as f64);
                tally.set_running(*index, queue.running);
            }
            queue.active = !queue.is_idle();
            queue.active
        });
    }

    /// When the driver has to act next if no event arrives; later than `now`.
    fn next_wake(&self, now: Instant) -> Instant {
        let queues = self.active.iter().flat_map(|index| self.queues[*index].wakes());
        let works = self.mode == Mode::Working;
        let waits = self.waits.wakes().filter(|_| works);
        let wakes = queues.chain(waits).chain(self.due_at.filter(|_| works)).chain(self.check_at);
        let wakes = wakes.chain(Some(self.linger_until).filter(|_| works));
        wakes.chain(self.mode.ends_at()).filter(|at| *at > now).min().unwrap_or(now + IDLE)
    }

    /// Begins a call of the store. Its answer becomes an event, unless the call is stopped before.
    fn call<T, F>(&self, op: Op, call: F, event: impl FnOnce(Result<T>) -> Event + Send + 'static) -> CallHandle
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (handle, registration) = CallHandle::new_pair();
        let call = async move {
            let broken = |_| Err(Error::indeterminate(op, "the store's client panicked"));
            catch_panic(call).await.unwrap_or_else(broken)
        };
        let call = Abortable::new(call, registration);
        self.calls.push(Box::pin(async move { call.await.ok().map(event) }));
        handle
    }

    /// The store answered a call on these queues that was sent at `sent`.
    fn on_answer(&mut self, queues: &[usize], sent: Instant) {
        queues.iter().for_each(|queue| self.queues[*queue].gate.open(sent));
        if self.is_store_down && self.queues.iter().all(|queue| queue.gate.is_healthy()) {
            self.is_store_down = false;
            tracing::info!(target: TARGET, worker = %self.name, "the store is available again");
        }
    }

    /// A call on these queues failed: the driver sends nothing for them until their gates open again.
    fn on_error(&mut self, queues: &[usize], error: &Error, now: Instant) {
        count_store_error(error.op(), error.kind().name());
        queues.iter().for_each(|queue| self.queues[*queue].gate.close(now));
        if !self.is_store_down {
            self.is_store_down = true;
            tracing::warn!(target: TARGET, worker = %self.name, %error, "the store is unavailable; the worker waits and tries again");
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.slots.values().for_each(Slot::abort);
    }
}
