//! Coalesced pushes. A push that is called while another one to the same queue is under way shares the next call with others.
//!
//! So a single push is one round trip, and many tasks that push one job each cost the server as little as one batch.

use redis_link::{Batcher, Bounds, Load};
use store_core::{Durability, NewJob, Op, Pushed, QueueName, Receipt, Result};

use super::push;
use crate::StateStore;

/// Pushes to one queue with one durability are coalesced.
type Destination = (QueueName, Durability);

/// The pushes of all tasks.
#[derive(Debug)]
pub(crate) struct PushGroups(Batcher<Destination, Vec<NewJob>, Receipt<Vec<Pushed>>>);

impl Default for PushGroups {
    fn default() -> Self {
        let bounds = Bounds { under_way: 1, items: NewJob::MAX_BATCH, bytes: NewJob::MAX_BATCH_BYTES };
        Self(Batcher::new(Op::QueuePush, bounds))
    }
}

/// Pushes immediately, or in one call with the others that wait while a call is under way.
pub(super) async fn push(
    store: &StateStore,
    queue: &QueueName,
    jobs: &[NewJob],
    durability: Durability,
) -> Result<Receipt<Vec<Pushed>>> {
    NewJob::validate_all(jobs)?;
    let load = Load { items: jobs.len(), bytes: jobs.iter().map(|job| job.payload.len()).sum() };
    let alone = || push::push(store, queue, jobs, durability);
    let (owned, name) = (store.clone(), queue.clone());
    let coalesced = move |group| travel(owned.clone(), name.clone(), durability, group);
    let destination = (queue.clone(), durability);
    store.push_groups.0.call_or_else(destination, load, alone, || jobs.to_vec(), coalesced).await
}

/// One call for all. Each push gets its own part of the answer.
async fn travel(
    store: StateStore,
    queue: QueueName,
    durability: Durability,
    group: Vec<Vec<NewJob>>,
) -> Result<Vec<Receipt<Vec<Pushed>>>> {
    let counts: Vec<_> = group.iter().map(Vec::len).collect();
    let jobs: Vec<NewJob> = group.into_iter().flatten().collect();
    let receipt = push::push(&store, &queue, &jobs, durability).await?;
    let mut pushed = receipt.value.into_iter();
    let own = |count| Receipt::new(pushed.by_ref().take(count).collect(), receipt.reached);
    Ok(counts.into_iter().map(own).collect())
}
