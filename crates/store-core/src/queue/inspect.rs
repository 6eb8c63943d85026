//! [`QueueInspect`]: reads the state of a queue and of its jobs.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Priority;
use crate::json;
use crate::{HolderName, JobId, Page, PageRequest, QueueName, Result, Timestamp};

/// Reads the state of a queue. Its methods change nothing and report a job as it is stored: a job whose lease has expired is
/// *running* until the next claim finds it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::sync::Arc;
/// use twinstore::page::PageRequest;
/// use twinstore::queue::{JobState, NewJob, QueueExt, QueueInspect, QueueName};
///
/// let inspect: Arc<dyn QueueInspect> = stores.state().inspect();
/// let mails = QueueName::new("mails")?;
/// stores.state().queue().push_one(&mails, NewJob::new("to ann")).await?;
/// let page = inspect.list(&mails, JobState::Ready, PageRequest::default()).await?;
/// let job = inspect.get(&mails, &page.items[0].id).await?;
/// assert_eq!(job.unwrap().payload, "to ann");
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait QueueInspect: Send + Sync + fmt::Debug {
    /// `async fn counts(&self, queue: &QueueName) -> Result<Counts>`
    ///
    /// Counts the jobs in each state. One round trip; the cost does not depend on the number of jobs.
    async fn counts(&self, queue: &QueueName) -> Result<Counts>;

    /// `async fn get(&self, queue: &QueueName, job: &JobId) -> Result<Option<JobInfo>>`
    ///
    /// Returns one job with its payload, progress and result. `None` if the queue has no such job. One round trip.
    async fn get(&self, queue: &QueueName, job: &JobId) -> Result<Option<JobInfo>>;

    /// `async fn list(&self, queue: &QueueName, state: JobState, page: PageRequest) -> Result<Page<JobInfo>>`
    ///
    /// Lists the jobs in a state, without payloads, progress and results. One round trip per page.
    ///
    /// | state | order |
    /// |---|---|
    /// | ready | the order of claims |
    /// | scheduled | by due time |
    /// | running | by the end of the lease |
    /// | completed | by the end of the time for which the result is kept |
    /// | dead | by the time of death |
    ///
    /// Jobs with equal times come in any order. A job that changes its state between two pages may appear twice or not at
    /// all.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the cursor belongs to another listing.
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the engine does not have this state.
    async fn list(&self, queue: &QueueName, state: JobState, page: PageRequest) -> Result<Page<JobInfo>>;

    /// `async fn explain(&self, queue: &QueueName, job: &JobId) -> Result<Explanation>`
    ///
    /// Reports why a job does not run. One round trip.
    async fn explain(&self, queue: &QueueName, job: &JobId) -> Result<Explanation>;
}

/// The state of a job. Each job is in exactly one. ARCHITECTURE.md renders the same diagram; `[*]` is a job that the queue does not have.
///
/// ```text
/// stateDiagram-v2
///     [*] --> Ready: push
///     [*] --> Scheduled: push with a delay
///     Scheduled --> Ready: due, promote
///     Ready --> Running: claim
///     Running --> Ready: release, retry, snooze, lease expired
///     Running --> Scheduled: retry or snooze after a delay
///     Running --> Completed: complete, result kept
///     Running --> Dead: dead, last attempt failed
///     Ready --> Dead: deadline missed
///     Dead --> Ready: replay
///     Ready --> [*]: cancel, delete
///     Scheduled --> [*]: cancel, delete
///     Running --> [*]: complete, cancelled
///     Completed --> [*]: retention, delete
///     Dead --> [*]: retention, delete
/// ```
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::queue::{JobState, NewJob, QueueExt, QueueName};
///
/// let mails = QueueName::new("mails")?;
/// let job = NewJob::new("to ann").with_delay(Duration::from_secs(60));
/// let pushed = stores.state().queue().push_one(&mails, job).await?;
/// let id = pushed.id().expect("a new job").clone();
/// let state = stores.state().inspect().get(&mails, &id).await?.unwrap().state;
/// assert_eq!(state, JobState::Scheduled);
/// assert!(!state.is_finished());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum JobState {
    /// Workers can claim it.
    Ready,
    /// It waits for its due time.
    Scheduled,
    /// A worker has claimed it.
    Running,
    /// It is done. It is kept with its result.
    Completed,
    /// It has failed for good, or missed its deadline.
    Dead,
}

