//! This library's side: operations from many tasks, and a worker with handlers that do nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Claim, ClaimRequest, Durability, HolderName, NewJob, Outcome, QueueName, Settled, Settlement, StateRole,
};
use store_worker::{Done, Job, Worker, WorkerHandle};
use tokio::task::{JoinHandle, JoinSet};

use crate::Result;
use crate::case::{OURS, Side};
use crate::environment::Environment;
use crate::figure::Sample;

/// After this time a step of a benchmark has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Operations from several tasks. Each task begins an operation when its previous one was answered.
pub(crate) struct Tasks<F> {
    name: &'static str,
    tasks: usize,
    ops: usize,
    operation: Arc<F>,
    /// How many operations earlier rounds did, so that each operation has a unique number.
    done: usize,
    /// The keys that contain this text are removed after each round.
    leaves: Option<&'static str>,
}

impl<F, Fut> Tasks<F>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    /// `ops` operations per round, each called with a unique number.
    pub(crate) fn ours(tasks: usize, ops: usize, operation: F) -> Box<dyn Side> {
        Self::named(OURS, tasks, ops, operation)
    }

    /// With keys that contain `part`, which are removed after each round: otherwise their expiry would cost the side of a later
    /// round.
    pub(crate) fn leaving(part: &'static str, tasks: usize, ops: usize, operation: F) -> Box<dyn Side> {
        Box::new(Self { name: OURS, tasks, ops, operation: Arc::new(operation), done: 0, leaves: Some(part) })
    }

    /// With another name.
    pub(crate) fn named(name: &'static str, tasks: usize, ops: usize, operation: F) -> Box<dyn Side> {
        Box::new(Self { name, tasks, ops, operation: Arc::new(operation), done: 0, leaves: None })
    }
}

#[async_trait]
impl<F, Fut> Side for Tasks<F>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    fn name(&self) -> &str {
        self.name
    }

    async fn round(&mut self, environment: &Environment) -> Result<Sample> {
        let first = self.done;
        self.done += self.ops;
        let sample = environment.measure(self.ops, from_tasks(self.tasks, first..self.done, &self.operation)).await?;
        if let Some(part) = self.leaves {
            environment.remove_keys(part).await?;
        }
        Ok(sample)
    }
}

/// Calls `operation` with each number of `range`, from this many tasks.
pub(crate) async fn from_tasks<F, Fut>(tasks: usize, range: std::ops::Range<usize>, operation: &Arc<F>) -> Result<()>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<()>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(range.start));
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (next, operation, end) = (Arc::clone(&next), Arc::clone(operation), range.end);
        running.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return Result::Ok(());
                }
                operation(number).await?;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

/// Pushes `count` plain jobs in batches of at most `batch`, one call after the other.
pub(crate) async fn push(
    state: &dyn StateRole,
    queue: &QueueName,
    payload: &Bytes,
    count: usize,
    batch: usize,
) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let jobs: Vec<NewJob> = (0..batch.min(left)).map(|_| NewJob::new(payload.clone())).collect();
        let _ = state.push(queue, &jobs, Durability::Accepted).await?;
        left -= jobs.len();
    }
    Ok(())
}

/// Claims and completes `count` jobs in batches, without the worker runtime.
pub(crate) async fn drain(state: &dyn StateRole, queue: &QueueName, count: usize, batch: usize) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let request =
            ClaimRequest::new(queue.clone(), HolderName::new("drain")?, batch.min(left), Duration::from_secs(60));
        let Claim { jobs, .. } = state.claim(&request).await?;
        if jobs.is_empty() {
            return Err(format!("{left} jobs of {queue} are missing").into());
        }
        left -= jobs.len();
        let settlements: Vec<_> =
            jobs.into_iter().map(|job| Settlement::new(job.lease, Outcome::Complete(None))).collect();
        let receipt = state.settle(queue, &settlements, Durability::Accepted).await?;
        if receipt.value.contains(&Settled::Lost) {
            return Err("a lease was lost while nothing was wrong".into());
        }
    }
    Ok(())
}

/// A worker with handlers that do nothing.
pub(crate) struct Crew {
    handle: WorkerHandle,
    task: JoinHandle<Result<()>>,
}

impl Crew {
    /// Starts a worker for these queues, with the default settings except the concurrency.
    pub(crate) fn start(state: &Arc<dyn StateRole>, queues: &[QueueName], concurrency: usize) -> Result<Self> {
        Self::with_handler(state, queues, concurrency, |_: Job| async { Ok(Done::discard()) })
    }

    /// Starts a worker with another handler.
    pub(crate) fn with_handler(
        state: &Arc<dyn StateRole>,
        queues: &[QueueName],
        concurrency: usize,
        handler: impl store_worker::Handler + Clone,
    ) -> Result<Self> {
        let state: Arc<dyn StateRole> = Arc::clone(state);
        let mut builder = Worker::new(state).with_concurrency(concurrency);
        for queue in queues {
            builder = builder.with_queue(queue.clone(), handler.clone());
        }
        let worker = builder.build()?;
        let handle = worker.handle();
        let task = tokio::spawn(async move {
            worker.run().await?;
            Ok(())
        });
        Ok(Self { handle, task })
    }

    /// How many jobs are settled as done.
    pub(crate) fn completed(&self) -> u64 {
        self.handle.stats().completed
    }

    /// Waits until `count` jobs are settled as done, counted from the worker's start.
    pub(crate) async fn until_completed(&self, count: u64) -> Result<()> {
        until_completed(std::slice::from_ref(self), count).await
    }

    /// Ends the worker after all settlements.
    pub(crate) async fn end(self) -> Result<()> {
        self.handle.shutdown();
        self.task.await?
    }
}

/// Waits until `count` jobs of these workers are settled as done, counted from their start.
pub(crate) async fn until_completed(crews: &[Crew], count: u64) -> Result<()> {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    loop {
        let completed: u64 = crews.iter().map(Crew::completed).sum();
        if completed >= count {
            return Ok(());
        }
        if crews.iter().any(|crew| crew.task.is_finished()) || begun.elapsed() > PATIENCE {
            return Err(format!("the workers have done {completed} of {count} jobs").into());
        }
        ticks.tick().await;
    }
}

/// Sleeps. Only to measure over a time, never to wait for a condition.
pub(crate) async fn let_pass(time: Duration) {
    tokio::time::sleep_until(tokio::time::Instant::now() + time).await;
}
