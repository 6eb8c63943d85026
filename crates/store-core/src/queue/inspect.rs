//! Looking at a queue.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Priority;
use crate::{HolderName, JobId, Page, PageRequest, QueueName, Result, Timestamp};

/// Looking at a queue. Changes nothing; a job is seen as it is stored, so one whose lease has run out is *running* until
/// the next claim finds it.
#[async_trait]
pub trait QueueInspect: Send + Sync + fmt::Debug {
    /// How many jobs are in each state. Cost independent of their number.
    async fn counts(&self, queue: &QueueName) -> Result<Counts>;

    /// One job, with payload, progress and result.
    async fn get(&self, queue: &QueueName, job: &JobId) -> Result<Option<JobInfo>>;

    /// The jobs in a state, without payloads and results. In the order in which they will be claimed, become due, run out,
    /// are forgotten (completed), or died; in any order where that is one moment. Jobs that move while one reads may be seen twice or not at all.
    async fn list(&self, queue: &QueueName, state: JobState, page: PageRequest) -> Result<Page<JobInfo>>;

    /// Why a job does not run.
    async fn explain(&self, queue: &QueueName, job: &JobId) -> Result<Explanation>;
}

/// The state of a job. ARCHITECTURE.md renders the same diagram; `[*]` is a job that the queue does not have.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It can be claimed.
    Ready,
    /// It waits for its time.
    Scheduled,
    /// It is claimed.
    Running,
    /// It is done and kept with its result.
    Completed,
    /// It has failed for good, or missed its deadline.
    Dead,
}

/// How many jobs are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// Can be claimed.
    pub ready: u64,
    /// Wait for their time.
    pub scheduled: u64,
    /// Are claimed.
    pub running: u64,
    /// Are done and kept.
    pub completed: u64,
    /// Have failed for good.
    pub dead: u64,
    /// Whether the queue is paused.
    pub paused: bool,
}

impl Counts {
    /// Counts in the order of [`JobState`].
    pub fn new(ready: u64, scheduled: u64, running: u64, completed: u64, dead: u64) -> Self {
        Self { ready, scheduled, running, completed, dead, paused: false }
    }

    /// The same of a queue that is paused or not.
    #[must_use]
    pub fn with_paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }

    /// All that are still to be done: ready, scheduled and running.
    pub fn pending(&self) -> u64 {
        self.ready + self.scheduled + self.running
    }
}

/// A job as it is stored.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobInfo {
    /// Its id.
    pub id: JobId,
    /// Where it is in its life.
    pub state: JobState,
    /// How many deliveries have been counted, the running one included.
    pub attempts: u32,
    /// After how many it is dead.
    pub max_attempts: u32,
    /// Its priority.
    pub priority: Priority,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// When it becomes due (scheduled), its lease runs out (running), it is forgotten (completed), or it died (dead).
    pub at: Option<Timestamp>,
    /// Who works on it.
    pub worker: Option<HolderName>,
    /// Whether it was asked to be cancelled while it runs.
    pub cancel_requested: bool,
    /// Why its last delivery failed, or why it is dead.
    pub last_error: Option<String>,
    /// Its payload; empty in listings.
    pub payload: Bytes,
    /// What it last reported while it runs; `None` in listings.
    pub progress: Option<Bytes>,
    /// Its result, when it is completed; `None` in listings.
    pub result: Option<Bytes>,
}

impl JobInfo {
    /// A job with nothing but its place in life; engines fill in the rest.
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// The queue has no such job: never pushed, done, deleted or cancelled.
    Unknown,
    /// It waits for a free worker, behind at most this many.
    WaitsForWorker {
        /// How many ready jobs may be claimed before it.
        ahead_at_most: u64,
    },
    /// The queue is paused.
    Paused,
    /// It waits for its time.
    Scheduled {
        /// When it is due.
        due: Timestamp,
        /// The failure that it waits after; `None` after a delay or a snooze before any failure.
        last_error: Option<String>,
    },
    /// It runs.
    Running {
        /// Where.
        worker: HolderName,
        /// Until when its lease lasts.
        until: Timestamp,
        /// Whether it was asked to be cancelled.
        cancel_requested: bool,
    },
    /// Its lease has run out: the next claim makes it ready again, or dead if it was its last attempt.
    LeaseRanOut {
        /// Who held it.
        worker: HolderName,
        /// When it ran out.
        at: Timestamp,
    },
    /// It is done.
    Completed,
    /// It has failed for good.
    Dead {
        /// Why.
        reason: String,
    },
}