impl JobState {
    /// All states, in the order of a job's life.
    pub const ALL: [JobState; 5] =
        [JobState::Ready, JobState::Scheduled, JobState::Running, JobState::Completed, JobState::Dead];

    /// The name: `ready`, `scheduled`, `running`, `completed` or `dead`.
    pub fn name(self) -> &'static str {
        match self {
            JobState::Ready => "ready",
            JobState::Scheduled => "scheduled",
            JobState::Running => "running",
            JobState::Completed => "completed",
            JobState::Dead => "dead",
        }
    }

    /// Whether the job is over: completed or dead.
    pub fn is_finished(self) -> bool {
        matches!(self, JobState::Completed | JobState::Dead)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many jobs of a queue are in each state.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::queue::{Counts, NewJob, QueueExt, QueueName};
///
/// let mails = QueueName::new("mails")?;
/// let queue = stores.state().queue();
/// queue.push_one(&mails, NewJob::new("to ann")).await?;
/// queue.push_one(&mails, NewJob::new("to bob").with_delay(Duration::from_secs(60))).await?;
/// let counts: Counts = stores.state().inspect().counts(&mails).await?;
/// assert_eq!((counts.ready, counts.scheduled, counts.pending()), (1, 1, 2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// How many jobs workers can claim.
    pub ready: u64,
    /// How many jobs wait for their due time.
    pub scheduled: u64,
    /// How many jobs workers have claimed.
    pub running: u64,
    /// How many jobs are done and kept.
    pub completed: u64,
    /// How many jobs have failed for good.
    pub dead: u64,
    /// Whether the queue is paused.
    pub paused: bool,
}

impl Counts {
    /// The counts of a queue that is not paused, in the order of [`JobState::ALL`].
    pub fn new(ready: u64, scheduled: u64, running: u64, completed: u64, dead: u64) -> Self {
        Self { ready, scheduled, running, completed, dead, paused: false }
    }

    /// Sets whether the queue is paused.
    #[must_use]
    pub fn with_paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }

    /// How many jobs are not finished: ready, scheduled and running.
    pub fn pending(&self) -> u64 {
        self.ready + self.scheduled + self.running
    }
}

/// A job as it is stored.
///
/// In JSON, times are milliseconds since 1970-01-01 UTC in fields that end in `_ms`. The bytes of the payload, the progress
/// and the result do not appear, because they may be private; `payload_bytes`, `progress_bytes` and `result_bytes` give
/// their lengths, and are absent where there are none.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::queue::{JobInfo, JobState, NewJob, QueueExt, QueueName};
/// use twinstore::worker::{Done, Job};
///
/// let mails = QueueName::new("mails")?;
/// let job = NewJob::new("to ann");
/// # let pushed = stores.state().queue().push_one(&mails, job).await?;
/// let id = pushed.id().expect("a new job").clone();
/// let handler = async |_: Job| Ok(Done::keep("sent", Duration::from_secs(3600)));
/// # let worker = stores.state().worker().with_queue("mails", handler).build()?;
/// # twinstore::testing::run_until_empty(worker, stores.state()).await?;
/// // after the handler has run
/// let info: JobInfo = stores.state().inspect().get(&mails, &id).await?.unwrap();
/// assert_eq!((info.state, info.result), (JobState::Completed, Some("sent".into())));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobInfo {
    /// The id.
    pub id: JobId,
    /// The state.
    pub state: JobState,
    /// How many deliveries have counted as attempts, the running one included.
    pub attempts: u32,
    /// After how many failed attempts the job is dead.
    pub max_attempts: u32,
    /// The priority.
    pub priority: Priority,
    /// When it was pushed.
    #[serde(rename = "pushed_at_ms")]
    pub pushed_at: Timestamp,
    /// When it becomes due (scheduled), its lease expires (running), it is removed (completed), or it died (dead). `None` for
    /// a ready job.
    #[serde(rename = "at_ms")]
    pub at: Option<Timestamp>,
    /// The worker of a running job.
    pub worker: Option<HolderName>,
    /// Whether somebody has requested that the running job be cancelled.
    pub cancel_requested: bool,
    /// Why its last delivery failed, or why it is dead.
    pub last_error: Option<String>,
    /// The payload. Empty in listings.
    #[serde(rename = "payload_bytes", serialize_with = "json::len", skip_serializing_if = "Bytes::is_empty")]
    pub payload: Bytes,
    /// The progress that the worker reported last, while the job runs. `None` in listings.
    #[serde(rename = "progress_bytes", serialize_with = "json::len_of", skip_serializing_if = "Option::is_none")]
    pub progress: Option<Bytes>,
    /// The result of a completed job. `None` in listings.
    #[serde(rename = "result_bytes", serialize_with = "json::len_of", skip_serializing_if = "Option::is_none")]
    pub result: Option<Bytes>,
}

