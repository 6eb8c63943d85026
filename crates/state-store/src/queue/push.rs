//! [`Queue::push`](store_core::Queue::push)

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use redis_link::{Answer, Arg};
use store_core::{Durability, Error, JobId, NewJob, Op, Pushed, QueueName, Receipt, Result, TraceContext, millis_ceil};

use super::{packed_id, parcel, record, scripts};
use crate::StateStore;

const OP: Op = Op::QueuePush;

/// One call; the jobs have been validated.
pub(super) async fn push(
    store: &StateStore,
    queue: &QueueName,
    jobs: &[NewJob],
    durability: Durability,
) -> Result<Receipt<Vec<Pushed>>> {
    let jobs: Vec<NewJob> = jobs.iter().map(with_id).collect();
    let jobs = &jobs[..];
    let args = args(store, jobs);
    let (answer, reached) = store.call_durable(OP, &scripts::PUSH, queue, args, durability).await?;
    Ok(Receipt::new(read(answer, jobs)?, reached))
}

fn with_id(job: &NewJob) -> NewJob {
    job.clone().with_id(id_of(job))
}

fn id_of(job: &NewJob) -> JobId {
    job.id.clone().unwrap_or_else(JobId::generate)
}

/// All ids and records share one buffer.
fn args(store: &StateStore, jobs: &[NewJob]) -> Vec<Arg> {
    let tracestate = |job: &NewJob| job.trace.as_ref().and_then(TraceContext::tracestate).map_or(0, str::len);
    let bytes =
        |job: &NewJob| 3 * id_of(job).as_str().len() + record::MAX_OVERHEAD + tracestate(job) + job.payload.len();
    let mut buffer = BytesMut::with_capacity(jobs.iter().map(bytes).sum());
    let ids: Vec<Bytes> = jobs
        .iter()
        .map(|job| {
            packed_id::pack(&id_of(job), &mut buffer);
            buffer.split().freeze()
        })
        .collect();
    let priority = parcel::priority_of_all(jobs).filter(|_| are_different(&ids));
    let mut args = Vec::with_capacity(3 + 2 * jobs.len());
    args.push(Arg::from(jobs.len()));
    args.push(priority.map_or(Arg::fixed(""), |priority| Arg::from(u32::from(priority.index()))));
    if priority.is_some() && jobs.len() > 1 {
        parcel::encode(jobs, &ids, &mut buffer, |parcel, runs| args.extend([parcel, runs].map(Arg::Bytes)));
        return args;
    }
    args.extend(ids.iter().map(Arg::from));
    for job in jobs {
        record::encode(job, &mut buffer);
        args.push(Arg::Bytes(buffer.split().freeze()));
    }
    if let (Some(_), [id]) = (priority, &ids[..]) {
        packed_id::put_runs([id.as_ref()].into_iter(), &mut buffer);
        args.push(Arg::Bytes(buffer.split().freeze()));
        return args;
    }
    let delays = jobs.iter().map(|job| millis_ceil(job.delay)).filter(|&delay| delay > 0);
    let plain = args.len();
    args.extend(delays.map(Arg::from));
    if args.len() > plain {
        args.push(store.packing_bounds_arg());
    }
    args
}

fn are_different(ids: &[Bytes]) -> bool {
    let mut seen = HashSet::with_capacity(ids.len());
    ids.iter().all(|id| seen.insert(id.as_ref()))
}

fn read(answer: Answer, jobs: &[NewJob]) -> Result<Vec<Pushed>> {
    let mut reply = answer.reader(OP);
    if reply.next_word()?.as_ref() != b"pushed" {
        return Err(reply.unknown_word());
    }
    let mut pushed: Vec<Pushed> = jobs.iter().map(|job| Pushed::Created { id: id_of(job) }).collect();
    while reply.remaining() > 0 {
        let position = reply.next_u64()?;
        let word = reply.next_word()?;
        let holder = reply.next_bytes()?;
        let answer = match word.as_ref() {
            b"duplicate" => Pushed::Duplicate,
            b"held" => Pushed::Held { by: super::read_id(OP, &holder)? },
            _ => return Err(reply.unknown_word()),
        };
        let place = usize::try_from(position).ok().and_then(|position| pushed.get_mut(position));
        *place.ok_or_else(|| Error::corrupt(OP, "the reply names a job that was not sent"))? = answer;
    }
    Ok(pushed)
}
