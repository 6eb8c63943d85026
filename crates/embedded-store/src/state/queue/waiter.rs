//! Waiters: a push leases its jobs to a waiting worker in its own transaction, and delivers them when it is committed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{Claim, ClaimRequest, Error, NewJob, Op, Outcome, QueueName, Result, Settlement, Waiter, Wakeup};

use super::open_queue::OpenQueue;
use super::settings::Settings;
use crate::EmbeddedState;
use crate::fault::Fault;
use crate::rows::Change;
use crate::waiting::Mailbox;

/// An idle worker. It misses no notification, because a claim that finds no job registers it in the same transaction.
pub(super) struct EmbeddedWaiter {
    store: EmbeddedState,
    mailbox: Arc<Mailbox>,
}

impl EmbeddedWaiter {
    pub(super) fn new(store: EmbeddedState) -> Self {
        Self { store, mailbox: Arc::default() }
    }
}

impl fmt::Debug for EmbeddedWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedWaiter")
    }
}

#[async_trait]
impl Waiter for EmbeddedWaiter {
    async fn claim(&self, request: &ClaimRequest, reserve: usize) -> Result<Claim> {
        self.store.claim_jobs(request, Some((self.mailbox.clone(), reserve))).await
    }

    async fn next(&self, up_to: Duration) -> Result<Option<Wakeup>> {
        if let Some(wakeup) = self.mailbox.pop() {
            return Ok(Some(wakeup));
        }
        tokio::select! {
            biased;
            wakeup = self.mailbox.next() => Ok(Some(wakeup)),
            () = self.store.database.closed().wait() => {
                Err(Error::unavailable(Op::QueueWait, "the store was closed"))
            }
            () = tokio::time::sleep(up_to) => Ok(None),
        }
    }

    fn reserved(&self, queue: &QueueName) -> usize {
        self.mailbox.reserved(queue)
    }
}

impl Drop for EmbeddedWaiter {
    /// Gives back what was handed over. If the store cannot take the call now, the leases end instead.
    fn drop(&mut self) {
        self.mailbox.close();
        // Without a handle of the store: the writer's thread must not drop the last one.
        let (options, mailbox) = (self.store.options.clone(), self.mailbox.clone());
        let give_back = move |change: &mut Change<'_>| {
            change.effects.withdraw(&mailbox);
            for wakeup in mailbox.left() {
                let (Wakeup::Claimed { queue, .. } | Wakeup::Notified { queue }) = &wakeup else { continue };
                let settings = Settings::new(Op::QueueSettle, queue, &options);
                let Some(mut open) = OpenQueue::existing(change, queue, &settings)? else { continue };
                match &wakeup {
                    Wakeup::Claimed { claim, .. } => {
                        for job in claim.jobs.iter().rev() {
                            open.settle(&Settlement::new(job.lease.clone(), Outcome::Release))?;
                        }
                    }
                    _ => open.notify(),
                }
                open.close()?;
            }
            Ok(())
        };
        self.store.database.write_detached(Op::QueueSettle, give_back);
    }
}

impl OpenQueue<'_, '_> {
    /// Leases ready jobs to waiters, those that have waited longest first. A waiter without a reserve is notified, and its claim
    /// notifies the next one if it leaves jobs. If no job is ready, one waiter is notified of what else has happened.
    pub(super) fn hand_over(&mut self) -> Result<(), Fault> {
        let mut is_handed_over = false;
        while !self.ledger.paused && (!is_handed_over || self.ledger.ready() > 0) {
            let Some(waiter) = self.change.effects.take(self.queue) else { return Ok(()) };
            let max = waiter.reserve.min(NewJob::MAX_BATCH);
            let jobs = match self.take_ready(max, waiter.max_bytes, waiter.lease, &waiter.worker) {
                // Its claim reports the damage; this operation is not concerned.
                Err(Fault::Corrupt(_)) => Vec::new(),
                jobs => jobs?,
            };
            let queue = self.queue.clone();
            if jobs.is_empty() {
                self.change.effects.wake(waiter, Wakeup::Notified { queue });
                return Ok(());
            }
            is_handed_over = true;
            let claim = Claim::new(jobs, self.next_event()?, false);
            let wakeup = Wakeup::Claimed { queue, claim, is_registered: false, since: self.began };
            self.change.effects.wake(waiter, wakeup);
        }
        Ok(())
    }
}
