//! The durability that a write requests, the durability that it reached, and the writes that a failover may have lost.

use std::sync::Arc;

pub use store_core::{AcknowledgedWrite, Durabilities, Durability, LossReport, Reached, Receipt};

/// The reports of the writes of this process that failovers may have lost: [`State::loss_reports`](crate::State::loss_reports).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// let mut reports = stores.state().loss_reports();
/// while let Some(report) = reports.next().await {
///     for write in report.may_be_lost.iter().chain(&report.unknown) {
///         println!("{} of {}: {:?} may be lost", write.op, write.name, write.jobs);
///     }
/// }
/// assert!(reports.next().await.is_none()); // this store is embedded: it has no failovers
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LossReports(pub(crate) redis_link::LossReports);

impl LossReports {
    /// Waits for the next report. `None` if there will be none: the stores are closed, or the store is embedded.
    ///
    /// A subscriber that leaves more than 64 reports unread misses the oldest; the log and the metrics have them.
    pub async fn next(&mut self) -> Option<Arc<LossReport>> {
        self.0.next().await
    }
}
