//! `twinstore queues`

use serde::Serialize;
use store_core::{Counts, JobState, PageRequest, QueueName, Timestamp};

use super::Common;
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::progress::Progress;
use crate::store::Store;
use crate::time::age;

/// List the queues with the number of jobs in each state.
///
/// The outbox of a queue is the queue QUEUE~outbox. Its jobs are what commits have recorded and workers have not delivered yet; its dead
/// jobs were refused for good, or could not be delivered for 7 days. All commands on queues and jobs accept its name.
///
/// OLDEST is the time since the push of the job that is claimed next: the oldest ready job of the highest priority.
///
/// JSON fields: queue, ready, scheduled, running, completed, dead, paused, oldest_pushed_at_ms (null if no job is ready).
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Queues {
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct QueueRow {
    queue: QueueName,
    ready: u64,
    scheduled: u64,
    running: u64,
    completed: u64,
    dead: u64,
    paused: bool,
    oldest_pushed_at_ms: Option<Timestamp>,
}

impl Row for QueueRow {
    const HEADINGS: &'static [&'static str] =
        &["QUEUE", "READY", "SCHEDULED", "RUNNING", "COMPLETED", "DEAD", "PAUSED", "OLDEST"];

    fn cells(&self) -> Vec<String> {
        let counts = [self.ready, self.scheduled, self.running, self.completed, self.dead];
        let mut cells = vec![self.queue.to_string()];
        cells.extend(counts.iter().map(u64::to_string));
        cells.push(if self.paused { "yes" } else { "no" }.to_owned());
        cells.push(self.oldest_pushed_at_ms.map_or("-".to_owned(), age));
        cells
    }
}

impl Queues {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        let (state, names) = (store.state(), store.queues().await?);
        let progress = Progress::of("reading", names.len() as u64);
        let mut rows = Vec::with_capacity(names.len());
        for queue in names {
            let Counts { ready, scheduled, running, completed, dead, paused, .. } = state.counts(&queue).await?;
            let first = match ready {
                0 => Vec::new(),
                _ => state.list(&queue, JobState::Ready, PageRequest::first(1)).await?.items,
            };
            let oldest_pushed_at_ms = first.first().map(|job| job.pushed_at);
            rows.push(QueueRow { queue, ready, scheduled, running, completed, dead, paused, oldest_pushed_at_ms });
            progress.add(1);
        }
        drop(progress);
        output.rows(&rows)
    }
}
