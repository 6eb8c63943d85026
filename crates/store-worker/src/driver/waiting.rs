//! Waiting for notifications of the queues that have no jobs to claim.
//!
//! At most one wait covers each queue. A wait ends with the notification of one queue. The driver then begins another wait for
//! the other queues immediately, without that queue. So a busy queue soon has a wait of its own, and its notifications do not
//! interrupt the waits of idle queues.

use std::collections::HashMap;
use std::time::Duration;

use store_core::{Op, QueueName, Result};
use tokio::time::Instant;

use super::queue_state::QueueState;
use super::{CallHandle, Driver, Event, Mode};

/// How long the first waits are delayed for the answers to the first claims.
const FIRST_CLAIMS: Duration = Duration::from_millis(250);

/// The longest time of one wait. If a queue was not claimed from for this long, the worker claims from it: if the worker that
/// got a notification dies, the notification is lost.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The least number of queues of a full wait.
const FULL: usize = 64;
/// The most full waits that cover all queues.
const FULL_WAITS: usize = 8;
/// The most small waits: those of less than half as many queues.
const SMALL_WAITS: usize = 4;

/// How long queues have no wait while there are too many waits. After that, one wait replaces the small waits. On busy queues a
/// wait usually ends before.
const TOO_MANY_WAITS: Duration = Duration::from_millis(5);

/// A worker is saturated if it runs as many handlers as it may, and none of them has ended for this long. It leaves
/// notifications to other workers.
pub(super) const SATURATED: Duration = Duration::from_millis(50);

/// The waits of a worker.
pub(super) struct Waits {
    under_way: HashMap<u64, Wait>,
    next_id: u64,
    /// Queues that no wait covers.
    uncovered: Vec<usize>,
    too_many_since: Option<Instant>,
    /// The least number of queues of a full wait.
    full: usize,
    /// The most waits at a time.
    most: usize,
    /// Waits begin when a claim from every queue was answered, or at this time.
    begins_at: Instant,
    /// The number of queues of which no claim was answered yet.
    unchecked: usize,
    /// When the last handler began or ended.
    pub(super) moved_at: Instant,
}

struct Wait {
    queues: Vec<usize>,
    call: CallHandle,
}

impl Waits {
    pub(super) fn new(queues: usize, now: Instant) -> Self {
        let full = FULL.max(queues.div_ceil(FULL_WAITS));
        Self {
            under_way: HashMap::new(),
            next_id: 0,
            uncovered: (0..queues).collect(),
            too_many_since: None,
            full,
            most: SMALL_WAITS + 2 * queues / full,
            begins_at: now + FIRST_CLAIMS,
            unchecked: queues,
            moved_at: now,
        }
    }

    /// The first claim from a queue was answered.
    pub(super) fn on_first_check(&mut self) {
        self.unchecked -= 1;
    }

    fn have_begun(&self, now: Instant) -> bool {
        self.unchecked == 0 || self.begins_at <= now
    }

    fn stop(&mut self, queues: &mut [QueueState], which: impl Fn(&Wait) -> bool) {
        let uncovered = &mut self.uncovered;
        self.under_way.retain(|_, wait| {
            let stops = which(wait);
            if stops {
                wait.call.abort();
                wait.queues.iter().for_each(|index| queues[*index].covered = false);
                uncovered.append(&mut wait.queues);
            }
            !stops
        });
    }

    /// When the driver may have to act. Some of these times may be in the past.
    pub(super) fn wakes(&self) -> impl Iterator<Item = Instant> {
        let begins = (self.unchecked > 0).then_some(self.begins_at);
        let too_many = self.too_many_since.map(|since| since + TOO_MANY_WAITS);
        [begins, too_many, Some(self.moved_at + SATURATED)].into_iter().flatten()
    }
}

impl Driver {
    /// Marks the queues that no wait covers and that were not claimed from for [`LONGEST_WAIT`]: the driver claims from them.
    pub(super) fn check_overdue(&mut self, now: Instant) {
        for position in 0..self.waits.uncovered.len() {
            let index = self.waits.uncovered[position];
            if now.duration_since(self.queues[index].last_claim) >= LONGEST_WAIT {
                self.make_ready(index);
            }
        }
    }

