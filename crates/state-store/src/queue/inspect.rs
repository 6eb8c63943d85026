//! [`QueueInspect`]: what is stored, as it is stored.

use async_trait::async_trait;
use redis_link::{Arg, ReplyReader};
use store_core::{
    Counts, Error, Explanation, JobId, JobInfo, JobState, Op, Page, PageRequest, QueueInspect, QueueName, Result,
    Timestamp,
};

use super::job_state::JobStateRecord;
use super::partition::{Called, Shape, Target};
use super::record::{Outline, Record};
use super::{id_arg, list, scripts};
use crate::StateStore;

/// Each call is one script in one round trip for each partition that it asks, and reads only.
#[async_trait]
impl QueueInspect for StateStore {
    async fn counts(&self, queue: &QueueName) -> Result<Counts> {
        let op = Op::QueueCounts;
        Ok(with_shape!(self, op, queue, false, |shape| counts(self, op, queue, &shape).await?))
    }

    async fn get(&self, queue: &QueueName, job: &JobId) -> Result<Option<JobInfo>> {
        let op = Op::QueueGet;
        let found = with_shape!(self, op, queue, false, |shape| find(self, op, queue, &shape, job, "").await?);
        let Some((state, mut reply)) = found else { return Ok(None) };
        let (record, stored) = (reply.next_bytes()?, reply.next_bytes()?);
        let at = read_time(&mut reply)?;
        let stored = JobStateRecord::decode(stored).ok_or_else(|| unreadable(op))?;
        let mut info = job_info(job.clone(), state, &record, stored, at).ok_or_else(|| unreadable(op))?;
        info.payload = Record::decode(record).ok_or_else(|| unreadable(op))?.payload;
        Ok(Some(info))
    }

    async fn list(&self, queue: &QueueName, state: JobState, page: PageRequest) -> Result<Page<JobInfo>> {
        list::list(self, queue, state, page).await
    }

    async fn explain(&self, queue: &QueueName, job: &JobId) -> Result<Explanation> {
        let op = Op::QueueExplain;
        let found = with_shape!(self, op, queue, false, |shape| find(self, op, queue, &shape, job, "before").await?);
        let Some((place, mut reply)) = found else { return Ok(Explanation::Unknown) };
        let _record = reply.next_bytes()?;
        let state = JobStateRecord::decode(reply.next_bytes()?).ok_or_else(|| unreadable(op))?;
        let at = read_time(&mut reply)?.unwrap_or_default();
        let now = Timestamp::from_millis(reply.next_u64()?);
        let paused = reply.next_u64()? != 0;
        let ready = reply.next_u64()?;
        Ok(match place {
            JobState::Ready if paused => Explanation::Paused,
            JobState::Ready => Explanation::WaitsForWorker { ahead_at_most: ready.saturating_sub(1) },
            JobState::Scheduled => Explanation::Scheduled { due: at, last_error: state.last_error },
            JobState::Running => {
                let worker = state.worker.ok_or_else(|| unreadable(op))?;
                if at <= now {
                    Explanation::LeaseRanOut { worker, at }
                } else {
                    Explanation::Running { worker, until: at, cancel_requested: state.cancel_requested }
                }
            }
            JobState::Completed => Explanation::Completed,
            JobState::Dead => Explanation::Dead { reason: state.last_error.unwrap_or_default() },
            _ => return Err(unreadable(op)),
        })
    }
}

/// The sum over all partitions. `None` if the queue has another shape.
async fn counts(store: &StateStore, op: Op, queue: &QueueName, shape: &Shape) -> Result<Option<Counts>> {
    let mut all = Counts::default();
    let call = |partition| (Target::new(op, &scripts::COUNTS, queue, shape, partition), Vec::new());
    for answer in store.call_all((0..shape.count()).map(call).collect()).await {
        let Called::Answered(answer, _) = answer? else { return Ok(None) };
        let mut reply = answer.reader(op);
        if reply.next_word()?.as_ref() != b"counts" {
            return Err(reply.unknown_word());
        }
        // The counters may be wrong after an interrupted script, until the queue is empty.
        let mut next = || reply.next_int().map(|count| u64::try_from(count).unwrap_or(0));
        let (alive, scheduled, running, completed, dead) = (next()?, next()?, next()?, next()?, next()?);
        all.ready += alive.saturating_sub(scheduled + running);
        all.scheduled += scheduled;
        all.running += running;
        all.completed += completed;
        all.dead += dead;
        all.paused |= next()? != 0;
    }
    Ok(Some(all))
}

/// Where a job is, and the rest of the reply, from the first partition that has it.
type Found = Option<(JobState, ReplyReader)>;

/// `counted`: `before` to count the jobs before it, or empty.
async fn find(
    store: &StateStore,
    op: Op,
    queue: &QueueName,
    shape: &Shape,
    job: &JobId,
    counted: &'static str,
) -> Result<Option<Found>> {
    for partition in shape.partitions_of(job) {
        let to = Target::new(op, &scripts::GET, queue, shape, partition);
        let args = vec![id_arg(job), Arg::fixed(counted)];
        let Called::Answered(answer, _) = store.call_on(to, args).await? else { return Ok(None) };
        let mut reply = answer.reader(op);
        if let Some(state) = read_place(&mut reply)? {
            return Ok(Some(Some((state, reply))));
        }
    }
    Ok(Some(None))
}

/// The word for a place; `None` if there is no such job.
fn read_place(reply: &mut ReplyReader) -> Result<Option<JobState>> {
    match reply.next_word()?.as_ref() {
        b"unknown" => Ok(None),
        word => place(word).map(Some).ok_or_else(|| reply.unknown_word()),
    }
}

fn place(word: &[u8]) -> Option<JobState> {
    JobState::ALL.into_iter().find(|state| state.name().as_bytes() == word)
}

pub(super) fn read_time(reply: &mut ReplyReader) -> Result<Option<Timestamp>> {
    Ok(reply.next_opt_int()?.and_then(|time| u64::try_from(time).ok()).map(Timestamp::from_millis))
}

pub(super) fn unreadable(op: Op) -> Error {
    Error::corrupt(op, "a job has a form that this version does not know")
}

/// A job as the ends of its record and its state describe it.
pub(super) fn job_info(
    id: JobId,
    state: JobState,
    record: &[u8],
    stored: JobStateRecord,
    at: Option<Timestamp>,
) -> Option<JobInfo> {
    let outline = Outline::decode(record)?;
    let mut info = JobInfo::new(id, state, outline.pushed_at);
    info.attempts = stored.attempts;
    info.max_attempts = outline.max_attempts.into();
    info.priority = outline.priority;
    info.at = at;
    info.worker = stored.worker;
    info.cancel_requested = stored.cancel_requested;
    info.last_error = stored.last_error;
    match state {
        JobState::Running => info.progress = stored.blob,
        JobState::Completed => info.result = stored.blob,
        _ => {}
    }
    Some(info)
}
