//! What was delivered to a waiter.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use store_core::Wakeup;
use tokio::sync::Notify;

/// What was delivered to a waiter and not taken by it yet.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    wakeups: VecDeque<Wakeup>,
    is_closed: bool,
}

impl Mailbox {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    pub(super) fn put(&self, wakeup: Wakeup) {
        self.state().wakeups.push_back(wakeup);
        self.bell.notify_one();
    }

    /// The next wake-up, if there is one.
    pub(crate) fn pop(&self) -> Option<Wakeup> {
        self.state().wakeups.pop_front()
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
        self.state().wakeups.iter().cloned().collect()
    }
}