    /// Waits for notifications of the queues without jobs, unless the worker is saturated.
    pub(super) fn wait(&mut self, now: Instant) {
        let is_saturated = self.is_saturated(now);
        if is_saturated {
            self.stop_waiting();
        }
        self.pass_on(is_saturated || self.paused || self.mode != Mode::Working, now);
        if is_saturated || !self.may_claim() || !self.waits.have_begun(now) {
            return;
        }
        let mut queues = self.take_waitable(now);
        if queues.is_empty() {
            self.waits.too_many_since = None;
            return;
        }
        if self.waits.under_way.len() >= self.waits.most {
            let since = *self.waits.too_many_since.get_or_insert(now);
            if now < since + TOO_MANY_WAITS {
                return self.waits.uncovered.append(&mut queues);
            }
            let full = self.waits.full;
            self.waits.stop(&mut self.queues, |wait| 2 * wait.queues.len() < full);
            queues.append(&mut self.take_waitable(now));
        }
        self.waits.too_many_since = None;
        for chunk in queues.chunks(self.waits.full) {
            self.send_wait(chunk.to_vec(), now);
        }
    }

    /// Takes the queues that a new wait may cover.
    fn take_waitable(&mut self, now: Instant) -> Vec<usize> {
        let (mut waitable, mut others) = (Vec::new(), Vec::new());
        for index in std::mem::take(&mut self.waits.uncovered) {
            if self.queues[index].is_waitable(now) { waitable.push(index) } else { others.push(index) }
        }
        self.waits.uncovered = others;
        waitable
    }

    fn send_wait(&mut self, queues: Vec<usize>, now: Instant) {
        let names: Vec<QueueName> = queues.iter().map(|index| self.queues[*index].name.clone()).collect();
        queues.iter().for_each(|index| self.queues[*index].covered = true);
        let id = self.waits.next_id;
        self.waits.next_id += 1;
        let store = self.store.clone();
        let waiting = async move { store.wait(&names, LONGEST_WAIT).await };
        let call = self.call(Op::QueueWait, waiting, move |answer| Event::Waited { id, sent: now, answer });
        self.waits.under_way.insert(id, Wait { queues, call });
    }

    pub(super) fn on_waited(&mut self, id: u64, sent: Instant, answer: Result<Option<QueueName>>, now: Instant) {
        // A stopped wait may have been answered before it was stopped.
        let queues = self.waits.under_way.remove(&id).map(|wait| wait.queues).unwrap_or_default();
        queues.iter().for_each(|index| self.queues[*index].covered = false);
        match answer {
            Ok(notified) => {
                self.on_answer(&queues, sent);
                let mut known = queues.iter().copied().chain(0..self.queues.len());
                let woken = notified.and_then(|name| known.find(|index| self.queues[*index].name == name));
                if let Some(index) = woken {
                    self.queues[index].is_notified = true;
                    self.make_ready(index);
                }
            }
            Err(error) => {
                self.on_error(&queues, &error, now);
                queues.iter().for_each(|index| self.make_ready(*index));
            }
        }
        self.waits.uncovered.extend(queues);
    }

    /// Stops all waits, so that notifications go to other workers.
    pub(super) fn stop_waiting(&mut self) {
        self.waits.stop(&mut self.queues, |_| true);
    }

    fn is_saturated(&self, now: Instant) -> bool {
        self.waits.moved_at + SATURATED <= now && self.running >= self.settings.concurrency
    }

    /// Passes notifications on to other workers: those of queues that run as many handlers as they may, or all if `all`. The
    /// driver claims a job and gives it back, which causes another notification.
    fn pass_on(&mut self, all: bool, now: Instant) {
        for position in 0..self.active.len() {
            let index = self.active[position];
            let queue = &mut self.queues[index];
            let is_full = queue.running >= queue.concurrency && queue.concurrency < self.settings.concurrency;
            if queue.is_notified && (all || is_full) && queue.claiming == 0 && queue.gate.is_open(now) {
                queue.passes_on = true;
                self.send_claim(index, 1, now);
            }
        }
    }
}
