//! What was delivered to a waiter.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use store_core::{QueueName, Wakeup};
use tokio::sync::Notify;

/// What was delivered to a waiter and not taken by it yet.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Each with the reserve of the registration that it has ended.
    wakeups: VecDeque<(usize, Wakeup)>,
    /// Of each queue: the reserves of the waiter's registration and of those that wake-ups have ended which it has not taken.
    reserved: HashMap<QueueName, usize>,
    /// Of each queue: how many jobs the waiter has taken.
    taken: HashMap<QueueName, usize>,
    is_closed: bool,
}

impl State {
    fn release(&mut self, queue: &QueueName, less: usize) {
        if let Some(reserved) = self.reserved.get_mut(queue) {
            *reserved = reserved.saturating_sub(less);
        }
    }
}

impl Mailbox {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    pub(super) fn put(&self, reserve: usize, wakeup: Wakeup) {
        self.state().wakeups.push_back((reserve, wakeup));
        self.bell.notify_one();
    }

    /// The next wake-up, if there is one.
    pub(crate) fn pop(&self) -> Option<Wakeup> {
        let mut state = self.state();
        let (reserve, wakeup) = state.wakeups.pop_front()?;
        if let Wakeup::Claimed { queue, .. } | Wakeup::Notified { queue } = &wakeup {
            state.release(queue, reserve);
        }
        if let Wakeup::Claimed { queue, claim, .. } = &wakeup {
            *state.taken.entry(queue.clone()).or_default() += claim.jobs.len();
        }
        Some(wakeup)
    }

    pub(super) fn reserve(&self, queue: &QueueName, more: usize) {
        if more > 0 {
            *self.state().reserved.entry(queue.clone()).or_default() += more;
        }
    }

    pub(super) fn release(&self, queue: &QueueName, less: usize) {
        self.state().release(queue, less);
    }

    /// How many jobs may be handed over at a queue, or were and the waiter has not taken them.
    pub(crate) fn reserved(&self, queue: &QueueName) -> usize {
        self.state().reserved.get(queue).copied().unwrap_or(0)
    }

    /// As [`reserved`](Self::reserved), with the jobs that the waiter has taken since it began; and how many these are.
    pub(crate) fn promised(&self, queue: &QueueName) -> (usize, usize) {
        let state = self.state();
        let taken = state.taken.get(queue).copied().unwrap_or(0);
        (state.reserved.get(queue).copied().unwrap_or(0) + taken, taken)
    }

    /// Waits for a wake-up. May be dropped without losing one.
    pub(crate) async fn next(&self) -> Wakeup {
        loop {
            if let Some(wakeup) = self.pop() {
                return wakeup;
            }
            self.bell.notified().await;
        }
    }

    /// Its waiter was dropped: from now on, nothing is handed over to it.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
    }

    /// What the waiter has not taken.
    pub(crate) fn left(&self) -> Vec<Wakeup> {
        self.state().wakeups.iter().map(|(_, wakeup)| wakeup.clone()).collect()
    }
}
