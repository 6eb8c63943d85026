//! [`QueueInspect`]: what is stored, as it is stored.

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::ReplyReader;
use store_core::{
    Counts, Error, Explanation, JobId, JobInfo, JobState, Op, Page, PageRequest, QueueInspect, QueueName, Result,
    Timestamp,
};

use super::job_state::JobStateRecord;
use super::record::{Outline, Record};
use super::{id_arg, list, scripts};
use crate::StateStore;

/// Each call is one script in one round trip, and reads only.
#[async_trait]
impl QueueInspect for StateStore {
    async fn counts(&self, queue: &QueueName) -> Result<Counts> {
        let op = Op::QueueCounts;
        let mut reply = self.call(op, &scripts::COUNTS, queue, Vec::new()).await?.reader(op);
        if reply.next_word()?.as_ref() != b"counts" {
            return Err(reply.unknown_word());
        }
        let jobs = reply.next_u64()?;
        let [scheduled, running, completed, dead] =
            [reply.next_u64()?, reply.next_u64()?, reply.next_u64()?, reply.next_u64()?];
        let ready = jobs.saturating_sub(scheduled + running + completed + dead);
        Ok(Counts::new(ready, scheduled, running, completed, dead).with_paused(reply.next_u64()? != 0))
    }

    async fn get(&self, queue: &QueueName, job: &JobId) -> Result<Option<JobInfo>> {
        let op = Op::QueueGet;
        let args = vec![id_arg(job)];
        let mut reply = self.call(op, &scripts::GET, queue, args).await?.reader(op);
        let Some(state) = read_place(&mut reply)? else { return Ok(None) };
        let (record, stored) = (reply.next_bytes()?, reply.next_bytes()?);
        let at = read_time(&mut reply)?;
        let mut info = job_info(job.clone(), state, &record, stored, at).ok_or_else(|| unreadable(op))?;
        info.payload = Record::decode(record).ok_or_else(|| unreadable(op))?.payload;
        Ok(Some(info))
    }

    async fn list(&self, queue: &QueueName, state: JobState, page: PageRequest) -> Result<Page<JobInfo>> {
        list::list(self, queue, state, page).await
    }

    async fn explain(&self, queue: &QueueName, job: &JobId) -> Result<Explanation> {
        let op = Op::QueueExplain;
        let args = vec![id_arg(job)];
        let mut reply = self.call(op, &scripts::EXPLAIN, queue, args).await?.reader(op);
        let Some(place) = read_place(&mut reply)? else { return Ok(Explanation::Unknown) };
        let state = JobStateRecord::decode(reply.next_bytes()?).ok_or_else(|| unreadable(op))?;
        let at = read_time(&mut reply)?.unwrap_or_default();
        let paused = reply.next_u64()? != 0;
        let ready = reply.next_u64()?;
        let now = Timestamp::from_millis(reply.next_u64()?);
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

/// The word for a place; `None` when there is no such job.
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

/// What a record's ends and a state say about a job.
pub(super) fn job_info(
    id: JobId,
    state: JobState,
    record: &[u8],
    stored: Bytes,
    at: Option<Timestamp>,
) -> Option<JobInfo> {
    let outline = Outline::decode(record)?;
    let stored = JobStateRecord::decode(stored)?;
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
