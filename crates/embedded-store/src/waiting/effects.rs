//! What a transaction changes of waiters and remembered claims.

use std::sync::Arc;

use store_core::{QueueName, RequestId, Wakeup};

use super::{Mailbox, Registration, RememberedClaim, Waiting};

/// What a transaction changes of waiters and remembered claims. Registrations change at once, because the next operation of the
/// transaction needs them; without [`Effects::commit`] the changes are taken back. Waiters are woken by the commit.
///
/// Transactions run one after the other, so only a waiter that is dropped can observe what may be taken back.
pub(crate) struct Effects {
    waiting: Arc<Waiting>,
    undo: Vec<Undo>,
    wakeups: Vec<(Registration, Wakeup)>,
    /// What was written, for those who watch it.
    written: Vec<Vec<u8>>,
}

enum Undo {
    Register(QueueName, Arc<Mailbox>),
    Remove(QueueName, Registration),
    /// It stays reserved until its waiter takes the wake-up.
    Take(QueueName, Registration),
    Remember(RequestId, u64),
}

impl Effects {
    pub(crate) fn new(waiting: Arc<Waiting>) -> Self {
        Self { waiting, undo: Vec::new(), wakeups: Vec::new(), written: Vec::new() }
    }

    /// Registers a waiter at a queue.
    pub(crate) fn register(&mut self, queue: &QueueName, registration: Registration) {
        self.undo.push(Undo::Register(queue.clone(), registration.mailbox.clone()));
        registration.mailbox.reserve(queue, registration.reserve);
        self.waiting.state().waiters.entry(queue.clone()).or_default().push_back(registration);
    }

    /// Removes the registration of a waiter at a queue, if it has one. Returns its reserve.
    pub(crate) fn unregister(&mut self, queue: &QueueName, mailbox: &Arc<Mailbox>) -> usize {
        let Some(removed) = self.waiting.state().remove(queue, mailbox) else { return 0 };
        let reserve = removed.reserve;
        mailbox.release(queue, reserve);
        self.undo.push(Undo::Remove(queue.clone(), removed));
        reserve
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
        self.undo.push(Undo::Take(queue.clone(), taken.clone()));
        Some(taken)
    }

    /// Wakes the waiter of a registration that was taken after the commit.
    pub(crate) fn wake(&mut self, taken: Registration, wakeup: Wakeup) {
        self.wakeups.push((taken, wakeup));
    }

    /// Notifies those who watch this after the commit.
    pub(crate) fn notify(&mut self, what: Vec<u8>) {
        self.written.push(what);
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
        for (taken, wakeup) in std::mem::take(&mut self.wakeups) {
            taken.mailbox.put(taken.reserve, wakeup);
        }
        self.written.iter().for_each(|what| self.waiting.1.notify(what));
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
                Undo::Register(queue, mailbox) => {
                    let removed = state.remove(&queue, &mailbox);
                    mailbox.release(&queue, removed.map_or(0, |removed| removed.reserve));
                }
                Undo::Remove(queue, removed) => {
                    removed.mailbox.reserve(&queue, removed.reserve);
                    state.waiters.entry(queue).or_default().push_front(removed);
                }
                Undo::Take(queue, taken) => state.waiters.entry(queue).or_default().push_front(taken),
                Undo::Remember(request, until) => state.forget(request, until),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store_core::{Fence, HolderName, JobId, Timestamp};

    use super::*;

    fn registration(mailbox: &Arc<Mailbox>) -> Registration {
        Registration::new(mailbox.clone(), 1, 1, Duration::from_secs(15), HolderName::new("worker").unwrap())
    }

    fn claim(queue: &QueueName, until: u64) -> RememberedClaim {
        let jobs = vec![JobId::generate()];
        let claimed_at = Timestamp::from_millis(0);
        RememberedClaim { queue: queue.clone(), fence: Fence::new(1), until, claimed_at, jobs }
    }

    #[test]
    fn what_is_not_committed_is_taken_back() {
        let (waiting, queue) = (Arc::new(Waiting::default()), QueueName::new("mail").unwrap());
        let [first, second]: [Arc<Mailbox>; 2] = Default::default();
        let (before, during) = (RequestId::generate(), RequestId::generate());
        let mut effects = Effects::new(waiting.clone());
        effects.register(&queue, registration(&first));
        effects.remember(before, claim(&queue, 100), 0);
        effects.commit();

        let mut effects = Effects::new(waiting.clone());
        effects.register(&queue, registration(&second));
        let taken = effects.take(&queue).unwrap();
        assert!(Arc::ptr_eq(&taken.mailbox, &first));
        assert_eq!((first.reserved(&queue), second.reserved(&queue)), (1, 1));
        assert_eq!((effects.unregister(&queue, &second), second.reserved(&queue)), (1, 0));
        effects.wake(taken, Wakeup::Missed);
        effects.remember(during, claim(&queue, 100), 0);
        assert!(effects.recall(&queue, during, 0).is_some());
        drop(effects);

        let mut effects = Effects::new(waiting);
        assert!(first.pop().is_none(), "a waiter was woken");
        assert_eq!((first.reserved(&queue), second.reserved(&queue)), (1, 0));
        assert!(Arc::ptr_eq(&effects.take(&queue).unwrap().mailbox, &first));
        assert!(effects.take(&queue).is_none(), "the other one is not registered");
        assert!(effects.recall(&queue, before, 99).is_some());
        assert!(effects.recall(&queue, before, 100).is_none(), "its lease has ended");
        assert!(effects.recall(&queue, during, 0).is_none());
    }

    #[test]
    fn remembered_claims_are_bounded() {
        let (waiting, queue) = (Arc::new(Waiting::default()), QueueName::new("mail").unwrap());
        let mut effects = Effects::new(waiting.clone());
        for number in 0..10 {
            effects.remember(RequestId::generate(), claim(&queue, 100 + number), 0);
        }
        effects.remember(RequestId::generate(), claim(&queue, 200), 105);
        assert_eq!(waiting.state().claims.len(), 5, "those whose leases have ended are forgotten");
        for _ in 0..super::super::MOST_REMEMBERED + 10 {
            effects.remember(RequestId::generate(), claim(&queue, 200), 0);
        }
        let state = waiting.state();
        assert!(state.remembered <= super::super::MOST_REMEMBERED + 1);
        assert_eq!((state.claims.len(), state.ends.len()), (state.remembered, state.remembered));
        drop(state);
        effects.commit();
    }
}
