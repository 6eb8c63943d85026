//! The driver: one task that owns all of a worker's state and decides. Handlers run in tasks of their own; calls of the store
//! run within the driver, so that each step of a job is one wake-up less. Both come back as an [`Event`].

mod claiming;
mod ending;
mod gate;
mod leasing;
mod queue_state;
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

use crate::builder::Parts;
use crate::job::Job;
use crate::stats::{Ending, Tally, count_store_error};
use crate::task::{Ended, catch_panic};
use queue_state::QueueState;
use settling::Batch;
use stopping::Mode;
use waiting::Waits;

/// How many events the driver takes at a time.
const EVENTS: usize = 512;

/// What the driver wakes for at the latest when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// How long a claim may hold up what waits for it.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long a few claims or settlements wait for others while handlers are fast.
const PATIENCE: Duration = Duration::from_millis(1);

/// What comes back to the driver.
pub(crate) enum Event {
    /// A handler has ended; sent once for each that was started.
    Finished { id: u64, ended: Ended },
    /// A claim was answered.
    Claimed { queue: usize, sent: Instant, asked: usize, answer: Result<Claim> },
    /// A wait has ended.
    Waited { id: u64, sent: Instant, answer: Result<Option<QueueName>> },
    /// Settlements were answered.
    Settled { queue: usize, sent: Instant, batch: Arc<Batch>, answer: Result<Receipt<Vec<Settled>>> },
    /// A renewal of leases was answered.
    Extended { queue: usize, sent: Instant, ids: Vec<u64>, extensions: Vec<Extension>, answer: Result<Vec<Extended>> },
    /// Somebody steers.
    Command(Command),
}

/// What a handle asks for.
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
    /// Until when the lease lasts by the server's clock, as it said last.
    until: Timestamp,
    /// Until when the lease surely lasts by the local clock: counted from before the claim or renewal was sent.
    safe_until: Instant,
    phase: Phase,
}

enum Phase {
    /// Claimed ahead; no handler yet.
    Waiting { since: Instant },
    /// Its handler runs.
    Running { task: AbortHandle, since: Instant, stop_at: Option<Instant>, cancel_asked: bool, fate: Option<Fate> },
}

/// Why the driver has dropped a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lost,
    TimedOut,
    Cancelled,
    Released,
}

/// What does not change while a worker runs.
struct Settings {
    concurrency: usize,
    prefetch: usize,
    lease: Duration,
    cancel_grace: Duration,
    shutdown_deadline: Duration,
    durability: Durability,
}

/// The state of a running worker.
pub(crate) struct Driver {
    store: Arc<dyn Queue>,
    name: HolderName,
    settings: Settings,
    events: UnboundedSender<Event>,
    /// Calls of the store that are under way; one that was stopped comes to nothing.
    calls: FuturesUnordered<BoxFuture<'static, Option<Event>>>,
    tally: Arc<Tally>,
    queues: Vec<QueueState>,
    /// The queues with which something goes on. Each step looks at these alone, however many there are.
    active: Vec<usize>,
    slots: HashMap<u64, Slot>,
    next_id: u64,
    running: usize,
    paused: bool,
    mode: Mode,
    /// Handlers that ended while the last claim was under way: how far ahead the next one may claim.
    pace: usize,
    /// Whether handlers end about as fast as claims are answered.
    is_fast: bool,
    /// Until when a small claim may wait to become larger.
    patient_until: Instant,
    ended_since_claim: usize,
    /// Not later than the first thing that a slot is due for.
    check_at: Option<Instant>,
    /// Not later than the first time at which something in a queue becomes due.
    due_at: Option<Instant>,
    waits: Waits,
    /// Whether the store's absence was told.
    away: bool,
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
            patient_until: now,
            ended_since_claim: 0,
            check_at: None,
            due_at: None,
            away: false,
            clean: true,
        }
    }

    /// Works until it was told to stop and has. Whether it ended clean.
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
            // One that is too early finds nothing to do, and costs less than to move it each time.
            let next = self.next_wake(now);
            if next < wake_at || wake_at <= now {
                wake_at = next;
                sleep.as_mut().reset(next);
            }
            poll_fn(|context| self.poll_events(context, &mut events, &mut received, sleep.as_mut())).await;
        }
    }

    /// Ready when something has happened, or it is time.
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
            Event::Settled { queue, sent, batch, answer } => self.on_settled(queue, sent, batch, answer, now),
            Event::Extended { queue, sent, ids, extensions, answer } => {
                self.on_extended(queue, sent, &ids, extensions, answer, now);
            }
            Event::Command(command) => self.on_command(command, now),
        }
    }

    /// Does all that can be done now. Whether the worker has ended.
    fn act(&mut self, now: Instant) -> bool {
        self.check_slots(now);
        self.check_shutdown(now);
        self.start_handlers(now);
        self.extend(now);
        self.settle(now);
        self.claim(now);
        self.wait(now);
        let has_ended = self.has_ended(now);
        self.leave_resting();
        has_ended
    }

    /// Has something to do with a queue from now on.
    fn activate(&mut self, index: usize) {
        if !std::mem::replace(&mut self.queues[index].active, true) {
            self.active.push(index);
        }
    }

    /// Tells how many handlers run, and leaves queues alone with which nothing goes on.
    fn leave_resting(&mut self) {
        let (queues, tally) = (&mut self.queues, &self.tally);
        self.active.retain(|index| {
            let queue = &mut queues[*index];
            if queue.told_running != queue.running {
                queue.told_running = queue.running;
                queue.meters.running.set(queue.running as f64);
                tally.set_running(*index, queue.running);
            }
            queue.active = !queue.rests();
            queue.active
        });
    }

    /// When there is something to do next, if no event comes before; later than `now`.
    fn next_wake(&self, now: Instant) -> Instant {
        let queues = self.active.iter().flat_map(|index| self.queues[*index].wakes());
        let works = self.mode == Mode::Working;
        let waits = self.waits.wakes().filter(|_| works);
        let wakes = queues.chain(waits).chain(self.due_at.filter(|_| works)).chain(self.check_at);
        let wakes = wakes.chain(Some(self.patient_until).filter(|_| works));
        wakes.chain(self.mode.ends_at()).filter(|at| *at > now).min().unwrap_or(now + IDLE)
    }

    /// Begins a call of the store; its answer comes back as an event, unless it is stopped before.
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

    /// Counts deliveries whose ends did not count.
    fn count_lost(&mut self, queue: usize, deliveries: usize) {
        self.clean &= self.mode == Mode::Working || deliveries == 0;
        for _ in 0..deliveries {
            self.queues[queue].meters.count(&self.tally, Ending::Lost, false);
        }
    }

    /// A call on these queues that was sent at `sent` was answered.
    fn on_answer(&mut self, queues: &[usize], sent: Instant) {
        queues.iter().for_each(|queue| self.queues[*queue].gate.open(sent));
        if self.away && self.queues.iter().all(|queue| queue.gate.is_well()) {
            self.away = false;
            tracing::info!(worker = %self.name, "the store answers again");
        }
    }

    /// A call on these queues failed: nothing is sent for them until their gates open again.
    fn on_error(&mut self, queues: &[usize], error: &Error, now: Instant) {
        count_store_error(error.op(), error.kind());
        queues.iter().for_each(|queue| self.queues[*queue].gate.close(now));
        if !self.away {
            self.away = true;
            tracing::warn!(worker = %self.name, %error, "the store does not answer; the worker waits and tries again");
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for slot in self.slots.values() {
            if let Phase::Running { task, .. } = &slot.phase {
                slot.job.cancel();
                task.abort();
            }
        }
    }
}
