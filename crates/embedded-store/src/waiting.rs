//! Registered waiters, remembered claims, watches and listeners. They belong to the process and are not stored: its end is also the end of every
//! waiter and of every caller that could repeat a claim.

mod effects;
mod listeners;
mod mailbox;
mod watches;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use store_core::{Fence, HolderName, JobId, QueueName, REGISTRATION, RequestId, Timestamp};

pub(crate) use effects::Effects;
use listeners::Listeners;
pub(crate) use mailbox::Mailbox;
pub(crate) use watches::Watch;
use watches::Watches;

/// How many jobs of claims are remembered at most. Beyond that, the oldest claims are forgotten.
const MOST_REMEMBERED: usize = 100_000;

/// The waiters of each queue and the claims that can be repeated; the watches; the listeners of broadcasts.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<State>, Watches, Listeners);

#[derive(Debug, Default)]
struct State {
    waiters: HashMap<QueueName, VecDeque<Registration>>,
    claims: HashMap<RequestId, RememberedClaim>,
    /// The claims in the order in which they were made, with the ends of their leases in milliseconds.
    ends: VecDeque<(u64, RequestId)>,
    /// How many jobs the claims have in all.
    remembered: usize,
}

/// A waiter at a queue.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    pub(crate) mailbox: Arc<Mailbox>,
    /// How many jobs may be handed over.
    pub(crate) reserve: usize,
    pub(crate) max_bytes: usize,
    pub(crate) lease: Duration,
    pub(crate) worker: HolderName,
    until: Instant,
}

impl Registration {
    pub(crate) fn new(
        mailbox: Arc<Mailbox>,
        reserve: usize,
        max_bytes: usize,
        lease: Duration,
        worker: HolderName,
    ) -> Self {
        Self { mailbox, reserve, max_bytes, lease, worker, until: Instant::now() + REGISTRATION }
    }

    fn is_live(&self) -> bool {
        !self.mailbox.is_closed() && Instant::now() < self.until
    }
}

/// The jobs of a claim, in the order of its reply.
#[derive(Debug, Clone)]
pub(crate) struct RememberedClaim {
    pub(crate) queue: QueueName,
    pub(crate) fence: Fence,
    /// The end of its leases in milliseconds.
    pub(crate) until: u64,
    pub(crate) claimed_at: Timestamp,
    pub(crate) jobs: Vec<JobId>,
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes the waiter that has waited longest for the queue.
    fn take(&mut self, queue: &QueueName) -> Option<Registration> {
        let waiters = self.waiters.get_mut(queue)?;
        let mut taken = waiters.pop_front();
        while let Some(ended) = taken.as_ref().filter(|waiter| !waiter.is_live()) {
            ended.mailbox.release(queue, ended.reserve);
            taken = waiters.pop_front();
        }
        if waiters.is_empty() {
            self.waiters.remove(queue);
        }
        taken
    }

    fn remove(&mut self, queue: &QueueName, mailbox: &Arc<Mailbox>) -> Option<Registration> {
        let waiters = self.waiters.get_mut(queue)?;
        let index = waiters.iter().position(|waiter| Arc::ptr_eq(&waiter.mailbox, mailbox))?;
        let removed = waiters.remove(index);
        if waiters.is_empty() {
            self.waiters.remove(queue);
        }
        removed
    }

    fn remember(&mut self, request: RequestId, claim: RememberedClaim, now: u64) {
        while let Some((end, oldest)) = self.ends.front().copied()
            && (end <= now || self.remembered > MOST_REMEMBERED)
        {
            self.ends.pop_front();
            self.forget(oldest, end);
        }
        self.remembered += claim.jobs.len();
        self.ends.push_back((claim.until, request));
        if let Some(before) = self.claims.insert(request, claim) {
            self.remembered -= before.jobs.len();
        }
    }

    /// Forgets a claim, unless it was made again since.
    fn forget(&mut self, request: RequestId, until: u64) {
        if self.claims.get(&request).is_some_and(|claim| claim.until == until)
            && let Some(claim) = self.claims.remove(&request)
        {
            self.remembered -= claim.jobs.len();
        }
    }
}
