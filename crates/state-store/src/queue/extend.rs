//! [`Queue::extend`](store_core::Queue::extend)

use std::fmt::Write;
use std::time::Duration;

use bytes::BytesMut;
use redis_link::{Answer, Arg};
use store_core::{
    Error, Extended, Extension, JobInfo, JobLease, Op, QueueName, Result, Timestamp, millis_ceil, validate_batch,
    validate_lease,
};

use super::{packed_id, scripts};
use crate::StateStore;

const OP: Op = Op::QueueExtend;

pub(super) async fn extend(
    store: &StateStore,
    queue: &QueueName,
    jobs: &[Extension],
    lasting: Duration,
) -> Result<Vec<Extended>> {
    validate(jobs, lasting)?;
    let mut args = vec![Arg::from(millis_ceil(lasting))];
    push_leases(jobs.iter().map(|job| &job.lease), false, &mut args);
    for (position, job) in jobs.iter().enumerate() {
        if let Some(progress) = &job.progress {
            args.push(Arg::from(position + 1));
            args.push(Arg::from(progress));
        }
    }
    let answer = store.call(OP, &scripts::EXTEND, queue, args).await?;
    read(answer, jobs.len())
}

/// Appends the number of groups, then for each group of jobs that follow each other, have one lease and ids of one form: the
/// lease (the letter of a running job, the fence and, if asked, the end), that length, the packed ids; for a settlement (with the
/// end) the runs of ids that have families, and as length 0.
pub(super) fn push_leases<'a>(
    leases: impl ExactSizeIterator<Item = &'a JobLease>,
    with_end: bool,
    args: &mut Vec<Arg>,
) {
    let mut buffer = BytesMut::with_capacity(leases.len() * 24 + 64);
    let mut group = Group { ids: BytesMut::with_capacity(leases.len() * 24), first: None, with_runs: with_end };
    let (mut groups, groups_at) = (0, args.len());
    args.push(Arg::from(0));
    for lease in leases {
        let form = packed_id::form(&lease.job);
        let is_same = |(first, of_first): (&JobLease, (usize, bool))| {
            of_first == form && first.fence == lease.fence && (first.until == lease.until || !with_end)
        };
        if !group.first.is_some_and(is_same) {
            group.end(&mut buffer, args);
            group.first = Some((lease, form));
            groups += 1;
            let written = match with_end {
                true => write!(buffer, "r{:016}{}", lease.fence.get(), lease.until.as_millis()),
                false => write!(buffer, "r{:016}", lease.fence.get()),
            };
            debug_assert!(written.is_ok(), "a buffer grows");
            args.push(Arg::Bytes(buffer.split().freeze()));
        }
        packed_id::pack(&lease.job, &mut group.ids);
    }
    group.end(&mut buffer, args);
    args[groups_at] = Arg::from(groups);
}

/// Jobs with one lease and ids of one length.
struct Group<'a> {
    ids: BytesMut,
    /// The lease, how long the ids are, and whether they have families.
    first: Option<(&'a JobLease, (usize, bool))>,
    with_runs: bool,
}

impl Group<'_> {
    fn end(&mut self, buffer: &mut BytesMut, args: &mut Vec<Arg>) {
        let Some((_, (size, _))) = self.first.take() else { return };
        if self.with_runs {
            packed_id::put_runs(self.ids.chunks(size), buffer);
        }
        let ids = self.ids.split().freeze();
        match buffer.is_empty() {
            true => args.extend([Arg::from(size), Arg::Bytes(ids)]),
            false => args.extend([Arg::from(0), Arg::Bytes(buffer.split().freeze())]),
        }
    }
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

fn read(answer: Answer, jobs: usize) -> Result<Vec<Extended>> {
    let mut reply = answer.reader(OP);
    if reply.next_word()?.as_ref() != b"extended" {
        return Err(reply.unknown_word());
    }
    let until = Timestamp::from_millis(reply.next_u64()?);
    let mut extended = vec![Extended::Until(until); jobs];
    while reply.remaining() > 0 {
        let position = reply.next_u64()?;
        let word = reply.next_word()?;
        let until = Timestamp::from_millis(reply.next_u64()?);
        let answer = match word.as_ref() {
            b"lost" => Extended::Lost,
            b"until" => Extended::Until(until),
            b"cancel" => Extended::CancelRequested(until),
            _ => return Err(reply.unknown_word()),
        };
        let place = usize::try_from(position).ok().and_then(|position| extended.get_mut(position));
        *place.ok_or_else(|| Error::corrupt(OP, "the reply names a job that was not sent"))? = answer;
    }
    Ok(extended)
}
