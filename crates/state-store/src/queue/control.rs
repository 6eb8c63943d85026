//! [`QueueControl`]: acting on jobs from outside.

use async_trait::async_trait;
use redis_link::{ReplyReader, Script};
use store_core::{Cancelled, Deleted, JobId, Op, QueueControl, QueueName, Result, validate_batch};

use super::{id_arg, scripts};
use crate::StateStore;

/// Each call is one script in one round trip; sent again, it finds what the first time made of it.
#[async_trait]
impl QueueControl for StateStore {
    async fn cancel(&self, queue: &QueueName, job: &JobId) -> Result<Cancelled> {
        let op = Op::QueueCancel;
        let args = vec![self.clock_arg(), id_arg(job)];
        let mut reply = self.call(op, &scripts::CANCEL, queue, args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"removed" => Ok(Cancelled::Removed),
            b"requested" => Ok(Cancelled::Requested),
            b"finished" => Ok(Cancelled::Finished),
            b"unknown" => Ok(Cancelled::Unknown),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn replay(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>> {
        changed(self, Op::QueueReplay, &scripts::REPLAY, queue, jobs).await
    }

    async fn delete(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Deleted>> {
        let op = Op::QueueDelete;
        let mut reply = for_each(self, op, &scripts::DELETE, queue, jobs).await?;
        let mut deleted = Vec::with_capacity(jobs.len());
        for _ in jobs {
            deleted.push(match reply.next_word()?.as_ref() {
                b"deleted" => Deleted::Deleted,
                b"running" => Deleted::Running,
                b"unknown" => Deleted::Unknown,
                _ => return Err(reply.unknown_word()),
            });
        }
        Ok(deleted)
    }

    async fn promote(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>> {
        changed(self, Op::QueuePromote, &scripts::PROMOTE, queue, jobs).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        self.call(Op::QueuePause, &scripts::PAUSE, queue, vec![self.clock_arg()]).await.map(drop)
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        self.call(Op::QueueResume, &scripts::RESUME, queue, vec![self.clock_arg()]).await.map(drop)
    }
}

/// Calls a script with many ids, and reads the word of its reply.
async fn for_each(
    store: &StateStore,
    op: Op,
    script: &Script,
    queue: &QueueName,
    jobs: &[JobId],
) -> Result<ReplyReader> {
    validate_batch(op, jobs.len())?;
    let mut args = Vec::with_capacity(1 + jobs.len());
    args.push(store.clock_arg());
    args.extend(jobs.iter().map(id_arg));
    let mut reply = store.call(op, script, queue, args).await?.reader(op);
    match reply.next_word()?.as_ref() {
        b"deleted" | b"replayed" | b"promoted" => Ok(reply),
        _ => Err(reply.unknown_word()),
    }
}

async fn changed(store: &StateStore, op: Op, script: &Script, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>> {
    let mut reply = for_each(store, op, script, queue, jobs).await?;
    jobs.iter().map(|_| reply.next_u64().map(|was| was != 0)).collect()
}
