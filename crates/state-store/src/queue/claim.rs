//! [`Queue::claim`](store_core::Queue::claim)

use std::time::Duration;

use bytes::Bytes;
use redis_link::{Arg, ReplyReader};
use store_core::{
    Claim, ClaimRequest, ClaimedJob, Error, Fence, JobId, JobLease, NewJob, Op, Result, Timestamp, UniqueUntil,
    millis_ceil,
};

use super::job_state::JobStateRecord;
use super::record::Record;
use super::{packed_id, parcel, scripts};
use crate::StateStore;

const OP: Op = Op::QueueClaim;

/// How much memory small jobs may share with others.
const SHARED_BYTES: usize = 1 << 20;

pub(super) async fn claim(store: &StateStore, request: &ClaimRequest) -> Result<Claim> {
    request.validate()?;
    let lasting = millis_ceil(request.lease);
    let args = vec![
        store.bounds_arg(),
        Arg::from(request.max),
        Arg::from(lasting),
        Arg::from(request.worker.as_str()),
        Arg::from(NewJob::MAX_BATCH_BYTES),
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
    let unreadable = || Error::corrupt(OP, "a job has a form that this version does not know");
    // One that cannot be read keeps its place and its lease: it comes back, and is dead in the end; the others do not suffer.
    let mut jobs: Vec<Option<ClaimedJob>> = Vec::with_capacity(reply.remaining() / 2);
    for _ in 0..reply.next_u64()? {
        let (id, bytes) = (reply.next_bytes()?, reply.next_bytes()?);
        let claimed = |(id, record): (JobId, Record)| claimed(JobLease::new(id, fence, until), record, now);
        if parcel::is_reference(&id) {
            jobs.extend(parcel::decode(&id, bytes).map(|job| job.map(claimed)));
        } else {
            jobs.push(packed_id::unpack(&id).zip(Record::decode(bytes)).map(claimed));
        }
    }
    while reply.remaining() > 0 {
        let position = usize::try_from(reply.next_u64()?).ok();
        let before = JobStateRecord::decode(reply.next_bytes()?);
        let place = position.and_then(|position| jobs.get_mut(position)).ok_or_else(unreadable)?;
        match (place.as_mut(), before) {
            (Some(job), Some(before)) => {
                job.attempt = before.attempts + 1;
                job.last_error = before.last_error;
            }
            _ => *place = None,
        }
    }
    let claimed = jobs.len();
    let mut jobs: Vec<_> = jobs.into_iter().flatten().collect();
    let bytes: usize = jobs.iter().map(|job| job.payload.len()).sum();
    // A payload shares the reply's memory and keeps all of it, for as long as its handler works.
    for job in jobs.iter_mut().filter(|job| bytes > SHARED_BYTES && 8 * job.payload.len() < bytes) {
        job.payload = Bytes::copy_from_slice(&job.payload);
    }
    if jobs.is_empty() && claimed > 0 {
        return Err(unreadable());
    }
    Ok(Claim::new(jobs, u64::try_from(next).ok().map(Duration::from_millis), false))
}

/// A job as it is claimed for the first time.
fn claimed(lease: JobLease, record: Record, now: Timestamp) -> ClaimedJob {
    let held = record.unique.as_ref().filter(|unique| unique.until == UniqueUntil::Finished);
    let lease = lease.with_unique(held.map(|unique| unique.key.clone()));
    let mut job = ClaimedJob::new(lease, 1, record.payload, record.pushed_at, now);
    job.priority = record.priority;
    job.unique = record.unique;
    job.retry = record.retry;
    job.schema = record.schema;
    job.trace = record.trace;
    job
}
