//! Queues. Each call is one script in one round trip for each partition that it concerns.

/// Evaluates an expression with the shape of a queue until it is `Some`: it is `None` if the queue has another shape by now.
/// `$records`: whether a new queue gets its shape.
macro_rules! with_shape {
    ($store:expr, $op:expr, $queue:expr, $records:expr, |$shape:ident| $called:expr) => {{
        let mut attempts = 0;
        loop {
            let $shape = $store.shape($op, $queue, $records).await?;
            if let Some(answer) = $called {
                break answer;
            }
            attempts += 1;
            if attempts == 3 {
                return Err(crate::queue::recorded::different_shapes($op));
            }
        }
    }};
}

mod batch;
mod batch_state;
mod channels;
mod claim;
pub(crate) mod commit;
mod control;
pub(crate) mod deliver;
mod extend;
mod failing;
mod held;
mod homes;
mod inspect;
mod job_state;
mod kept;
mod list;
mod message;
mod packed_id;
mod partition;
mod passing_on;
mod push;
mod push_group;
mod record;
mod recorded;
mod registrations;
pub(crate) mod schedules;
pub(crate) mod scripts;
mod settle;
mod waiter;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use redis_link::Arg;
use store_core::{
    Claim, ClaimRequest, Durability, Error, Extended, Extension, JobId, NewJob, Op, Pushed, Queue, QueueName, Reached,
    Receipt, Result, Retention, Settled, Settlement, Waiter, millis_ceil,
};

use crate::StateStore;

pub(crate) use failing::Failing;
pub(crate) use homes::{HomeOf, Outboxes};
pub(crate) use kept::KeptPushes;
pub(crate) use partition::Shapes;
pub(crate) use push_group::PushGroups;
pub(crate) use registrations::Waking;

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
        claim::claim(self, request, None).await
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

    fn waiter(&self) -> Arc<dyn Waiter> {
        waiter::waiter(self)
    }
}

impl StateStore {
    /// The argument of scripts that remember a call: for how long, in ms.
    pub(crate) fn remembered_arg(&self, durability: Durability) -> Arg {
        Arg::from(millis_ceil(self.link.remembered_for(durability)))
    }
}

/// The lower of what two calls have reached.
pub(crate) fn lower(one: Reached, other: Reached) -> Reached {
    Reached::new(one.replicas.min(other.replicas), one.on_disk && other.on_disk)
}

/// The bounds of retention of one of so many partitions: five numbers of 6 bytes.
fn bounds(retention: &Retention, of: u16) -> Bytes {
    let largest = (1 << 48) - 1;
    let mut bytes = BytesMut::with_capacity(30);
    let dead_for = millis_ceil(retention.dead_for);
    let of_all = [retention.dead_count, retention.dead_bytes, retention.completed_count, retention.completed_bytes];
    let shares = of_all.map(|number| number.div_ceil(of.into()));
    std::iter::once(dead_for).chain(shares).for_each(|number| bytes.put_uint(number.min(largest), 6));
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
