//! A worker that runs until its queues are empty.

use std::fmt;
use std::io;
use std::time::Duration;

use store_core::{Counts, Error, JobState, PageRequest, QueueName, Timestamp};
use store_worker::{Worker, WorkerReport};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};

use crate::State;

/// How often the queues are checked.
const CHECK: Duration = Duration::from_millis(2);

/// Runs a worker until its queues and their outboxes have no job that is ready, running or due now, for at most 30 s, and shuts it down. See
/// [`run_until_empty_within`].
///
/// Jobs that are scheduled for later remain, including retries. To run them, move the clock and run another worker.
///
/// ```
/// use twinstore::prelude::*;
/// use twinstore::testing;
///
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct Mail(String);
/// # impl twinstore::queue::JobType for Mail { const QUEUE: &'static str = "mails"; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (stores, _) = testing::stores();
/// let state = stores.state();
/// let mail = Mail("ann@example.org".into());
/// state.queue_of::<Mail>().push(&mail).await?;
/// let worker = state.worker().with_handler(async |_: Mail, _: Job| Ok(())).build()?;
/// let report = testing::run_until_empty(worker, state).await?;
/// assert_eq!(report.stats.completed, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`run_until_empty_within`].
pub async fn run_until_empty(worker: Worker, state: &State) -> Result<WorkerReport, NotEmpty> {
    run_until_empty_within(worker, state, Duration::from_secs(30)).await
}

/// [`run_until_empty`] with this time limit.
///
/// `state` is the store on which the worker runs. Without a manual clock, jobs become due by this machine's clock. Dropping
/// the future aborts the worker; the leases of its jobs expire.
///
/// ```
/// use twinstore::prelude::*;
/// use twinstore::testing;
///
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct Mail(String);
/// # impl twinstore::queue::JobType for Mail { const QUEUE: &'static str = "mails"; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (stores, _) = testing::stores();
/// let state = stores.state();
/// let mail = Mail("ann@example.org".into());
/// state.queue_of::<Mail>().push(&mail).await?;
/// let worker = state.worker().with_handler(async |_: Mail, _: Job| Ok(())).build()?;
/// let report = testing::run_until_empty_within(worker, state, std::time::Duration::from_secs(5)).await?;
/// assert_eq!(report.stats.completed, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`NotEmpty::Left`] if jobs are left after this time, or in a paused queue; it has the number of jobs per queue and state, and
/// the worker is ended. [`NotEmpty::Unconfirmed`] if the queues were empty after this time, but not yet in two checks in a row.
/// [`NotEmpty::Worker`] if the worker ends with an error. [`NotEmpty::Store`] if the store cannot report the jobs of a queue.
pub async fn run_until_empty_within(worker: Worker, state: &State, within: Duration) -> Result<WorkerReport, NotEmpty> {
    let deadline = Instant::now() + within;
    let (queues, handle) = (with_outboxes(&worker), worker.handle());
    // Dropping the set aborts the worker.
    let mut running = JoinSet::new();
    running.spawn(worker.run());
    let mut settled_before = None;
    let end = loop {
        let left = left(state, &queues).await.map_err(NotEmpty::Store)?;
        // A handler can push into a queue that was checked before. So two checks in a row must find all queues empty, and no
        // job may have ended between them.
        let stats = handle.stats();
        if left.is_empty() && settled_before == Some(stats) {
            break Ok(());
        }
        settled_before = left.is_empty().then_some(stats);
        if let Some(ended) = running.try_join_next() {
            let report = report(ended)?;
            let left = self::left(state, &queues).await.map_err(NotEmpty::Store)?;
            return if left.is_empty() { Ok(report) } else { Err(NotEmpty::Left(left)) };
        }
        let is_paused = !left.is_empty() && left.iter().all(|left| left.counts.paused && left.counts.running == 0);
        if is_paused || Instant::now() >= deadline {
            break Err(if left.is_empty() { NotEmpty::Unconfirmed } else { NotEmpty::Left(left) });
        }
        sleep(CHECK).await;
    };
    match &end {
        Ok(()) => handle.shutdown(),
        Err(_) => handle.shutdown_now(),
    }
    let ended = timeout_at(deadline.max(Instant::now() + CHECK * 1000), running.join_next()).await;
    let ended = match ended {
        Ok(ended) => ended,
        Err(late) => return Err(end.err().unwrap_or(NotEmpty::Worker(io::Error::other(late)))),
    };
    let report = ended.map_or_else(|| Err(NotEmpty::Worker(io::Error::other("it has no task"))), report)?;
    end.map(|()| report)
}

