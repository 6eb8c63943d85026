//! The operations of `Topics`.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use store_core::{
    Durability, EventBatch, GroupName, HolderName, NewEvent, Op, ReadRequest, RequestId, SeekTo, StateRole,
    TopicConfig, TopicName,
};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

const ACCEPTED: Durability = Durability::Accepted;
/// The bytes of a payload.
const PAYLOAD: &[u8] = &[b'x'; 200];
/// The groups that an inspection shows.
const GROUPS: usize = 10;

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [
        Op::TopicDeclare,
        Op::TopicAppend,
        Op::TopicRead,
        Op::TopicAcknowledge,
        Op::TopicRelease,
        Op::TopicSeek,
        Op::TopicInspect,
        Op::TopicRemoveGroup,
    ];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let op = self.0;
        let batch = prepare(op, stores.state.as_ref()).await?;
        let first = batch.last().unwrap_or_default();
        for number in numbers.clone() {
            if op == Op::TopicAcknowledge {
                append(stores.state.as_ref(), &topic("each")?).await?;
            } else if op == Op::TopicRemoveGroup {
                let own = topic(&format!("each-{number}"))?;
                stores.state.topics().declare(&own, &TopicConfig::default()).await?;
                stores.state.topics().seek(&own, &group(0)?, SeekTo::Start).await?;
            }
        }
        let items = numbers.enumerate().map(|(index, number)| (first + index as u64, number, batch.clone()));
        Ok(calls_for(&stores.state, items, move |state, (acknowledged, number, batch)| async move {
            expect(call(op, state.as_ref(), acknowledged, number, &batch).await?, op)
        }))
    }
}

fn topic(name: &str) -> Result<TopicName> {
    Ok(TopicName::new(name)?)
}

fn group(number: usize) -> Result<GroupName> {
    Ok(GroupName::new(format!("group-{number}"))?)
}

fn consumer(number: usize) -> Result<ReadRequest> {
    let request = ReadRequest::new(topic("each")?, 0, group(number)?, HolderName::new("bench")?);
    Ok(request.with_max(1).with_request(RequestId::from_bytes([7; 16])))
}

async fn append(state: &dyn StateRole, to: &TopicName) -> Result<bool> {
    let events = [NewEvent::new(PAYLOAD)];
    Ok(state.topics().append(to, &events, ACCEPTED).await?.value.len() == 1)
}

async fn read(state: &dyn StateRole, request: &ReadRequest) -> Result<EventBatch> {
    state.topics().read(request).await?.events().ok_or_else(|| "another consumer holds the partition".into())
}

/// An event, and a consumer of each group that holds the partition.
async fn prepare(op: Op, state: &dyn StateRole) -> Result<EventBatch> {
    let each = topic("each")?;
    state.topics().declare(&each, &TopicConfig::default()).await?;
    append(state, &each).await?;
    let batch = read(state, &consumer(0)?).await?;
    for number in 1..if op == Op::TopicInspect { GROUPS } else { 1 } {
        read(state, &consumer(number)?).await?;
    }
    Ok(batch)
}

async fn call(op: Op, state: &dyn StateRole, acknowledged: u64, number: usize, batch: &EventBatch) -> Result<bool> {
    let (topics, each) = (state.topics(), &batch.lease.topic);
    match op {
        Op::TopicDeclare => Ok(topics.declare(each, &TopicConfig::default()).await?.partitions == 1),
        Op::TopicAppend => append(state, each).await,
        Op::TopicRead => Ok(read(state, &consumer(0)?).await?.events.len() == 1),
        Op::TopicAcknowledge => Ok(topics.acknowledge(&batch.lease, acknowledged, ACCEPTED).await?.value),
        Op::TopicRelease => Ok(topics.release(&batch.lease).await.is_ok()),
        Op::TopicSeek => Ok(topics.seek(each, &group(0)?, SeekTo::Start).await.is_ok()),
        Op::TopicInspect => Ok(!topics.inspect(each).await?[0].groups.is_empty()),
        _ => Ok(topics.remove_group(&topic(&format!("each-{number}"))?, &group(0)?).await.is_ok()),
    }
}
