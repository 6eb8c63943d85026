//! [`QueueControl`]: acting on jobs from outside.

use async_trait::async_trait;
use redis_link::{ReplyReader, Script};
use store_core::{Cancelled, Deleted, JobId, Op, QueueControl, QueueName, Replayed, Result, validate_batch};

use super::{id_arg, read_id, scripts};
use crate::StateStore;

/// Each call is one script in one round trip, or one for each 100 jobs, so that none keeps the server long; sent again, it finds
/// what the first time made of it.
#[async_trait]
impl QueueControl for StateStore {
    async fn cancel(&self, queue: &QueueName, job: &JobId) -> Result<Cancelled> {
        let op = Op::QueueCancel;
        let args = vec![id_arg(job)];
        let mut reply = self.call(op, &scripts::CANCEL, queue, args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"removed" => Ok(Cancelled::Removed),
            b"requested" => Ok(Cancelled::Requested),
            b"finished" => Ok(Cancelled::Finished),
            b"unknown" => Ok(Cancelled::Unknown),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn replay(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Replayed>> {
        let op = Op::QueueReplay;
        let read = |reply: &mut ReplyReader| {
            let (word, holder) = (reply.next_word()?, reply.next_bytes()?);
            match word.as_ref() {
                b"replayed" => Ok(Replayed::Replayed),
                b"held" => Ok(Replayed::Held { by: read_id(op, &holder)? }),
                b"not_dead" => Ok(Replayed::NotDead),
                _ => Err(reply.unknown_word()),
            }
        };
        for_each(self, op, &scripts::REPLAY, queue, jobs, read).await
    }

    async fn delete(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Deleted>> {
        for_each(self, Op::QueueDelete, &scripts::DELETE, queue, jobs, |reply| match reply.next_word()?.as_ref() {
            b"deleted" => Ok(Deleted::Deleted),
            b"running" => Ok(Deleted::Running),
            b"unknown" => Ok(Deleted::Unknown),
            _ => Err(reply.unknown_word()),
        })
        .await
    }

    async fn promote(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>> {
        for_each(self, Op::QueuePromote, &scripts::PROMOTE, queue, jobs, changed).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        self.call(Op::QueuePause, &scripts::PAUSE, queue, Vec::new()).await.map(drop)
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        self.call(Op::QueueResume, &scripts::RESUME, queue, Vec::new()).await.map(drop)
    }
}

/// How many jobs one script is about at most: each may be on a shelf of its own.
const SLICE: usize = 100;

/// Calls a script with many ids, and reads what it answers for each.
async fn for_each<T>(
    store: &StateStore,
    op: Op,
    script: &Script,
    queue: &QueueName,
    jobs: &[JobId],
    read: impl Fn(&mut ReplyReader) -> Result<T> + Send,
) -> Result<Vec<T>> {
    validate_batch(op, jobs.len())?;
    let mut answers = Vec::with_capacity(jobs.len());
    for jobs in jobs.chunks(SLICE) {
        let mut args = Vec::with_capacity(1 + jobs.len());
        args.extend(jobs.iter().map(id_arg));
        let mut reply = store.call(op, script, queue, args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"deleted" | b"replayed" | b"promoted" => {}
            _ => return Err(reply.unknown_word()),
        }
        for _ in jobs {
            answers.push(read(&mut reply)?);
        }
    }
    Ok(answers)
}

fn changed(reply: &mut ReplyReader) -> Result<bool> {
    reply.next_u64().map(|was| was != 0)
}
