//! Passes on notifications and jobs that arrive for a waiter that does not use them.

use redis_link::Arg;
use store_core::{Claim, ClaimedJob, Durability, Outcome, Queue, QueueName, Result, Settlement};
use tokio::runtime::Handle;

use super::partition::Target;
use super::{scripts, waiter};
use crate::StateStore;

/// If one of these calls fails, the leases expire, or workers claim the jobs within 10 s.
impl StateStore {
    /// Notifies another waiter for each notification, in the same partition: a waiter claims only where it was notified.
    pub(super) fn pass_on(&self, notified: Vec<(QueueName, u16)>) {
        let (false, Ok(runtime)) = (notified.is_empty(), Handle::try_current()) else { return };
        let store = self.clone();
        runtime.spawn(async move {
            for (queue, partition) in notified {
                let _ = store.wake(&queue, partition).await;
            }
        });
    }

    async fn wake(&self, queue: &QueueName, partition: u16) -> Result<()> {
        let shape = self.shape(waiter::OP, queue, false).await?;
        if partition < shape.count() {
            let to = Target::new(waiter::OP, &scripts::PAUSE, queue, &shape, partition);
            self.call_on(to, vec![Arg::fixed("wake")]).await?;
        }
        Ok(())
    }

    /// Gives back the jobs that were handed to a dropped waiter.
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
