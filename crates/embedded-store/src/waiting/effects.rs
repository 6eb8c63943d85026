//! What a transaction changes of waiters and remembered claims.

use std::sync::Arc;

use store_core::{QueueName, RequestId, Wakeup};

use super::{Mailbox, Registration, RememberedClaim, Waiting};

/// What a transaction changes of waiters and remembered claims. Registrations change at once, because the next operation of the
/// transaction has to see it; without [`Effects::commit`] the changes are taken back. Waiters are woken by the commit.
///
/// Transactions are made one after the other, so nobody else sees what may be taken back, except a waiter that is dropped.
pub(crate) struct Effects {
    waiting: Arc<Waiting>,
    undo: Vec<Undo>,
    wakeups: Vec<(Arc<Mailbox>, Wakeup)>,
}

enum Undo {
    Register(QueueName, Arc<Mailbox>),
    Remove(QueueName, Registration),
    Remember(RequestId, u64),
}

impl Effects {
    pub(crate) fn new(waiting: Arc<Waiting>) -> Self {
        Self { waiting, undo: Vec::new(), wakeups: Vec::new() }
    }

    /// Registers a waiter at a queue.
    pub(crate) fn register(&mut self, queue: &QueueName, registration: Registration) {
        self.undo.push(Undo::Register(queue.clone(), registration.mailbox.clone()));
        self.waiting.state().waiters.entry(queue.clone()).or_default().push_back(registration);
    }

    /// Removes the registration of a waiter at a queue, if it has one.
    pub(crate) fn unregister(&mut self, queue: &QueueName, mailbox: &Arc<Mailbox>) {
        let removed = self.waiting.state().remove(queue, mailbox);
        self.undo.extend(removed.map(|removed| Undo::Remove(queue.clone(), removed)));
    }

    /// Removes all registrations of a dropped waiter, which is not taken back.
    pub(crate) fn withdraw(&mut self, mailbox: &Arc<Mailbox>) {
        self.waiting.state().waiters.retain(|_, waiters| {
            waiters.retain(|waiter| !Arc::ptr_eq(&waiter.mailbox, mailbox));
            !waiters.is_empty()
        });
    }

    /// Ends the registration of the waiter that has waited longest for the queue.
    pub(crate) fn take(&mut self, queue: &QueueName) -> Option<Registration> {
        let taken = self.waiting.state().take(queue)?;
        self.undo.push(Undo::Remove(queue.clone(), taken.clone()));
        Some(taken)
    }

    /// Wakes a waiter after the commit.
    pub(crate) fn wake(&mut self, mailbox: Arc<Mailbox>, wakeup: Wakeup) {
        self.wakeups.push((mailbox, wakeup));
    }

    /// Remembers a claim until its lease ends.
    pub(crate) fn remember(&mut self, request: RequestId, claim: RememberedClaim, now: u64) {
        self.undo.push(Undo::Remember(request, claim.until));
        self.waiting.state().remember(request, claim, now);
    }

    /// The claim that this request made in this queue, if its lease has not ended.
    pub(crate) fn recall(&self, queue: &QueueName, request: RequestId, now: u64) -> Option<RememberedClaim> {
        let state = self.waiting.state();
        state.claims.get(&request).filter(|claim| claim.queue == *queue && claim.until > now).cloned()
    }

    /// Keeps the changes and wakes the waiters.
    pub(crate) fn commit(mut self) {
        self.undo.clear();
        for (mailbox, wakeup) in std::mem::take(&mut self.wakeups) {
            mailbox.put(wakeup);
        }
    }
}

impl Drop for Effects {
    fn drop(&mut self) {
        if self.undo.is_empty() {
            return;
        }
        let mut state = self.waiting.state();
        for undo in self.undo.drain(..).rev() {
            match undo {
                Undo::Register(queue, mailbox) => drop(state.remove(&queue, &mailbox)),
                Undo::Remove(queue, removed) => state.waiters.entry(queue).or_default().push_front(removed),
                Undo::Remember(request, until) => state.forget(request, until),
            }
        }
    }
}
