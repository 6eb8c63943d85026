//! How many calls wait at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A bound on the calls that wait for their replies.
pub(super) struct Waiting {
    calls: AtomicUsize,
    limit: usize,
    left: Notify,
}

/// Counts one call until it is dropped.
pub(super) struct Permit(Arc<Waiting>);

impl Waiting {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { calls: AtomicUsize::new(0), limit, left: Notify::new() })
    }

    /// Counts a call, unless the bound is reached.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Permit> {
        let permit = Permit(Arc::clone(self));
        (self.calls.fetch_add(1, Ordering::AcqRel) < self.limit).then_some(permit)
    }

    /// Counts a call, whether the bound is reached or not.
    pub(super) fn enter_beyond(self: &Arc<Self>) -> Permit {
        self.calls.fetch_add(1, Ordering::AcqRel);
        Permit(Arc::clone(self))
    }

    /// Waits until no call waits. For a link that accepts no new calls.
    pub(super) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if self.calls.load(Ordering::Acquire) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.0.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Waiting;

    #[tokio::test]
    async fn waiting_calls_are_bounded() {
        let waiting = Waiting::new(2);
        let first = waiting.enter().unwrap();
        let second = waiting.enter().unwrap();
        assert!(waiting.enter().is_none() && waiting.enter().is_none());
        drop(first);
        let third = waiting.enter().unwrap();
        assert!(waiting.enter().is_none());
        let emptied = tokio::spawn(async move { waiting.empty().await });
        tokio::task::yield_now().await;
        assert!(!emptied.is_finished());
        drop((second, third));
        emptied.await.unwrap();
    }
}
