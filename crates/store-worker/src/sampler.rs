//! Gauges of queues: how many jobs they have, and how old the next one is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use store_core::metric::{QUEUE_JOBS, QUEUE_NEXT_AGE_SECONDS};
use store_core::{JobState, PageRequest, QueueInspect, QueueName, Result, Timestamp};

use crate::worker::AbortOnDrop;

/// Samples queues at an interval into the gauges `twinstore_queue_jobs` and `twinstore_queue_next_age_seconds`.
///
/// A sample costs two small reads per queue, whatever the queue's length. All processes read the same numbers, so start the
/// sampler in one of them, for example in the leader. If the store does not answer, or the sampler was dropped, the gauges are not a
/// number (NaN).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use twinstore::prelude::*;
/// use twinstore::worker::QueueSampler;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let sampler: QueueSampler = stores.state().sampler().with_queue(QueueName::new("mails")?);
/// let sampling = sampler.with_interval(Duration::from_secs(30)).start(); // until it is dropped
/// # assert!(format!("{sampling:?}").contains("QueueSampling"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct QueueSampler {
    inspect: Arc<dyn QueueInspect>,
    queues: Vec<QueueName>,
    interval: Duration,
}

impl QueueSampler {
    /// A sampler without queues, with an interval of 15 s.
    pub fn new(inspect: Arc<dyn QueueInspect>) -> Self {
        Self { inspect, queues: Vec::new(), interval: Duration::from_secs(15) }
    }

    /// With this queue, too.
    #[must_use]
    pub fn with_queue(mut self, queue: QueueName) -> Self {
        self.queues.push(queue);
        self
    }

    /// With this time between two samples, at least 100 ms. Default 15 s.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(100));
        self
    }

    /// Starts a task that samples immediately and then at the interval, until the result is dropped. Install the metrics
    /// recorder before.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    pub fn start(self) -> QueueSampling {
        QueueSampling { _task: AbortOnDrop(tokio::spawn(self.run())) }
    }

    async fn run(self) {
        join_all(self.queues.iter().map(|queue| self.watch(queue))).await;
    }

    /// Samples a queue. One that does not answer delays no other one.
    async fn watch(&self, queue: &QueueName) {
        let gauges = Gauges::new(queue);
        loop {
            if let Err(error) = self.sample(queue, &gauges).await {
                tracing::debug!(%queue, %error, "a queue could not be sampled");
                gauges.forget();
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    async fn sample(&self, queue: &QueueName, gauges: &Gauges) -> Result<()> {
        let counts = self.inspect.counts(queue).await?;
        let next = self.inspect.list(queue, JobState::Ready, PageRequest::first(1)).await?;
        let age = next.items.first().map_or(Duration::ZERO, |job| Timestamp::system_now().since(job.pushed_at));
        let jobs = [counts.ready, counts.scheduled, counts.running, counts.completed, counts.dead];
        gauges.set(jobs.map(|jobs| jobs as f64), age.as_secs_f64());
        Ok(())
    }
}

/// A sampler that runs until this is dropped.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// use twinstore::worker::QueueSampling;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let sampling: QueueSampling = stores.state().sampler().with_queue(QueueName::new("mails")?).start();
/// # assert!(format!("{sampling:?}").contains("QueueSampling"));
/// drop(sampling); // stops the sampler
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the sampler ends when this is dropped"]
pub struct QueueSampling {
    _task: AbortOnDrop<()>,
}

/// The gauges of one queue.
struct Gauges {
    jobs: [metrics::Gauge; 5],
    next_age: metrics::Gauge,
}

impl Gauges {
    fn new(queue: &QueueName) -> Self {
        let states = ["ready", "scheduled", "running", "completed", "dead"];
        let jobs = states.map(|state| QUEUE_JOBS.gauge(&[queue.as_str(), state]));
        Self { jobs, next_age: QUEUE_NEXT_AGE_SECONDS.gauge(&[queue.as_str()]) }
    }

    /// The last values are those of no queue any more.
    fn forget(&self) {
        self.set([f64::NAN; 5], f64::NAN);
    }

    fn set(&self, jobs: [f64; 5], next_age: f64) {
        self.jobs.iter().zip(jobs).for_each(|(gauge, jobs)| gauge.set(jobs));
        self.next_age.set(next_age);
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.forget();
    }
}
