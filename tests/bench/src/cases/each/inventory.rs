//! The operations of `Inventory`: one step over a namespace that has about as many keys as a step reads.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{
    AcquireRequest, Beat, Durability, HolderName, LeaseName, NewJob, Op, PoolName, QueueExt, QueueName, TopicConfig,
    TopicName,
};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

const LASTING: Duration = Duration::from_secs(60);
/// The number of queues, leases, pools and topics: a queue has four keys, a lease and a topic one and a pool three.
const EXISTING: usize = 100;

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [Op::InventoryQueues, Op::InventoryLeases, Op::InventoryPools, Op::InventoryDeclaredTopics];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let (op, state, member) = (self.0, &stores.state, HolderName::new("bench")?);
        for number in 0..EXISTING {
            let name = format!("each-{number}");
            state.push_one(&QueueName::new(&name)?, NewJob::new("")).await?;
            let request = AcquireRequest::new(LeaseName::new(&name)?, member.clone(), LASTING);
            drop(state.acquire(&request, Durability::Accepted).await?);
            state.beat(&Beat::new(PoolName::new(&name)?, member.clone(), LASTING)).await?;
            state.topics().declare(&TopicName::new(&name)?, &TopicConfig::default()).await?;
        }
        Ok(calls_for(state, numbers, move |state, _| async move {
            let found = match op {
                Op::InventoryQueues => state.queues(None).await?.items.len(),
                Op::InventoryLeases => state.leases(None).await?.items.len(),
                Op::InventoryDeclaredTopics => state.declared_topics(None).await?.items.len(),
                _ => state.pools(None).await?.items.len(),
            };
            expect(found > 0, op)
        }))
    }
}
