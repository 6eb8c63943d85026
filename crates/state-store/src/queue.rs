//! Queues. One partition each; each call is one script in one round trip, or a wait on the server.

mod claim;
mod control;
mod extend;
mod inspect;
mod job_state;
mod list;
mod packed_id;
mod parcel;
mod push;
mod push_group;
mod record;
pub(crate) mod scripts;
mod settle;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use redis_link::keys::QueueKeys;
use redis_link::{Answer, Arg, Script};
use store_core::{
    Claim, ClaimRequest, Durability, Error, Extended, Extension, JobId, NewJob, Op, PackingBounds, PlainWaiter, Pushed,
    Queue, QueueName, Reached, Receipt, Result, Retention, Settled, Settlement, Waiter, millis_ceil,
};

use crate::StateStore;

pub(crate) use push_group::PushGroups;

/// The only partition of a queue.
const PARTITION: u16 = 0;

/// A dropped call may have been executed. Push, extend and settle may be sent again; jobs of a dropped claim return
/// when its lease expires. Cost of a push, claim, extension or settlement of n plain jobs: a fixed number of commands
/// inside one script and a few per 50 jobs, O(n log r) with r running jobs, independent of how many wait. Jobs with a
/// delay, a unique key or an earlier attempt cost a few more commands each; the heads of the scripts state how many.
#[async_trait]
impl Queue for StateStore {
    async fn push(&self, queue: &QueueName, jobs: &[NewJob], durability: Durability) -> Result<Receipt<Vec<Pushed>>> {
        push_group::push(self, queue, jobs, durability).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        claim::claim(self, request).await
    }

    async fn extend(&self, queue: &QueueName, jobs: &[Extension], lasting: Duration) -> Result<Vec<Extended>> {
        extend::extend(self, queue, jobs, lasting).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        durability: Durability,
    ) -> Result<Receipt<Vec<Settled>>> {
        settle::settle(self, queue, settlements, durability).await
    }

    async fn wait(&self, queues: &[QueueName], up_to: Duration) -> Result<Option<QueueName>> {
        wait::wait(self, queues, up_to).await
    }

    fn waiter(&self) -> Arc<dyn Waiter> {
        Arc::new(PlainWaiter::new(self.clone()))
    }
}

impl StateStore {
    async fn call(&self, op: Op, script: &Script, queue: &QueueName, args: Vec<Arg>) -> Result<Answer> {
        self.link.call(op, script, &self.queue_keys(queue), args).await
    }

    async fn call_durable(
        &self,
        op: Op,
        script: &Script,
        queue: &QueueName,
        args: Vec<Arg>,
        durability: Durability,
    ) -> Result<(Answer, Reached)> {
        self.link.call_durable(op, script, &self.queue_keys(queue), args, durability).await
    }

    fn queue_keys(&self, queue: &QueueName) -> [String; 19] {
        in_order(QueueKeys::new(&self.namespace, queue, PARTITION))
    }

    /// The last argument of a push with delays: when scheduled jobs are packed.
    fn packing_bounds_arg(&self) -> Arg {
        Arg::Bytes(self.packing_bounds.clone())
    }

    /// The second argument of scripts that may have to remove old completed and dead jobs.
    fn bounds_arg(&self) -> Arg {
        Arg::Bytes(self.bounds.clone())
    }
}

/// The keys of a queue, in the order in which each of its scripts takes them.
fn in_order(keys: QueueKeys) -> [String; 19] {
    let [ready0, ready1, ready2, ready3] = keys.ready;
    [
        keys.jobs,
        keys.state,
        ready0,
        ready1,
        ready2,
        ready3,
        keys.due,
        keys.leased,
        keys.completed,
        keys.dead,
        keys.unique,
        keys.unique_until,
        keys.meta,
        keys.wake,
        keys.batches,
        keys.batch_leases,
        keys.batch_of,
        keys.packed,
        keys.packed_due,
    ]
}

/// The bounds of retention: five numbers of 6 bytes.
pub(crate) fn bounds(retention: &Retention) -> Bytes {
    let largest = (1 << 48) - 1;
    let mut bytes = BytesMut::with_capacity(30);
    let dead_for = millis_ceil(retention.dead_for);
    let numbers =
        [dead_for, retention.dead_count, retention.dead_bytes, retention.completed_count, retention.completed_bytes];
    numbers.into_iter().for_each(|number| bytes.put_uint(number.min(largest), 6));
    bytes.freeze()
}

/// When scheduled jobs are packed, as `lua/queue/shelve_some.lua` reads it.
pub(crate) fn packing_bounds(bounds: &PackingBounds) -> Bytes {
    let mut bytes = BytesMut::with_capacity(22);
    let numbers = [bounds.unpacked, bounds.ahead_millis, bounds.most_bytes, bounds.least_bytes];
    numbers.into_iter().for_each(|number| bytes.put_u32(number));
    [bounds.window, bounds.every, bounds.share].into_iter().for_each(|number| bytes.put_u16(number));
    bytes.freeze()
}

/// A packed id as an argument.
fn id_arg(id: &JobId) -> Arg {
    let mut buffer = BytesMut::with_capacity(id.as_str().len());
    packed_id::pack(id, &mut buffer);
    Arg::Bytes(buffer.freeze())
}

/// A packed id of a reply.
fn read_id(op: Op, packed: &[u8]) -> Result<JobId> {
    packed_id::unpack(packed).ok_or_else(|| Error::corrupt(op, "a job has an id that this version cannot decode"))
}
