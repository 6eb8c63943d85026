//! `twinstore pause` and `twinstore resume`

use serde::Serialize;
use store_core::QueueName;

use super::{Common, Write};
use crate::failure::Failure;
use crate::output::{Output, Row};
use crate::store::Store;

/// Pause queues: workers claim no further jobs. Running jobs continue, and pushes are accepted.
///
/// JSON fields: queue, paused_before, paused (now, or with --write), written.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Pause {
    /// The queues
    #[arg(value_name = "QUEUE", required = true)]
    queues: Vec<QueueName>,
    #[command(flatten)]
    write: Write,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Resume paused queues.
///
/// JSON fields: queue, paused_before, paused (now, or with --write), written.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Resume {
    /// The queues
    #[arg(value_name = "QUEUE", required = true)]
    queues: Vec<QueueName>,
    #[command(flatten)]
    write: Write,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Serialize)]
struct PauseRow<'a> {
    queue: &'a QueueName,
    paused_before: bool,
    paused: bool,
    written: bool,
}

impl Row for PauseRow<'_> {
    const HEADINGS: &'static [&'static str] = &["QUEUE", "OUTCOME"];

    fn cells(&self) -> Vec<String> {
        let word = if self.paused { "paused" } else { "resumed" };
        let outcome = match (self.paused == self.paused_before, self.written) {
            (true, _) => format!("already {}", if self.paused { "paused" } else { "running" }),
            (false, true) => word.to_owned(),
            (false, false) => format!("would be {word}"),
        };
        vec![self.queue.to_string(), outcome]
    }
}

impl Pause {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        set(store, &self.queues, true, self.write, output).await
    }
}

impl Resume {
    pub(super) async fn run(&self, store: &Store, output: &mut Output) -> Result<(), Failure> {
        set(store, &self.queues, false, self.write, output).await
    }
}

async fn set(
    store: &Store,
    queues: &[QueueName],
    paused: bool,
    write: Write,
    output: &mut Output,
) -> Result<(), Failure> {
    let state = store.state();
    for queue in queues {
        store.existing(queue).await?;
        let paused_before = state.counts(queue).await?.paused;
        match (write.write, paused) {
            (false, _) => {}
            (true, true) => state.pause(queue).await?,
            (true, false) => state.resume(queue).await?,
        }
        output.rows(&[PauseRow { queue, paused_before, paused, written: write.write }])?;
    }
    write.report();
    Ok(())
}
