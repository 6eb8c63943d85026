//! Recorded firings of schedules. Their jobs are pushed.

use async_trait::async_trait;
use twinstore::durability::{Durability, Receipt};
use twinstore::page::{Page, PageRequest};
use twinstore::queue::QueueName;
use twinstore::schedule::{
    Advance, Advanced, DueSchedules, Schedule, ScheduleInfo, ScheduleName, SchedulePut, Schedules,
};
use twinstore::{Error, Op, Result};

use super::{Recorded, record};
use crate::history::{Answer, Call, PushedJob};

#[async_trait]
impl Schedules for Recorded<dyn Schedules> {
    /// Not recorded: all puts of the workload are alike.
    async fn put(
        &self,
        queue: &QueueName,
        name: &ScheduleName,
        schedule: &Schedule,
        expected: Option<u64>,
        durability: Durability,
    ) -> Result<Receipt<SchedulePut>> {
        self.inner.put(queue, name, schedule, expected, durability).await
    }

    /// Refused: the checker has no rule for it.
    async fn get(&self, _: &QueueName, _: &ScheduleName) -> Result<Option<ScheduleInfo>> {
        Err(Error::unsupported(Op::ScheduleGet, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn list(&self, _: &QueueName, _: PageRequest) -> Result<Page<ScheduleInfo>> {
        Err(Error::unsupported(Op::ScheduleList, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn delete(&self, _: &QueueName, _: &ScheduleName) -> Result<()> {
        Err(Error::unsupported(Op::ScheduleDelete, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn pause(&self, _: &QueueName, _: &ScheduleName) -> Result<bool> {
        Err(Error::unsupported(Op::SchedulePause, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn resume(&self, _: &QueueName, _: &ScheduleName) -> Result<bool> {
        Err(Error::unsupported(Op::ScheduleResume, "the history has no such call"))
    }

    /// Not recorded: the firing shows what was read.
    async fn due(&self, queue: &QueueName, limit: u32) -> Result<DueSchedules> {
        self.inner.due(queue, limit).await
    }

    async fn advance(&self, queue: &QueueName, advance: &Advance, durability: Durability) -> Result<Receipt<Advanced>> {
        let job = |id: &twinstore::queue::JobId| PushedJob {
            id: id.to_string(),
            request: advance.job.request,
            delay_ms: 0,
            max_attempts: advance.job.retry.max_attempts,
            unique: None,
        };
        let invocation = self.recorder.invoke(Call::Advance {
            queue: queue.to_string(),
            schedule: advance.name.to_string(),
            due_ms: advance.due.iter().map(|due| due.as_millis()).collect(),
            jobs: advance.jobs.iter().map(job).collect(),
        });
        record(invocation, self.inner.advance(queue, advance, durability).await, |receipt| {
            Answer::One(matches!(receipt.value, Advanced::Done { .. }))
        })
    }
}
