//! `twinstore explain`

use serde::Serialize;
use store_core::{Explanation, JobId, JobInfo, QueueName, Timestamp};

use super::Common;
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::store::Store;
use crate::time::utc;

/// Explain why a job does not run.
///
/// Exits with 1 if the queue has no such job: it was never pushed, or it is done, deleted or cancelled.
///
/// JSON fields: queue, id, explanation (unknown, waits_for_worker, paused, scheduled, running, lease_ran_out, completed,
/// dead), ahead_at_most, due_ms, worker, until_ms, cancel_requested, reason, attempts, max_attempts, pushed_at_ms. Fields
/// that do not apply are null.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Explain {
    /// The queue
    queue: QueueName,
    /// The id of the job
    id: JobId,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct ExplainRow {
    queue: QueueName,
    id: JobId,
    explanation: &'static str,
    ahead_at_most: Option<u64>,
    due_ms: Option<Timestamp>,
    worker: Option<String>,
    until_ms: Option<Timestamp>,
    cancel_requested: Option<bool>,
    reason: Option<String>,
    attempts: Option<u32>,
    max_attempts: Option<u32>,
    pushed_at_ms: Option<Timestamp>,
    #[serde(skip)]
    text: String,
}

impl Row for ExplainRow {
    const HEADINGS: &'static [&'static str] = &["ID", "ATTEMPTS", "PUSHED", "EXPLANATION"];

    fn cells(&self) -> Vec<String> {
        let attempts = self.attempts.zip(self.max_attempts).map(|(attempts, max)| format!("{attempts}/{max}"));
        let pushed = self.pushed_at_ms.map_or("-".to_owned(), utc);
        vec![self.id.to_string(), attempts.unwrap_or_else(|| "-".to_owned()), pushed, self.text.clone()]
    }
}

impl ExplainRow {
    fn new(queue: &QueueName, id: &JobId, job: Option<&JobInfo>) -> Self {
        Self {
            queue: queue.clone(),
            id: id.clone(),
            explanation: "unknown",
            ahead_at_most: None,
            due_ms: None,
            worker: None,
            until_ms: None,
            cancel_requested: None,
            reason: None,
            attempts: job.map(|job| job.attempts),
            max_attempts: job.map(|job| job.max_attempts),
            pushed_at_ms: job.map(|job| job.pushed_at),
            text: String::new(),
        }
    }

    fn explain(&mut self, explanation: Explanation) {
        (self.explanation, self.text) = match explanation {
            Explanation::WaitsForWorker { ahead_at_most } => {
                self.ahead_at_most = Some(ahead_at_most);
                ("waits_for_worker", format!("waits for a free worker, behind at most {ahead_at_most} jobs"))
            }
            Explanation::Paused => ("paused", "the queue is paused; `twinstore resume` resumes it".to_owned()),
            Explanation::Scheduled { due, last_error } => {
                let after = last_error.as_ref().map(|error| format!(" after a failure: {error}")).unwrap_or_default();
                (self.due_ms, self.reason) = (Some(due), last_error);
                ("scheduled", format!("waits until {}{after}", utc(due)))
            }
            Explanation::Running { worker, until, cancel_requested } => {
                (self.until_ms, self.cancel_requested) = (Some(until), Some(cancel_requested));
                let asked = if cancel_requested { "; its worker was asked to stop" } else { "" };
                let text = format!("runs on {worker}, whose lease lasts until {}{asked}", utc(until));
                self.worker = Some(worker.to_string());
                ("running", text)
            }
            Explanation::LeaseRanOut { worker, at } => {
                self.until_ms = Some(at);
                let text = format!("the lease of {worker} ran out at {}; the next claim takes the job back", utc(at));
                self.worker = Some(worker.to_string());
                ("lease_ran_out", text)
            }
            Explanation::Completed => ("completed", "is completed".to_owned()),
            Explanation::Dead { reason } => {
                self.reason = Some(reason.clone());
                ("dead", format!("is dead: {reason}"))
            }
            _ => ("unknown", "the queue has no such job: never pushed, done, deleted or cancelled".to_owned()),
        };
    }
}

impl Explain {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        store.existing(&self.queue).await?;
        let state = store.state();
        let job = state.get(&self.queue, &self.id).await?;
        let mut row = ExplainRow::new(&self.queue, &self.id, job.as_ref());
        row.explain(state.explain(&self.queue, &self.id).await?);
        output.rows(std::slice::from_ref(&row))?;
        if row.explanation == "unknown" { Err(Failure::Incomplete) } else { Ok(()) }
    }
}
