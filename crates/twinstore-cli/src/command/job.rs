//! A job in a listing.

use serde::Serialize;
use store_core::{JobId, JobInfo, JobState, QueueName, Timestamp};

use crate::output::Row;
use crate::time::utc;

/// A state, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum State {
    /// It can be claimed
    Ready,
    /// It waits for its time
    Scheduled,
    /// It is claimed
    Running,
    /// It is done, and kept with its result
    Completed,
    /// It has failed and is not tried again
    Dead,
}

impl From<State> for JobState {
    fn from(state: State) -> Self {
        match state {
            State::Ready => JobState::Ready,
            State::Scheduled => JobState::Scheduled,
            State::Running => JobState::Running,
            State::Completed => JobState::Completed,
            State::Dead => JobState::Dead,
        }
    }
}

#[derive(Serialize)]
pub(super) struct JobRow {
    queue: QueueName,
    id: JobId,
    state: JobState,
    attempts: u32,
    max_attempts: u32,
    priority: String,
    pushed_at_ms: Timestamp,
    at_ms: Option<Timestamp>,
    worker: Option<String>,
    cancel_requested: bool,
    last_error: Option<String>,
}

impl JobRow {
    pub(super) fn new(queue: &QueueName, job: JobInfo) -> Self {
        Self {
            queue: queue.clone(),
            id: job.id,
            state: job.state,
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            priority: format!("{:?}", job.priority).to_lowercase(),
            pushed_at_ms: job.pushed_at,
            at_ms: job.at,
            worker: job.worker.map(|worker| worker.to_string()),
            cancel_requested: job.cancel_requested,
            last_error: job.last_error,
        }
    }
}

impl Row for JobRow {
    const HEADINGS: &'static [&'static str] =
        &["ID", "ATTEMPTS", "PRIORITY", "PUSHED", "AT", "WORKER", "CANCEL", "LAST ERROR"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            format!("{}/{}", self.attempts, self.max_attempts),
            self.priority.clone(),
            utc(self.pushed_at_ms),
            self.at_ms.map_or("-".to_owned(), utc),
            self.worker.clone().unwrap_or_else(|| "-".to_owned()),
            if self.cancel_requested { "yes" } else { "no" }.to_owned(),
            self.last_error.clone().unwrap_or_default(),
        ]
    }
}