impl JobInfo {
    /// The largest result or progress of a job, in bytes: 64 KiB.
    pub const MAX_RESULT_BYTES: usize = 64 << 10;

    /// Reasons and errors are truncated to this many bytes, at a character boundary.
    pub const MAX_REASON_BYTES: usize = 1024;

    /// A job with its id, state and time of push. Engines set the other fields.
    pub fn new(id: JobId, state: JobState, pushed_at: Timestamp) -> Self {
        Self {
            id,
            state,
            attempts: 0,
            max_attempts: 0,
            priority: Priority::Normal,
            pushed_at,
            at: None,
            worker: None,
            cancel_requested: false,
            last_error: None,
            payload: Bytes::new(),
            progress: None,
            result: None,
        }
    }
}

impl fmt::Debug for JobInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobInfo")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Why a job does not run.
///
/// In JSON, `why` names the variant in snake case (`{"why":"waits_for_worker","ahead_at_most":3}`). Times are milliseconds
/// since 1970-01-01 UTC in fields that end in `_ms`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::queue::{Explanation, NewJob, QueueExt, QueueName};
///
/// let mails = QueueName::new("mails")?;
/// let job = NewJob::new("to ann");
/// let pushed = stores.state().queue().push_one(&mails, job).await?;
/// let id = pushed.id().expect("a new job").clone();
/// let why = stores.state().inspect().explain(&mails, &id).await?;
/// assert_eq!(why, Explanation::WaitsForWorker { ahead_at_most: 0 });
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Explanation {
    /// The queue has no such job. It was never pushed, or it is done, deleted or cancelled.
    Unknown,
    /// It waits for a free worker.
    WaitsForWorker {
        /// How many ready jobs workers may claim before it, at most.
        ahead_at_most: u64,
    },
    /// The queue is paused.
    Paused,
    /// It waits for its due time.
    Scheduled {
        /// When it is due.
        #[serde(rename = "due_ms")]
        due: Timestamp,
        /// Why its last attempt failed. `None` if it has not failed yet.
        last_error: Option<String>,
    },
    /// It runs.
    Running {
        /// The worker that runs it.
        worker: HolderName,
        /// When its lease expires unless it is extended.
        #[serde(rename = "until_ms")]
        until: Timestamp,
        /// Whether somebody has requested that it be cancelled.
        cancel_requested: bool,
    },
    /// Its lease has expired. The next claim makes it ready again, or dead if this was its last attempt.
    LeaseRanOut {
        /// The worker that held the lease.
        worker: HolderName,
        /// When the lease expired.
        #[serde(rename = "at_ms")]
        at: Timestamp,
    },
    /// It is done.
    Completed,
    /// It has failed for good.
    Dead {
        /// Why it failed.
        reason: String,
    },
}
