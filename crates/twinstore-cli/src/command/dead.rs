//! `twinstore dead`

use serde::Serialize;
use store_core::{JobId, JobInfo, JobState, PageRequest, QueueName, Timestamp};

use super::Common;
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::progress::Progress;
use crate::store::Store;
use crate::time::utc;

/// List the dead jobs of a queue, or of all queues, the earliest death first.
///
/// JSON fields: queue, id, reason, attempts, max_attempts, died_at_ms, pushed_at_ms.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Dead {
    /// The queue; all queues if it is absent
    queue: Option<QueueName>,
    /// All queues; this is the default
    #[arg(long, conflicts_with = "queue")]
    all: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct DeadRow {
    queue: QueueName,
    id: JobId,
    reason: String,
    attempts: u32,
    max_attempts: u32,
    died_at_ms: Option<Timestamp>,
    pushed_at_ms: Timestamp,
}

impl DeadRow {
    fn new(queue: &QueueName, job: JobInfo) -> Self {
        Self {
            queue: queue.clone(),
            id: job.id,
            reason: job.last_error.unwrap_or_default(),
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            died_at_ms: job.at,
            pushed_at_ms: job.pushed_at,
        }
    }
}

impl Row for DeadRow {
    const HEADINGS: &'static [&'static str] = &["QUEUE", "ID", "ATTEMPTS", "DIED", "REASON"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.queue.to_string(),
            self.id.to_string(),
            format!("{}/{}", self.attempts, self.max_attempts),
            self.died_at_ms.map_or("-".to_owned(), utc),
            self.reason.clone(),
        ]
    }
}

impl Dead {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        let state = store.state();
        for queue in store.chosen(self.queue.as_ref()).await? {
            let progress = Progress::of_listing(state.counts(&queue).await?.dead);
            let mut request = PageRequest::first(PageRequest::MAX_LIMIT);
            loop {
                let page = state.list(&queue, JobState::Dead, request).await?;
                progress.add(page.items.len());
                let rows: Vec<DeadRow> = page.items.into_iter().map(|job| DeadRow::new(&queue, job)).collect();
                output.rows(&rows)?;
                match page.next.filter(|_| !output.is_closed()) {
                    Some(next) => request = PageRequest::first(PageRequest::MAX_LIMIT).with_cursor(next),
                    None => break,
                }
            }
            if output.is_closed() {
                break;
            }
        }
        Ok(())
    }
}
