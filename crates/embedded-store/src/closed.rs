//! Notifies waiters that the store was closed.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether the store was closed.
#[derive(Debug, Default)]
pub(crate) struct Closed {
    is_closed: AtomicBool,
    notify: Notify,
}

impl Closed {
    /// Ends all waits, also later ones.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    /// Waits until the store is closed.
    pub(crate) async fn wait(&self) {
        let mut closed = pin!(self.notify.notified());
        // Registered before `is_closed` is read, so a close in between is noticed.
        closed.as_mut().enable();
        if !self.is_closed.load(Ordering::SeqCst) {
            closed.await;
        }
    }
}
