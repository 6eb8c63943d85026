//! Waiting for news of the queues that have nothing.
//!
//! Each queue is covered by at most one wait. When one has news its wait ends, and the others of that wait are waited for
//! again at once, without it: so a busy queue soon has a wait of its own, and the quiet ones are left alone however much
//! happens to the busy ones.

use std::collections::HashMap;
use std::time::Duration;

use store_core::{Op, QueueName, Result};
use tokio::time::Instant;

use super::queue_state::QueueState;
use super::{CallHandle, Driver, Event, LOOK_AGAIN, Mode};

/// How long one wait lasts at most. A queue that was not looked into for this long is looked into, whatever its waits said:
/// news may have been lost with whoever had them.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// At least how many queues make up a full wait.
const FULL: usize = 64;
/// How many full waits cover all queues at most.
const FULL_WAITS: usize = 8;
/// At most how many waits of less than half as many queues there are beside them.
const SMALL_WAITS: usize = 4;

/// How long queues have no wait when there are too many waits, before small ones make place for one. While much happens one
/// ends by itself before.
const CROWDED: Duration = Duration::from_millis(5);

/// A worker whose handlers are all at work, and none of which has ended for this long, leaves the news to others.
pub(super) const STUCK: Duration = Duration::from_millis(50);

/// The waits of a worker.
pub(super) struct Waits {
    under_way: HashMap<u64, Wait>,
    next_id: u64,
    /// Queues that no wait covers.
    uncovered: Vec<usize>,
    crowded_since: Option<Instant>,
    /// At least how many queues make up a full wait.
    full: usize,
    /// At most how many waits there are.
    most: usize,
    /// Until every queue was looked into once, or this time is over, it is not known for which to wait.
    begins_at: Instant,
    /// How many queues were not looked into.
    unseen: usize,
    /// When a handler began or ended last.
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
            crowded_since: None,
            full,
            most: SMALL_WAITS + 2 * queues / full,
            begins_at: now + LOOK_AGAIN,
            unseen: queues,
            moved_at: now,
        }
    }

    /// A queue was looked into for the first time.
    pub(super) fn seen(&mut self) {
        self.unseen -= 1;
    }

    fn have_begun(&self, now: Instant) -> bool {
        self.unseen == 0 || self.begins_at <= now
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

    /// When something may have to be done; some of it may be over.
    pub(super) fn wakes(&self) -> impl Iterator<Item = Instant> {
        let begins = (self.unseen > 0).then_some(self.begins_at);
        let crowded = self.crowded_since.map(|since| since + CROWDED);
        [begins, crowded, Some(self.moved_at + STUCK)].into_iter().flatten()
    }
}

impl Driver {
    /// Finds the queues that were not looked into for long, among those that no wait covers.
    pub(super) fn check_forgotten(&mut self, now: Instant) {
        for position in 0..self.waits.uncovered.len() {
            let index = self.waits.uncovered[position];
            if now.duration_since(self.queues[index].last_claim) >= LONGEST_WAIT {
                self.make_ready(index);
            }
        }
    }

    /// Waits for the queues that have nothing, unless all handlers are at work and go on being so.
    pub(super) fn wait(&mut self, now: Instant) {
        let is_stuck = self.is_stuck(now);
        if is_stuck {
            self.stop_waiting();
        }
        self.hand_on(is_stuck || self.paused || self.mode != Mode::Working, now);
        if is_stuck || !self.may_claim() || !self.waits.have_begun(now) {
            return;
        }
        let mut queues = self.take_waitable(now);
        if queues.is_empty() {
            self.waits.crowded_since = None;
            return;
        }
        if self.waits.under_way.len() >= self.waits.most {
            let since = *self.waits.crowded_since.get_or_insert(now);
            if now < since + CROWDED {
                return self.waits.uncovered.append(&mut queues);
            }
            let full = self.waits.full;
            self.waits.stop(&mut self.queues, |wait| 2 * wait.queues.len() < full);
            queues.append(&mut self.take_waitable(now));
        }
        self.waits.crowded_since = None;
        for chunk in queues.chunks(self.waits.full) {
            self.send_wait(chunk.to_vec(), now);
        }
    }

    /// Takes the queues that nothing is to be claimed from and no wait covers.
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
        // One that was stopped may have been answered before.
        let queues = self.waits.under_way.remove(&id).map(|wait| wait.queues).unwrap_or_default();
        queues.iter().for_each(|index| self.queues[*index].covered = false);
        match answer {
            Ok(news) => {
                self.on_answer(&queues, sent);
                let mut known = queues.iter().copied().chain(0..self.queues.len());
                let woken = news.and_then(|name| known.find(|index| self.queues[*index].name == name));
                if let Some(index) = woken {
                    self.queues[index].has_news = true;
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

    /// Stops waiting, and leaves the news to others.
    pub(super) fn stop_waiting(&mut self) {
        self.waits.stop(&mut self.queues, |_| true);
    }

    fn is_stuck(&self, now: Instant) -> bool {
        self.waits.moved_at + STUCK <= now && self.running >= self.settings.concurrency
    }

    /// Lets others have the news that came too late for this worker, or for a queue that is at its own bound: a job is claimed
    /// and given back, which is news again.
    fn hand_on(&mut self, all: bool, now: Instant) {
        for position in 0..self.active.len() {
            let index = self.active[position];
            let queue = &mut self.queues[index];
            let is_full = queue.running >= queue.concurrency && queue.concurrency < self.settings.concurrency;
            if queue.has_news && (all || is_full) && queue.claiming == 0 && queue.gate.is_open(now) {
                queue.hands_on = true;
                self.send_claim(index, 1, now);
            }
        }
    }
}
