//! [`QueueControl`]: acting on jobs from outside.

use std::collections::BTreeMap;

use async_trait::async_trait;
use redis_link::{ReplyReader, Script};
use store_core::{Cancelled, Deleted, JobId, Op, QueueControl, QueueName, Replayed, Result, validate_batch};

use super::partition::{Called, Shape, Target};
use super::{id_arg, read_id, scripts};
use crate::StateStore;

/// Each call is one script in one round trip, or one for each 100 jobs and each partition that may have them, so that none keeps
/// the server long. Sent again, it finds the result of the first time.
#[async_trait]
impl QueueControl for StateStore {
    async fn cancel(&self, queue: &QueueName, job: &JobId) -> Result<Cancelled> {
        let op = Op::QueueCancel;
        Ok(with_shape!(self, op, queue, false, |shape| cancel(self, op, queue, &shape, job).await?))
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
        for_each(self, op, &scripts::REPLAY, queue, jobs, Replayed::NotDead, read).await
    }

    async fn delete(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Deleted>> {
        let read = |reply: &mut ReplyReader| match reply.next_word()?.as_ref() {
            b"deleted" => Ok(Deleted::Deleted),
            b"running" => Ok(Deleted::Running),
            b"unknown" => Ok(Deleted::Unknown),
            _ => Err(reply.unknown_word()),
        };
        for_each(self, Op::QueueDelete, &scripts::DELETE, queue, jobs, Deleted::Unknown, read).await
    }

    async fn promote(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>> {
        for_each(self, Op::QueuePromote, &scripts::PROMOTE, queue, jobs, false, changed).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        on_all(self, Op::QueuePause, &scripts::PAUSE, queue, true).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        on_all(self, Op::QueueResume, &scripts::RESUME, queue, false).await
    }
}

/// How many jobs one script handles at most: each may be in a batch of its own.
const SLICE: usize = 100;

/// Asks the partitions that may have the job. `None` if the queue has another shape.
async fn cancel(
    store: &StateStore,
    op: Op,
    queue: &QueueName,
    shape: &Shape,
    job: &JobId,
) -> Result<Option<Cancelled>> {
    for partition in shape.partitions_of(job) {
        let to = Target::new(op, &scripts::CANCEL, queue, shape, partition);
        let Called::Answered(answer, _) = store.call_on(to, vec![id_arg(job)]).await? else { return Ok(None) };
        let mut reply = answer.reader(op);
        return Ok(Some(match reply.next_word()?.as_ref() {
            b"removed" => Cancelled::Removed,
            b"requested" => Cancelled::Requested,
            b"finished" => Cancelled::Finished,
            b"unknown" => continue,
            _ => return Err(reply.unknown_word()),
        }));
    }
    Ok(Some(Cancelled::Unknown))
}

/// Calls a script on all partitions.
async fn on_all(store: &StateStore, op: Op, script: &'static Script, queue: &QueueName, records: bool) -> Result<()> {
    with_shape!(store, op, queue, records, |shape| {
        let mut is_answered = Some(());
        for partition in 0..shape.count() {
            let to = Target::new(op, script, queue, &shape, partition);
            if let Called::OtherShape = store.call_on(to, Vec::new()).await? {
                is_answered = None;
            }
        }
        is_answered
    });
    Ok(())
}

/// Calls a script with many ids, and reads its answer for each. `absent`: the answer of a partition that does not have the job.
async fn for_each<T: Clone + PartialEq + Send>(
    store: &StateStore,
    op: Op,
    script: &'static Script,
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
                    let to = Target::new(op, script, queue, &shape, *partition);
                    let args = slice.iter().map(|&index| id_arg(&jobs[index])).collect();
                    let Called::Answered(answer, _) = store.call_on(to, args).await? else {
                        is_answered = None;
                        break;
                    };
                    let mut reply = answer.reader(op);
                    match reply.next_word()?.as_ref() {
                        b"deleted" | b"replayed" | b"promoted" => {}
                        _ => return Err(reply.unknown_word()),
                    }
                    for &index in slice {
                        answers[index] = read(&mut reply)?;
                    }
                }
            }
        }
        is_answered
    });
    Ok(answers)
}

fn changed(reply: &mut ReplyReader) -> Result<bool> {
    reply.next_u64().map(|was| was != 0)
}
