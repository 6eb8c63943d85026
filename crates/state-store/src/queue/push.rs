//! [`Queue::push`](store_core::Queue::push)

use std::collections::HashSet;

use bytes::BytesMut;
use redis_link::{Answer, Arg};
use store_core::{Durability, Error, NewJob, Op, Priority, Pushed, QueueName, Receipt, Result, millis_ceil};

use super::{packed_id, record, scripts};
use crate::StateStore;

const OP: Op = Op::QueuePush;

/// One call; the jobs have been validated.
pub(super) async fn push(
    store: &StateStore,
    queue: &QueueName,
    jobs: &[NewJob],
    durability: Durability,
) -> Result<Receipt<Vec<Pushed>>> {
    let args = args(store, jobs);
    let (answer, reached) = store.call_durable(OP, &scripts::PUSH, queue, args, durability).await?;
    Ok(Receipt::new(read(answer, jobs.len())?, reached))
}

/// All ids and records share one buffer.
fn args(store: &StateStore, jobs: &[NewJob]) -> Vec<Arg> {
    let bytes = |job: &NewJob| job.id.as_str().len() + record::MAX_OVERHEAD + job.payload.len();
    let mut buffer = BytesMut::with_capacity(jobs.iter().map(bytes).sum());
    let mut args = Vec::with_capacity(3 + 2 * jobs.len());
    args.push(store.clock_arg());
    args.push(Arg::from(jobs.len()));
    args.push(plain_priority(jobs).map_or(Arg::fixed(""), |priority| Arg::from(u32::from(priority.index()))));
    for job in jobs {
        packed_id::pack(&job.id, &mut buffer);
        args.push(Arg::Bytes(buffer.split().freeze()));
    }
    for job in jobs {
        record::encode(job, &mut buffer);
        args.push(Arg::Bytes(buffer.split().freeze()));
    }
    let delays = jobs.iter().map(|job| millis_ceil(job.delay)).filter(|&delay| delay > 0);
    args.extend(delays.map(Arg::from));
    args
}

/// The priority of all jobs, if they have one priority, no delay, no unique key, and different ids: the script then has a
/// shorter way.
fn plain_priority(jobs: &[NewJob]) -> Option<Priority> {
    let first = jobs.first()?.priority;
    let is_plain = |job: &NewJob| job.priority == first && job.delay.is_zero() && job.unique.is_none();
    let mut ids = HashSet::with_capacity(jobs.len());
    jobs.iter().all(|job| is_plain(job) && ids.insert(&job.id)).then_some(first)
}

fn read(answer: Answer, jobs: usize) -> Result<Vec<Pushed>> {
    let mut reply = answer.reader(OP);
    if reply.next_word()?.as_ref() != b"pushed" {
        return Err(reply.unknown_word());
    }
    let mut pushed = vec![Pushed::Created; jobs];
    while reply.remaining() > 0 {
        let position = reply.next_u64()?;
        let word = reply.next_word()?;
        let holder = reply.next_bytes()?;
        let answer = match word.as_ref() {
            b"duplicate" => Pushed::Duplicate,
            b"held" => Pushed::Held(super::read_id(OP, &holder)?),
            _ => return Err(reply.unknown_word()),
        };
        let place = usize::try_from(position).ok().and_then(|position| pushed.get_mut(position));
        *place.ok_or_else(|| Error::corrupt(OP, "the reply names a job that was not sent"))? = answer;
    }
    Ok(pushed)
}
