//! Passes on notifications and jobs that arrive for a waiter that does not use them.

use std::time::Duration;

use redis_link::Arg;
use store_core::{Claim, ClaimedJob, Durability, Outcome, Queue, QueueName, REGISTRATION, Result, Settlement};
use tokio::runtime::Handle;

use super::partition::Target;
use super::{scripts, waiter};
use crate::StateStore;

/// How soon a notification that could not be passed on is passed on again.
const AGAIN: Duration = Duration::from_millis(500);

impl StateStore {
    /// Notifies another waiter for each notification, in the same partition: a waiter claims only where it was notified. If a
    /// partition cannot be reached, it tries until all waiters have registered again.
    pub(super) fn pass_on(&self, notified: Vec<(QueueName, u16)>) {
        let Ok(runtime) = Handle::try_current() else { return };
        for (queue, partition) in notified {
            let store = self.clone();
            runtime.spawn(tokio::time::timeout(REGISTRATION, async move {
                while store.wake(&queue, partition).await.is_err() {
                    tokio::time::sleep(AGAIN).await;
                }
            }));
        }
    }

    async fn wake(&self, queue: &QueueName, partition: u16) -> Result<()> {
        let shape = self.shape(waiter::OP, queue, false).await?;
        if partition < shape.count() {
            let to = Target::new(waiter::OP, &scripts::CONTROL, queue, &shape, partition).remembered();
            self.call_on(to, vec![Arg::fixed(""), Arg::fixed("wake")]).await?;
        }
        Ok(())
    }

    /// Gives back the jobs that were handed to a dropped waiter. If the call fails, their leases expire.
    pub(super) fn give_back(&self, queue: QueueName, claim: Claim) {
        let release = |job: ClaimedJob| Settlement::new(job.lease, Outcome::Release);
        // In reverse order, so that the queue restores their order.
        let settlements: Vec<_> = claim.jobs.into_iter().rev().map(release).collect();
        let (false, Ok(runtime)) = (settlements.is_empty(), Handle::try_current()) else { return };
        let store = self.clone();
        runtime.spawn(async move {
            let _ = store.settle(&queue, &settlements, Durability::Accepted).await;
        });
    }
}
