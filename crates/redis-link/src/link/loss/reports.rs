//! The subscription to the reports.

use std::sync::Arc;

use store_core::LossReport;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// The reports of the writes of this link that failovers may have lost: [`LossReports::next`].
pub struct LossReports(Option<Receiver<Arc<LossReport>>>);

impl LossReports {
    /// Without a receiver, there are no reports.
    pub(crate) fn new(receiver: Option<Receiver<Arc<LossReport>>>) -> Self {
        Self(receiver)
    }

    /// For a store without failovers: an embedded one.
    pub fn none() -> Self {
        Self(None)
    }

    /// Waits for the next report. `None` if there will be none: the store is closed, or has no failovers.
    ///
    /// A subscriber that leaves more than 64 reports unread misses the oldest; the log and the metrics have them.
    pub async fn next(&mut self) -> Option<Arc<LossReport>> {
        loop {
            match self.0.as_mut()?.recv().await {
                Ok(report) => return Some(report),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "loss reports were not read in time"),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl std::fmt::Debug for LossReports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LossReports")
    }
}
