//! Recorded commits, and recorded deliveries of what they send elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use store_core::{ClaimedJob, Delivered, Homes, JobLease, OutboxEntry, RunsRemoved};
use twinstore::Result;
use twinstore::durability::{Durability, Receipt};
use twinstore::home::{Commit, Committed, Delivery, Home};
use twinstore::lease::Fence;
use twinstore::queue::{NewJob, QueueName, UniqueKey};
use twinstore::time::Timestamp;

use super::queue::pushed_job;
use super::{Recorded, record};
use crate::history::{Answer, Call, Destination, PushedJob, Recorder, Sent};

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
        let sent = self.sent(commit)?;
        let invocation = self.recorder.invoke(Call::Commit { queue, job, fence, next, sent });
        let result = self.inner.commit(commit, durability).await;
        record(invocation, result, |receipt| Answer::One(matches!(receipt.value, Committed::Done(_))))
    }
    /// The deliveries of a commit. The queue has one partition.
    fn sent(&self, commit: &Commit) -> Result<Vec<Sent>> {
        let outbox = self.queue.outbox();
        let entries = commit.prepared(&self.queue, 0)?.entries(0)?;
        let sent = |entry: NewJob| {
            let to = destination(&OutboxEntry::new(outbox.clone(), claimed(&entry), Instant::now(), Duration::ZERO));
            Sent { outbox: outbox.to_string(), entry: pushed_job(&entry), to }
        };
        Ok(entries.into_iter().map(sent).collect())
    }
}

#[async_trait]
impl Homes for Recorded<dyn Homes> {
    /// Its commits are not recorded.
    fn home(&self, queue: &QueueName, key: &UniqueKey) -> Arc<dyn Home> {
        self.inner.home(queue, key)
    }

    async fn deliver(&self, entry: &OutboxEntry, durability: Durability) -> Result<Delivered> {
        let (outbox, id, fence) = (entry.outbox.to_string(), entry.job.id().to_string(), entry.job.lease.fence.get());
        let call = Call::Deliver { outbox, entry: id, fence, to: destination(entry) };
        let invocation = self.recorder.invoke(call);
        record(invocation, self.inner.deliver(entry, durability).await, |delivered| {
            let word = match delivered {
                Delivered::Done => "done",
                Delivered::Refused(_) => "refused",
                Delivered::Lost => "lost",
            };
            Answer::Words(vec![word.to_owned()])
        })
    }

    async fn recorded(&self, queue: &QueueName) {
        self.inner.recorded(queue).await;
    }

    async fn sweep_homes(&self, queue: &QueueName) -> Result<RunsRemoved> {
        self.inner.sweep_homes(queue).await
    }
}

/// The entry as a claim returns it.
fn claimed(entry: &NewJob) -> ClaimedJob {
    let (id, at) = (entry.id.clone().expect("an entry has an id"), Timestamp::from_millis(0));
    ClaimedJob::new(JobLease::new(id, Fence::new(1), at), 1, entry.payload.clone(), at, at)
}

/// A job without an id goes to a queue with one partition.
fn destination(entry: &OutboxEntry) -> Destination {
    let delivery = entry.delivery().expect("this version has recorded the entry").expect("the entry is readable");
    match delivery {
        Delivery::Job { queue, job } => {
            let job = job.id.is_none().then(|| entry.job_id(0)).into_iter().fold(job, NewJob::with_id);
            Destination::Job { queue: queue.to_string(), job: pushed_job(&job) }
        }
        Delivery::Event { topic, event } => {
            Destination::Event { topic: topic.to_string(), event: String::from_utf8_lossy(&event.payload).into_owned() }
        }
        other => panic!("the history has no delivery {other:?}"),
    }
}
