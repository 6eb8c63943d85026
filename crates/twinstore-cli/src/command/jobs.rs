//! `twinstore jobs`

use store_core::{Cursor, Error, PageRequest, QueueName};

use super::Common;
use super::job::{JobRow, State};
use crate::failure::{Failure, note};
use crate::output::Output;
use crate::progress::Progress;
use crate::store::Store;

/// List the jobs of a queue that are in one state.
///
/// The jobs are in the order in which they are claimed (ready), become due (scheduled), lose their lease (running), are
/// removed (completed) or died (dead); AT is this time. If more jobs follow, a message on standard error gives the --after
/// of the next page.
///
/// JSON fields: queue, id, state, attempts, max_attempts, priority, pushed_at_ms, at_ms, worker, cancel_requested,
/// last_error. Payloads and results are not listed.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Jobs {
    /// The queue
    queue: QueueName,
    /// The state
    #[arg(long, value_enum, default_value_t = State::Ready)]
    state: State,
    /// The most jobs to list
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Where to continue: the value from an earlier page of the same state
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Jobs {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        store.existing(&self.queue).await?;
        let (state, mut left) = (store.state(), self.limit);
        let mut after = self.after.as_ref().map(Cursor::new);
        let mut is_given = after.is_some();
        let progress = Progress::of_listing(left);
        loop {
            let limit = u32::try_from(left).unwrap_or(PageRequest::MAX_LIMIT);
            let request = PageRequest::first(limit);
            let request = match after {
                Some(cursor) => request.with_cursor(cursor),
                None => request,
            };
            let page = state.list(&self.queue, self.state.into(), request).await;
            let page = page.map_err(|error| if is_given { of_cursor(error) } else { error.into() })?;
            is_given = false;
            let rows: Vec<JobRow> = page.items.into_iter().map(|job| JobRow::new(&self.queue, job)).collect();
            output.rows(&rows)?;
            progress.add(rows.len());
            left = left.saturating_sub(rows.len() as u64);
            after = page.next;
            if left == 0 || after.is_none() || output.is_closed() {
                break;
            }
        }
        drop(progress);
        if let Some(next) = after.filter(|_| !output.is_closed()) {
            note(&format!("more jobs follow: --after {}", next.as_str()));
        }
        Ok(())
    }
}

/// The failure of the call with the cursor from the command line.
fn of_cursor(error: Error) -> Failure {
    match error {
        Error::InvalidArgument { .. } => Failure::Usage(format!("--after: {error}")),
        _ => error.into(),
    }
}
