//! Removes the entries of expired runs and sessions from listings: those of the namespace, and of the homes of a worker's queues.

use std::sync::Arc;
use std::time::Duration;

use store_core::{AcquireRequest, Durability, Error, HolderName, LeaseName, Op, QueueName, Result, StateRole};
use tokio::time::{Instant, sleep, sleep_until};

use crate::span::TARGET;
use crate::stats::count_store_error;
use crate::worker::AbortOnDrop;

/// The lease of the listings of the namespace. That of the homes of a queue has a slash and the name of the queue behind it.
const LEASE: &str = "twinstore/sweep";
/// The part of an interval within which the first sweep begins.
const FIRST: f64 = 1.0 / 60.0;
/// The part of an interval for which a sweep keeps other processes from another one. The interval varies by a fifth.
const LASTING: f64 = 0.75;

/// Sweeps at an interval, under leases: the processes of a fleet that sweep the same listings do not sweep them more often.
pub(crate) struct Sweeper {
    pub(crate) store: Arc<dyn StateRole>,
    pub(crate) every: Duration,
    pub(crate) worker: HolderName,
    pub(crate) queues: Vec<QueueName>,
}

impl Sweeper {
    /// Sweeps until the task is dropped. A sweep that is dropped has removed what it has removed.
    pub(crate) fn start(self) -> AbortOnDrop<()> {
        AbortOnDrop(tokio::spawn(self.run()))
    }

    async fn run(self) {
        // Workers that start at the same time begin at different times.
        sleep(self.every.mul_f64(FIRST * fastrand::f64())).await;
        loop {
            let begun = Instant::now();
            self.sweep_all(None).await;
            for queue in self.queues.iter().filter(|queue| !queue.is_outbox()) {
                self.sweep_all(Some(queue)).await;
            }
            sleep_until(begun + self.every.mul_f64(1.0 - 0.2 * fastrand::f64())).await;
        }
    }

    /// Sweeps the listings of the homes of a queue, or those of the namespace.
    async fn sweep_all(&self, queue: Option<&QueueName>) {
        if let Err(error) = self.sweep(queue).await {
            count_store_error(error.op(), error.kind().name());
            let queue = queue.map(QueueName::as_str);
            tracing::warn!(target: TARGET, queue, %error, "listings could not be swept; the next sweep follows");
        }
    }

    /// Sweeps until nothing is left, or until a sweep leaves as much as the one before, unless another process has done so.
    async fn sweep(&self, queue: Option<&QueueName>) -> Result<()> {
        let name = queue.map_or_else(|| LEASE.to_owned(), |queue| format!("{LEASE}/{queue}"));
        let name =
            LeaseName::new(name).map_err(|error| Error::invalid_argument(Op::LeaseAcquire, error.to_string()))?;
        let request = AcquireRequest::new(name, self.worker.clone(), self.every.mul_f64(LASTING));
        // The lease is not released: its time is that until the next sweep.
        if self.store.acquire(&request, Durability::Accepted).await?.value.is_taken() {
            return Ok(());
        }
        let mut left = u64::MAX;
        while left > 0 {
            let before = std::mem::replace(&mut left, self.sweep_some(queue).await?);
            if left >= before {
                break;
            }
        }
        Ok(())
    }

    /// Returns how many expired runs and sessions are left.
    async fn sweep_some(&self, queue: Option<&QueueName>) -> Result<u64> {
        match queue {
            Some(queue) => Ok(self.store.sweep_homes(queue).await?.left),
            None => Ok(self.store.runs().sweep().await?.left + self.store.sessions().sweep().await?),
        }
    }
}
