//! [`Queue::claim`](store_core::Queue::claim)

use std::time::Duration;

use bytes::Bytes;
use redis_link::{Arg, ReplyReader};
use store_core::{
    Claim, ClaimRequest, ClaimedJob, Error, Fence, JobLease, MAX_BATCH_BYTES, Op, Result, Timestamp, UniqueUntil,
    millis_ceil,
};

use super::job_state::JobStateRecord;
use super::record::Record;
use super::{read_id, scripts};
use crate::StateStore;

const OP: Op = Op::QueueClaim;

pub(super) async fn claim(store: &StateStore, request: &ClaimRequest) -> Result<Claim> {
    request.validate()?;
    let lasting = millis_ceil(request.lease);
    let args = vec![
        store.clock_arg(),
        store.bounds_arg(),
        Arg::from(request.max),
        Arg::from(lasting),
        Arg::from(request.worker.as_str()),
        Arg::from(MAX_BATCH_BYTES),
    ];
    let answer = store.call(OP, &scripts::CLAIM, &request.queue, args).await?;
    let mut reply = answer.reader(OP);
    match reply.next_word()?.as_ref() {
        b"paused" => Ok(Claim::new(Vec::new(), None, true)),
        b"claimed" => read(&mut reply, lasting),
        _ => Err(reply.unknown_word()),
    }
}

fn read(reply: &mut ReplyReader, lasting: u64) -> Result<Claim> {
    let now = Timestamp::from_millis(reply.next_u64()?);
    let fence = Fence::new(reply.next_u64()?);
    let next = reply.next_int()?;
    let until = Timestamp::from_millis(now.as_millis().saturating_add(lasting));
    let mut jobs = Vec::with_capacity(reply.remaining() / 3);
    while reply.remaining() > 0 {
        let (id, record, state) = (reply.next_bytes()?, reply.next_bytes()?, reply.next_bytes()?);
        let lease = JobLease::new(read_id(OP, &id)?, fence, until);
        let job = job(lease, record, state, now);
        jobs.push(job.ok_or_else(|| Error::corrupt(OP, "a job has a form that this version does not know"))?);
    }
    Ok(Claim::new(jobs, u64::try_from(next).ok().map(Duration::from_millis), false))
}

fn job(lease: JobLease, record: Bytes, state: Bytes, now: Timestamp) -> Option<ClaimedJob> {
    let record = Record::decode(record)?;
    let before = JobStateRecord::decode(state)?;
    let held = record.unique.as_ref().filter(|unique| unique.until == UniqueUntil::Finished);
    let lease = lease.with_unique(held.map(|unique| unique.key.clone()));
    let mut job = ClaimedJob::new(lease, before.attempts + 1, record.payload, record.pushed_at, now);
    job.priority = record.priority;
    job.unique = record.unique;
    job.retry = record.retry;
    job.schema = record.schema;
    job.trace = record.trace;
    job.last_error = before.last_error;
    Some(job)
}
