//! Recorded commits.

use std::sync::Arc;

use twinstore::Result;
use twinstore::durability::{Durability, Receipt};
use twinstore::home::{Commit, Committed, Home};
use twinstore::queue::QueueName;

use super::queue::pushed_job;
use super::record;
use crate::history::{Answer, Call, PushedJob, Recorder};

/// A home whose commits are recorded; its other calls are not.
#[derive(Clone)]
pub(crate) struct RecordedHome {
    pub(crate) inner: Arc<dyn Home>,
    pub(crate) queue: QueueName,
    pub(crate) recorder: Recorder,
}

impl RecordedHome {
    /// A commit that pushes one job with an id.
    pub(crate) async fn commit(&self, commit: &Commit, durability: Durability) -> Result<Receipt<Committed>> {
        let lease = &commit.settlement.lease;
        let [a, b, c, d, ..] = *commit.request.as_bytes();
        let next = pushed_job(commit.jobs.first().expect("the commit pushes a job"));
        let next = PushedJob { request: u32::from_be_bytes([a, b, c, d]), ..next };
        let (queue, job, fence) = (self.queue.to_string(), lease.job.to_string(), lease.fence.get());
        let invocation = self.recorder.invoke(Call::Commit { queue, job, fence, next });
        let result = self.inner.commit(commit, durability).await;
        record(invocation, result, |receipt| Answer::One(matches!(receipt.value, Committed::Done(_))))
    }
}
