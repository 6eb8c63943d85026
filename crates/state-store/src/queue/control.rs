//! [`QueueControl`]: acting on jobs from outside.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::{Arg, ReplyReader};
use store_core::{
    Cancelled, Deleted, Durability, JobId, Op, QueueControl, QueueName, Replayed, Result, validate_batch,
};

use super::partition::{Called, Target};
use super::{id_arg, read_id, scripts};
use crate::StateStore;

/// Each call is one script in one round trip, or one for each 100 jobs and each partition that may have them, so that none occupies
/// the server for long. A call that is sent again returns what the first one has done, and changes nothing else.
#[async_trait]
impl QueueControl for StateStore {
    async fn cancel(&self, queue: &QueueName, job: &JobId) -> Result<Cancelled> {
        let read = |reply: &mut ReplyReader| match read_word(reply)?.0.as_ref() {
            b"removed" => Ok(Cancelled::Removed),
            b"requested" => Ok(Cancelled::Requested),
            b"completed" | b"dead" => Ok(Cancelled::Finished),
            b"unknown" => Ok(Cancelled::Unknown),
            _ => Err(reply.unknown_word()),
        };
        let cancelled =
            change(self, Op::QueueCancel, "cancel", queue, std::slice::from_ref(job), Cancelled::Unknown, read).await?;
        Ok(cancelled[0])
    }

    async fn replay(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Replayed>> {
        let op = Op::QueueReplay;
        let read = |reply: &mut ReplyReader| {
            let (word, holder) = read_word(reply)?;
            match word.as_ref() {
                b"replayed" => Ok(Replayed::Replayed),
                b"held" => Ok(Replayed::Held { by: read_id(op, &holder)? }),
                _ => Ok(Replayed::NotDead),
            }
        };
        change(self, op, "replay", queue, jobs, Replayed::NotDead, read).await
    }

    async fn delete(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Deleted>> {
        let read = |reply: &mut ReplyReader| match read_word(reply)?.0.as_ref() {
            b"removed" => Ok(Deleted::Deleted),
            b"running" => Ok(Deleted::Running),
            b"unknown" => Ok(Deleted::Unknown),
            _ => Err(reply.unknown_word()),
        };
        change(self, Op::QueueDelete, "delete", queue, jobs, Deleted::Unknown, read).await
    }

    async fn promote(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>> {
        let read = |reply: &mut ReplyReader| Ok(read_word(reply)?.0.as_ref() == b"promoted");
        change(self, Op::QueuePromote, "promote", queue, jobs, false, read).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        on_all(self, Op::QueuePause, "pause", queue, true).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        on_all(self, Op::QueueResume, "resume", queue, false).await
    }
}

/// How many jobs one script handles at most: each may be in a batch of its own.
const SLICE: usize = 100;

/// Pauses or resumes all partitions.
async fn on_all(store: &StateStore, op: Op, action: &'static str, queue: &QueueName, records: bool) -> Result<()> {
    with_shape!(store, op, queue, records, |shape| {
        let mut is_answered = Some(());
        let to = |partition| Target::new(op, &scripts::CONTROL, queue, &shape, partition).remembered();
        let args = || vec![store.remembered_arg(Durability::Accepted), Arg::fixed(action)];
        let calls = (0..shape.count()).map(|partition| (to(partition), args()));
        for answer in store.call_all(calls.collect()).await {
            match answer? {
                Called::Answered(answer, _) => answer.reader(op).record(queue.as_str(), []),
                Called::OtherShape => is_answered = None,
            }
        }
        is_answered
    });
    Ok(())
}

/// Changes jobs, and reads the answer for each. `absent`: the answer of a partition that does not have the job.
async fn change<T: Clone + PartialEq + Send>(
    store: &StateStore,
    op: Op,
    action: &'static str,
    queue: &QueueName,
    jobs: &[JobId],
    absent: T,
    read: impl Fn(&mut ReplyReader) -> Result<T> + Send + Sync,
) -> Result<Vec<T>> {
    validate_batch(op, jobs.len())?;
    let mut answers = vec![absent.clone(); jobs.len()];
    with_shape!(store, op, queue, false, |shape| {
        let mut is_answered = Some(());
        for step in 0..usize::from(shape.count()) {
            let mut of_partition: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
            let pending = (0..jobs.len()).filter(|&index| answers[index] == absent);
            for index in pending {
                of_partition.entry(shape.partitions_of(&jobs[index])[step]).or_default().push(index);
            }
            for (partition, indices) in &of_partition {
                for slice in indices.chunks(SLICE) {
                    let to = Target::new(op, &scripts::CHANGE, queue, &shape, *partition).remembered();
                    let ids = slice.iter().map(|&index| id_arg(&jobs[index]));
                    let args = [store.remembered_arg(Durability::Accepted), Arg::fixed(action)];
                    let args = args.into_iter().chain(ids).collect();
                    let Called::Answered(answer, _) = store.call_on(to, args).await? else {
                        is_answered = None;
                        break;
                    };
                    let mut reply = answer.reader(op);
                    if reply.next_word()?.as_ref() != b"changed" {
                        return Err(reply.unknown_word());
                    }
                    for &index in slice {
                        answers[index] = read(&mut reply)?;
                    }
                    let changed = slice.iter().filter(|&&index| answers[index] != absent);
                    reply.record(queue.as_str(), changed.map(|&index| jobs[index].clone()));
                }
            }
        }
        is_answered
    });
    Ok(answers)
}

/// What became of a job, and the holder of its unique key or nothing.
fn read_word(reply: &mut ReplyReader) -> Result<(Bytes, Bytes)> {
    Ok((reply.next_word()?, reply.next_bytes()?))
}
