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
    is_closed: bool,
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
        let (reserve, wakeup) = self.state().wakeups.pop_front()?;
        if let Wakeup::Claimed { queue, .. } | Wakeup::Notified { queue } = &wakeup {
            self.release(queue, reserve);
        }
        Some(wakeup)
    }

    pub(super) fn reserve(&self, queue: &QueueName, more: usize) {
        if more > 0 {
            *self.state().reserved.entry(queue.clone()).or_default() += more;
        }
    }

    pub(super) fn release(&self, queue: &QueueName, less: usize) {
        if let Some(reserved) = self.state().reserved.get_mut(queue) {
            *reserved = reserved.saturating_sub(less);
        }
    }

    /// How many jobs may be handed over at a queue, or were and the waiter has not taken them.
    pub(crate) fn reserved(&self, queue: &QueueName) -> usize {
        self.state().reserved.get(queue).copied().unwrap_or(0)
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
