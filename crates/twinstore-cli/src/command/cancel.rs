//! `twinstore cancel`

use serde::Serialize;
use store_core::{JobId, JobState, QueueName};

use super::{Common, Write};
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::store::Store;

/// Cancel jobs: remove those that do not run, and ask the workers to stop those that run.
///
/// A running job may still complete or die before its worker reads the request. Exits with 1 if a job is finished or
/// unknown.
///
/// JSON fields: queue, id, outcome (removed, would_remove, requested, would_request, finished, unknown), written.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Cancel {
    /// The queue
    queue: QueueName,
    /// The ids of the jobs
    #[arg(value_name = "ID", required = true)]
    ids: Vec<JobId>,
    #[command(flatten)]
    write: Write,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct CancelRow<'a> {
    queue: &'a QueueName,
    id: &'a JobId,
    outcome: &'static str,
    written: bool,
}

impl Row for CancelRow<'_> {
    const HEADINGS: &'static [&'static str] = &["QUEUE", "ID", "OUTCOME"];

    fn cells(&self) -> Vec<String> {
        vec![self.queue.to_string(), self.id.to_string(), self.outcome.replace('_', " ")]
    }
}

impl Cancel {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        store.existing(&self.queue).await?;
        let (state, queue, written) = (store.state(), &self.queue, self.write.write);
        let mut is_complete = true;
        for id in &self.ids {
            let outcome = match written {
                true => state.cancel(queue, id).await?.name(),
                false => foreseen(state.get(queue, id).await?.map(|job| job.state)),
            };
            is_complete &= !matches!(outcome, "finished" | "unknown");
            output.rows(&[CancelRow { queue, id, outcome, written }])?;
        }
        self.write.report();
        if is_complete { Ok(()) } else { Err(Failure::Incomplete) }
    }
}

fn foreseen(state: Option<JobState>) -> &'static str {
    match state {
        Some(JobState::Ready | JobState::Scheduled) => "would_remove",
        Some(JobState::Running) => "would_request",
        Some(JobState::Completed | JobState::Dead) => "finished",
        _ => "unknown",
    }
}