/// The report of a worker's task.
fn report(ended: Result<io::Result<WorkerReport>, JoinError>) -> Result<WorkerReport, NotEmpty> {
    ended.map_err(io::Error::other).flatten().map_err(NotEmpty::Worker)
}

/// The queues of a worker, and their outboxes.
fn with_outboxes(worker: &Worker) -> Vec<QueueName> {
    worker.queues().flat_map(|queue| [queue.clone(), queue.outbox()]).collect()
}

async fn left(state: &State, queues: &[QueueName]) -> Result<Vec<Left>, Error> {
    let mut left = Vec::new();
    for queue in queues {
        let counts = state.inspect().counts(queue).await?;
        let due = if counts.scheduled > 0 { due(state, queue).await? } else { 0 };
        if counts.ready + counts.running + due > 0 {
            left.push(Left { queue: queue.clone(), counts, due });
        }
    }
    Ok(left)
}

/// How many scheduled jobs are due, up to a page of them. They are listed in the order in which they become due.
async fn due(state: &State, queue: &QueueName) -> Result<u64, Error> {
    let now = state.clock().manual_now().unwrap_or_else(Timestamp::system_now);
    let page = state.inspect().list(queue, JobState::Scheduled, PageRequest::default()).await?;
    Ok(page.items.iter().filter(|job| job.at.is_some_and(|at| at <= now)).count() as u64)
}

/// What is left in one queue.
///
/// ```
/// use twinstore::prelude::*;
/// use twinstore::testing;
///
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct Mail(String);
/// # impl twinstore::queue::JobType for Mail { const QUEUE: &'static str = "mails"; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (stores, _) = testing::stores();
/// let state = stores.state();
/// let mail = Mail("ann@example.org".into());
/// state.queue_of::<Mail>().push(&mail).await?;
/// state.control().pause(&"mails".try_into()?).await?;
/// let worker = state.worker().with_handler(async |_: Mail, _: Job| Ok(())).build()?;
/// let error = testing::run_until_empty(worker, state).await.unwrap_err();
/// let testing::NotEmpty::Left(left) = error else { panic!("{error}") };
/// assert_eq!(left[0].to_string(), "mails (paused): 1 ready, 0 running, 0 due");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Left {
    /// The queue.
    pub queue: QueueName,
    /// The number of its jobs per state.
    pub counts: Counts,
    /// How many of the scheduled jobs are due now.
    pub due: u64,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queue, counts, due } = self;
        let paused = if counts.paused { " (paused)" } else { "" };
        write!(f, "{queue}{paused}: {} ready, {} running, {due} due", counts.ready, counts.running)
    }
}

/// Why the queues of a worker are not empty.
///
/// ```
/// use twinstore::prelude::*;
/// use twinstore::testing;
///
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct Mail(String);
/// # impl twinstore::queue::JobType for Mail { const QUEUE: &'static str = "mails"; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (stores, _) = testing::stores();
/// let state = stores.state();
/// let mail = Mail("ann@example.org".into());
/// state.queue_of::<Mail>().push(&mail).await?;
/// state.control().pause(&"mails".try_into()?).await?;
/// let worker = state.worker().with_handler(async |_: Mail, _: Job| Ok(())).build()?;
/// let error = testing::run_until_empty(worker, state).await.unwrap_err();
/// assert_eq!(error.to_string(), "jobs are left: mails (paused): 1 ready, 0 running, 0 due");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotEmpty {
    /// Jobs are left.
    #[error("jobs are left: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Left(Vec<Left>),
    /// The queues were empty when the time was over, but a handler may have pushed a job since: two checks in a row were not
    /// possible. Allow more time.
    #[error("the queues were not yet empty in two checks in a row when the time was over; allow more time")]
    Unconfirmed,
    /// The store could not report the jobs of a queue.
    #[error("the queues cannot be checked")]
    Store(#[source] Error),
    /// The worker did not run or did not end.
    #[error("the worker did not run to its end")]
    Worker(#[source] io::Error),
}
