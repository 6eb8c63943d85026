//! How a worker treats one of its queues.

use std::time::Duration;

use store_core::NewJob;

/// How a worker treats one of its queues: see [`WorkerBuilder::with_queue_options`](crate::WorkerBuilder::with_queue_options).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use twinstore::prelude::*;
/// use twinstore::worker::QueueOptions;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let mails = QueueOptions::new().with_weight(2).with_handler_timeout(Duration::from_secs(30));
/// let worker = stores.state().worker().with_queue_options("mails", mails, async |_: Job| Ok(())).build()?;
/// assert_eq!(worker.queues().count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOptions {
    /// The largest number of this worker's handlers that run jobs of the queue at the same time, at least 1. Default: the
    /// worker's concurrency.
    pub concurrency: Option<usize>,
    /// The queue's share if several queues have jobs, at least 1: a queue of weight 2 gets twice the handlers of a queue of
    /// weight 1. Default 1.
    pub weight: u32,
    /// How long a handler may run, up to 366 days. Default: [`WorkerBuilder::with_handler_timeout`](crate::WorkerBuilder::with_handler_timeout).
    pub handler_timeout: Option<Duration>,
}

impl QueueOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self { concurrency: None, weight: 1, handler_timeout: None }
    }

    /// With at most this many handlers at the same time.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = Some(concurrency);
        self
    }

    /// With this share.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// With its own time-out.
    #[must_use]
    pub fn with_handler_timeout(mut self, timeout: Duration) -> Self {
        self.handler_timeout = Some(timeout.min(NewJob::MAX_DELAY));
        self
    }
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self::new()
    }
}
