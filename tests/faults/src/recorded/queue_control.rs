//! Recorded control of queues.

use async_trait::async_trait;
use twinstore::Result;
use twinstore::queue::{Cancelled, Deleted, JobId, QueueControl, QueueName, Replayed};

use super::{Recorded, record};
use crate::history::{Answer, Call};

#[async_trait]
impl QueueControl for Recorded<dyn QueueControl> {
    async fn cancel(&self, queue: &QueueName, job: &JobId) -> Result<Cancelled> {
        let invocation = self.recorder.invoke(Call::Cancel { queue: queue.to_string(), job: job.to_string() });
        let result = self.inner.cancel(queue, job).await;
        record(invocation, result, |cancelled| Answer::Words(vec![cancelled.to_string()]))
    }

    async fn replay(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Replayed>> {
        let invocation = self.recorder.invoke(Call::Replay { queue: queue.to_string(), jobs: texts(jobs) });
        let result = self.inner.replay(queue, jobs).await;
        record(invocation, result, |answers| Answer::Each(answers.iter().map(|answer| answer.is_replayed()).collect()))
    }

    async fn delete(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Deleted>> {
        let invocation = self.recorder.invoke(Call::Delete { queue: queue.to_string(), jobs: texts(jobs) });
        let result = self.inner.delete(queue, jobs).await;
        record(invocation, result, |answers| Answer::Words(answers.iter().map(ToString::to_string).collect()))
    }

    async fn promote(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>> {
        let invocation = self.recorder.invoke(Call::Promote { queue: queue.to_string(), jobs: texts(jobs) });
        let result = self.inner.promote(queue, jobs).await;
        record(invocation, result, |answers| Answer::Each(answers.clone()))
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        let invocation = self.recorder.invoke(Call::Pause { queue: queue.to_string() });
        record(invocation, self.inner.pause(queue).await, |()| Answer::Done)
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        let invocation = self.recorder.invoke(Call::Resume { queue: queue.to_string() });
        record(invocation, self.inner.resume(queue).await, |()| Answer::Done)
    }
}

fn texts(jobs: &[JobId]) -> Vec<String> {
    jobs.iter().map(ToString::to_string).collect()
}
