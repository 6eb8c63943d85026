//! The driver: one task that owns all state of a worker and makes all decisions. Handlers run in tasks of their own. Calls of
//! the store run within the driver's task, which saves a task switch for each step of a job. The end of a handler or a call is an
//! [`Event`].
//!
//! The files below form layers without cyclic dependencies: `supply`, `outbox`, `pace`, `portions`, `gate`, `slot` and `log_limit` are parts of
//! the state and do not call the store; `queue_state` and `work` are the whole state; all others are what the driver does with it.

mod claiming;
mod delivery;
mod ending;
mod gate;
mod leasing;
mod log_limit;
mod outbox;
mod pace;
mod portions;
mod queue_state;
mod reporting;
mod settling;
mod slot;
mod stopping;
mod supply;
mod verdict;
mod waiting;
mod work;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use store_core::HolderName;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::builder::Parts;
use crate::event::Event;
use crate::tally::Tally;
use work::{Mode, Work};

/// How many events the driver handles in one step.
const EVENTS: usize = 512;

/// A timer that ends within this time is set anew if nothing is due then, so that it does not wake an idle driver.
const SOON: Duration = Duration::from_millis(5);

/// The longest sleep of the driver while nothing is due.
const IDLE: Duration = Duration::from_secs(10);

/// A running worker.
pub(crate) struct Driver {
    work: Work,
}

impl Driver {
    pub(crate) fn new(parts: Parts, name: HolderName, events: UnboundedSender<Event>, tally: Arc<Tally>) -> Self {
        Self { work: Work::new(parts, name, events, tally) }
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
                return self.work.clean;
            }
            // A wake-up that is too early does nothing. While there is much to do it costs less than moving the timer in each step.
            let next = self.next_wake(now);
            if next < wake_at || wake_at <= now || (wake_at < now + SOON && next > now + 2 * SOON) {
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
        // Commands and the ends of handlers come before jobs that are handed over.
        let _ = events.poll_recv_many(context, received, EVENTS);
        while let Poll::Ready(Some(answered)) = self.work.calls.poll_next_unpin(context) {
            received.push(answered);
        }
        let is_time = sleep.poll(context).is_ready();
        if is_time || !received.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn on(&mut self, event: Event, now: Instant) {
        let work = &mut self.work;
        match event {
            Event::Finished { id, ended } => work.on_finished(id, ended, now),
            Event::Claimed { queue, sent, ended_before, answer, lost } => {
                work.on_claimed(queue, (sent, ended_before), answer, lost, now);
            }
            Event::Woken { sent, answer } => work.on_woken(sent, answer, now),
            Event::Settled { of, sent, answer } => work.on_settled(of, sent, answer, now),
            Event::Extended { of, sent, ids, extensions, answer } => {
                work.on_extended(of, sent, &ids, extensions, answer, now);
            }
            Event::Command(command) => work.on_command(command, now),
        }
    }

    /// Does everything that can be done now. Returns whether the worker has ended.
    fn act(&mut self, now: Instant) -> bool {
        let work = &mut self.work;
        work.check_slots(now);
        work.check_shutdown(now);
        work.start_handlers(now);
        work.extend(now);
        work.settle(now);
        work.claim(now);
        work.wait(now);
        let has_ended = work.has_ended(now);
        work.report_suppressed(now, has_ended);
        work.report_handlers(now);
        work.deactivate_idle();
        has_ended
    }

    /// When the driver has to act next if no event arrives; later than `now`.
    fn next_wake(&self, now: Instant) -> Instant {
        let work = &self.work;
        let is_working = work.mode == Mode::Working;
        let queues = work.active.iter().flat_map(|index| work.queues[*index].wakes());
        let claims = work.claim_at.into_iter().chain(work.pace.wakes(work.running)).filter(|_| is_working);
        let hangs_at = work.recalled.map(|(_, at)| at);
        let others = [work.check_at, work.mode.ends_at(), work.waiter_gate.opens_at(), hangs_at].into_iter().flatten();
        queues.chain(claims).chain(others).filter(|at| *at > now).fold(now + IDLE, Instant::min)
    }
}
