//! Recorded topics.

use async_trait::async_trait;
use twinstore::durability::{Durability, Receipt};
use twinstore::topic::{
    EventId, GroupName, NewEvent, PartitionInfo, PartitionLease, ReadOutcome, ReadRequest, SeekTo, TopicConfig,
    TopicName, Topics,
};
use twinstore::{Error, Op, Result};

use super::queue::millis;
use super::{Recorded, record};
use crate::history::{Answer, Call, ReadEvent};

#[async_trait]
impl Topics for Recorded<dyn Topics> {
    /// Not recorded: all declarations of the workload are alike.
    async fn declare(&self, topic: &TopicName, config: &TopicConfig) -> Result<TopicConfig> {
        self.inner.declare(topic, config).await
    }

    async fn append(
        &self,
        topic: &TopicName,
        events: &[NewEvent],
        durability: Durability,
    ) -> Result<Receipt<Vec<EventId>>> {
        let key = events.first().and_then(|event| event.key.as_ref());
        let invocation = self.recorder.invoke(Call::Append {
            topic: topic.to_string(),
            key: key.map(ToString::to_string).unwrap_or_default(),
            events: events.iter().map(|event| text(&event.payload)).collect(),
        });
        record(invocation, self.inner.append(topic, events, durability).await, |receipt| Answer::Appended {
            partition: receipt.value.first().map_or(0, |id| id.partition),
            numbers: receipt.value.iter().map(|id| id.number).collect(),
        })
    }

    async fn read(&self, request: &ReadRequest) -> Result<ReadOutcome> {
        let invocation = self.recorder.invoke(Call::ReadTopic {
            topic: request.topic.to_string(),
            partition: request.partition,
            group: request.group.to_string(),
            consumer: request.consumer.to_string(),
        });
        record(invocation, self.inner.read(request).await, |outcome| match outcome {
            ReadOutcome::Events(batch) => Answer::Events {
                fence: batch.lease.fence.get(),
                lasts_ms: millis(batch.remaining),
                truncated: batch.truncated,
                events: batch
                    .events
                    .iter()
                    .map(|event| ReadEvent { number: event.id.number, event: text(&event.payload) })
                    .collect(),
            },
            ReadOutcome::Taken { .. } => Answer::Taken,
            other => panic!("the history has no answer {other:?}"),
        })
    }

    async fn acknowledge(&self, lease: &PartitionLease, number: u64, durability: Durability) -> Result<Receipt<bool>> {
        let invocation = self.recorder.invoke(Call::Acknowledge {
            topic: lease.topic.to_string(),
            partition: lease.partition,
            group: lease.group.to_string(),
            fence: lease.fence.get(),
            number,
        });
        let result = self.inner.acknowledge(lease, number, durability).await;
        record(invocation, result, |receipt| Answer::One(receipt.value))
    }

    async fn release(&self, lease: &PartitionLease) -> Result<()> {
        let invocation = self.recorder.invoke(Call::ReleasePartition {
            topic: lease.topic.to_string(),
            partition: lease.partition,
            group: lease.group.to_string(),
            fence: lease.fence.get(),
        });
        record(invocation, self.inner.release(lease).await, |()| Answer::Done)
    }

    /// Refused: the checker has no rule for it.
    async fn seek(&self, _: &TopicName, _: &GroupName, _: SeekTo) -> Result<()> {
        Err(Error::unsupported(Op::TopicSeek, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn inspect(&self, _: &TopicName) -> Result<Vec<PartitionInfo>> {
        Err(Error::unsupported(Op::TopicInspect, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn remove_group(&self, _: &TopicName, _: &GroupName) -> Result<()> {
        Err(Error::unsupported(Op::TopicRemoveGroup, "the history has no such call"))
    }
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}
