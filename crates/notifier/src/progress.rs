//! Progress on a terminal.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use twinstore::worker::WorkerHandle;

use crate::report::{Tally, count};

/// A line with the numbers of read and delivered lines so far. Drawn on standard error if that is a terminal.
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
    tally: Arc<Tally>,
}

impl Progress {
    pub(crate) fn new(tally: Arc<Tally>, hidden: bool) -> Self {
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new(0) };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bar:30} {pos}/{len} delivered  {msg}") {
            bar.set_style(style);
        }
        Self { bar, tally }
    }

    /// Says what is wrong with an input, without disturbing the line.
    pub(crate) fn complain(&self, complaint: &str) {
        self.bar.suspend(|| crate::complain(complaint));
    }

    /// Keeps the line up to date.
    pub(crate) fn watch(&self, worker: Option<WorkerHandle>) -> JoinHandle<()> {
        let progress = self.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                if let Some(worker) = &worker {
                    progress.tally.delivered.store(worker.stats().completed, Ordering::Relaxed);
                }
                progress.draw();
            }
        })
    }

    fn draw(&self) {
        let queued = count(&self.tally.queued);
        let delivered = count(&self.tally.delivered);
        self.bar.set_length(queued.max(delivered));
        self.bar.set_position(delivered);
        let (received, duplicates) = (count(&self.tally.received), count(&self.tally.duplicates));
        self.bar.set_message(format!("{received} received, {duplicates} duplicates"));
        self.bar.tick();
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
