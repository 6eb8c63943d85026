//! [`Queue::extend`](store_core::Queue::extend)

use std::collections::HashMap;
use std::time::Duration;

use redis_link::{Answer, Arg};
use store_core::{
    Error, Extended, Extension, JobInfo, JobLease, Op, QueueName, Result, Timestamp, millis_ceil, validate_batch,
    validate_lease,
};

use super::held::{self, Held};
use super::partition::{Shape, Target, together};
use super::scripts;
use crate::StateStore;

const OP: Op = Op::QueueExtend;

pub(super) async fn extend(
    store: &StateStore,
    queue: &QueueName,
    jobs: &[Extension],
    lasting: Duration,
) -> Result<Vec<Extended>> {
    validate(jobs, lasting)?;
    let (distinct, place) = distinct(jobs);
    let extended =
        with_shape!(store, OP, queue, false, |shape| { extend_in(store, queue, &shape, &distinct, lasting).await? });
    Ok(place.into_iter().map(|place| extended[place]).collect())
}

/// The last extension of each lease, and for each extension the place of that one.
fn distinct(jobs: &[Extension]) -> (Vec<&Extension>, Vec<usize>) {
    let mut places = HashMap::with_capacity(jobs.len());
    let mut distinct: Vec<&Extension> = Vec::with_capacity(jobs.len());
    let mut place = Vec::with_capacity(jobs.len());
    for job in jobs {
        let index = *places.entry((job.lease.fence, &job.lease.job)).or_insert(distinct.len());
        if index == distinct.len() {
            distinct.push(job);
        } else if job.progress.is_some() {
            distinct[index] = job;
        }
        place.push(index);
    }
    (distinct, place)
}

async fn extend_in(
    store: &StateStore,
    queue: &QueueName,
    shape: &Shape,
    jobs: &[&Extension],
    lasting: Duration,
) -> Result<Option<Vec<Extended>>> {
    let leases: Vec<&JobLease> = jobs.iter().map(|job| &job.lease).collect();
    let mut extended = vec![Extended::Lost; jobs.len()];
    let mut groups = held::group(&leases, |index| jobs[index].progress.is_some());
    groups.retain(|held| held.partition < shape.count());
    let calls = groups.iter().map(|held| {
        let mut args = vec![Arg::from(millis_ceil(lasting)), Arg::from(&held.batches), Arg::from(&held.singles)];
        for &index in held.others() {
            let progress = jobs[index].progress.clone().unwrap_or_default();
            args.extend([Arg::from(held::fence_and_id(&jobs[index].lease)), Arg::from(progress)]);
        }
        let to = Target { lease: Some(lasting), ..Target::new(OP, &scripts::EXTEND, queue, shape, held.partition) };
        (to, args)
    });
    let answers = store.call_all(calls.collect()).await;
    let read_one = |number: usize, answer, _| read(queue, answer, (&groups[number], jobs), &mut extended);
    Ok(together(OP, "extended in", answers, read_one)?.map(|()| extended))
}

fn validate(jobs: &[Extension], lasting: Duration) -> Result<()> {
    validate_batch(OP, jobs.len())?;
    validate_lease(OP, lasting)?;
    let bytes = |job: &Extension| job.progress.as_ref().map_or(0, |progress| progress.len());
    match jobs.iter().position(|job| bytes(job) > JobInfo::MAX_RESULT_BYTES) {
        Some(index) => {
            let detail =
                format!("the progress of job {index} has more than {most} bytes", most = JobInfo::MAX_RESULT_BYTES);
            Err(Error::invalid_argument(OP, detail))
        }
        None => Ok(()),
    }
}

fn read(
    queue: &QueueName,
    answer: Answer,
    (held, jobs): (&Held, &[&Extension]),
    extended: &mut [Extended],
) -> Result<()> {
    let mut reply = answer.reader(OP);
    // If all leases are extended, the reply is only the new end.
    if reply.remaining() > 1 && reply.next_word()?.as_ref() != b"extended" {
        return Err(reply.unknown_word());
    }
    let until = Timestamp::from_millis(reply.next_u64()?);
    held.order.iter().for_each(|&index| extended[index] = Extended::Until(until));
    while reply.remaining() > 0 {
        let number = usize::try_from(reply.next_u64()?).ok();
        let word = reply.next_word()?;
        let until = Timestamp::from_millis(reply.next_u64()?);
        let answer = match word.as_ref() {
            b"lost" => Extended::Lost,
            b"until" => Extended::Until(until),
            b"cancel" => Extended::CancelRequested(until),
            _ => return Err(reply.unknown_word()),
        };
        let index = number.and_then(|number| held.order.get(number));
        extended[*index.ok_or_else(|| Error::corrupt(OP, "the reply names a job that was not sent"))?] = answer;
    }
    let kept = held.order.iter().filter(|&&index| extended[index] != Extended::Lost);
    reply.record(queue.as_str(), kept.map(|&index| jobs[index].lease.job.clone()));
    Ok(())
}
