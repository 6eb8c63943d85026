//! [`Queue::push`](store_core::Queue::push)

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bytes::BytesMut;
use redis_link::{Answer, Arg};
use store_core::{
    Durability, Error, JobId, NewJob, Op, OutboxEntry, Pushed, QueueName, Reached, Receipt, Result, TraceContext,
    millis_ceil,
};

use super::batch::{self, Group};
use super::partition::{Called, Shape, Target, together};
use super::{packed_id, record, scripts};
use crate::StateStore;

const OP: Op = Op::QueuePush;

/// One call per partition; the jobs have been validated.
pub(super) async fn push(
    store: &StateStore,
    queue: &QueueName,
    jobs: &[NewJob],
    durability: Durability,
) -> Result<Receipt<Vec<Pushed>>> {
    Ok(with_shape!(store, OP, queue, true, |shape| push_in(store, queue, &shape, jobs, durability).await?))
}

/// `None` if the queue has another shape, and nothing was pushed.
async fn push_in(
    store: &StateStore,
    queue: &QueueName,
    shape: &Shape,
    jobs: &[NewJob],
    durability: Durability,
) -> Result<Option<Receipt<Vec<Pushed>>>> {
    let mut pushed: Vec<Option<Pushed>> = vec![None; jobs.len()];
    let mut lowest: Option<Reached> = None;
    let parts = parts(store, shape, jobs);
    let remembered = store.remembered_arg(durability);
    let calls = parts.iter().map(|part| (part.target(queue, shape, durability), part.args(remembered.clone(), jobs)));
    let answers = store.call_all(calls.collect()).await;
    let read = |number: usize, answer, reached| {
        lowest = Some(lowest.map_or(reached, |lowest| super::lower(lowest, reached)));
        parts[number].read((store, queue), answer, jobs, &mut pushed)
    };
    let Some(()) = together(OP, "pushed to", answers, read)? else { return Ok(None) };
    let pushed = pushed.into_iter().collect::<Option<Vec<_>>>();
    let pushed = pushed.ok_or_else(|| Error::corrupt(OP, "the store did not answer each job once"))?;
    Ok(Some(Receipt::new(pushed, lowest.unwrap_or_default())))
}

/// The jobs of a push that go to one partition.
struct Part {
    partition: u16,
    groups: Vec<Group>,
    /// The others: the index and the id of each.
    singles: Vec<(usize, JobId)>,
}

/// Of the jobs of one partition: the indices of the plain ones; the index and the id of each other one.
type Indices = (Vec<usize>, Vec<(usize, JobId)>);

fn parts(store: &StateStore, shape: &Shape, jobs: &[NewJob]) -> Vec<Part> {
    let turn = store.turn.fetch_add(1, Ordering::Relaxed);
    // Less than the number of partitions.
    let common = (turn % usize::from(shape.count())) as u16;
    let mut parts: BTreeMap<u16, Indices> = BTreeMap::new();
    for (index, job) in jobs.iter().enumerate() {
        if batch::is_plain(job) {
            parts.entry(common).or_default().0.push(index);
            continue;
        }
        let partition = routed(shape, job).unwrap_or(common);
        let id = job.id.clone().unwrap_or_else(|| JobId::new_batch(partition).job(0));
        parts.entry(partition).or_default().1.push((index, id));
    }
    let part =
        |(partition, (plain, singles))| Part { partition, groups: batch::groups(jobs, plain, partition), singles };
    parts.into_iter().map(part).collect()
}

/// The partition to which a job goes. `None` if it has neither a unique key nor an id.
pub(super) fn routed(shape: &Shape, job: &NewJob) -> Option<u16> {
    match (&job.unique, &job.id) {
        (Some(unique), _) => Some(shape.of_unique(&unique.key)),
        (None, id) => id.as_ref().map(|id| shape.of_id(id)),
    }
}

/// Pushes the job of an entry of an outbox, which is remembered for so long. `None` if the queue has another shape, and nothing was
/// pushed. Also returns the key of the remembered call.
pub(super) async fn deliver_in(
    store: &StateStore,
    entry: &OutboxEntry,
    (queue, shape): (&QueueName, &Shape),
    job: &NewJob,
    (remembered, durability): (Arg, Durability),
) -> Result<Option<(Pushed, String)>> {
    let partition = routed(shape, job).unwrap_or_else(|| entry.choice(shape.count()));
    let id = job.id.clone().unwrap_or_else(|| entry.job_id(partition));
    let (call, jobs) = (entry.call(), std::slice::from_ref(job));
    let part = Part { partition, groups: Vec::new(), singles: vec![(0, id)] };
    let to = Target { call: Some(call), until: Some(entry.held_until()), ..part.target(queue, shape, durability) };
    let (answer, reached) = match store.call_on(to, part.args(remembered, jobs)).await? {
        Called::OtherShape => return Ok(None),
        Called::Answered(answer, reached) => (answer, reached),
    };
    let mut pushed = [None];
    part.read((store, queue), answer, jobs, &mut pushed)?;
    reached?;
    let [pushed] = pushed;
    let pushed = pushed.ok_or_else(|| Error::corrupt(OP, "the store did not answer the job"))?;
    Ok(Some((pushed, shape.keys(partition).call(call))))
}

impl Part {
    fn target<'a>(&self, queue: &'a QueueName, shape: &'a Shape, durability: Durability) -> Target<'a> {
        Target {
            call: Some(fastrand::u64(..)),
            durability,
            ..Target::new(OP, &scripts::PUSH, queue, shape, self.partition)
        }
    }

    /// The jobs of this part.
    fn indices(&self) -> impl Iterator<Item = &usize> {
        self.groups.iter().flat_map(|group| &group.jobs).chain(self.singles.iter().map(|(index, _)| index))
    }

    /// All ids and records share one buffer.
    fn args(&self, remembered: Arg, jobs: &[NewJob]) -> Vec<Arg> {
        let tracestate = |job: &NewJob| job.trace.as_ref().and_then(TraceContext::tracestate).map_or(0, str::len);
        let bytes = |job: &NewJob| record::MAX_OVERHEAD + 16 + tracestate(job) + job.payload.len();
        let mut buffer = BytesMut::with_capacity(self.indices().map(|&index| bytes(&jobs[index])).sum());
        let mut args = Vec::with_capacity(2 + 3 * (self.groups.len() + self.singles.len()));
        args.push(remembered);
        args.push(Arg::from(self.groups.len()));
        for group in &self.groups {
            group.encode(jobs, &mut buffer, |arg| args.push(Arg::Bytes(arg)));
        }
        for (index, id) in &self.singles {
            packed_id::pack(id, &mut buffer);
            args.push(Arg::Bytes(buffer.split().freeze()));
            record::encode(&jobs[*index], &mut buffer);
            args.push(Arg::Bytes(buffer.split().freeze()));
            let delay = millis_ceil(jobs[*index].delay);
            args.push(if delay == 0 { Arg::fixed("") } else { Arg::from(delay) });
        }
        args
    }

    fn read(
        &self,
        (store, queue): (&StateStore, &QueueName),
        answer: Answer,
        jobs: &[NewJob],
        pushed: &mut [Option<Pushed>],
    ) -> Result<()> {
        let mut reply = answer.reader(OP);
        match reply.next_word()?.as_ref() {
            b"pushed" => {}
            b"taken" => {
                return Err(Error::indeterminate(
                    OP,
                    "the id of a batch is taken: its jobs were not pushed, others were",
                ));
            }
            _ => return Err(reply.unknown_word()),
        }
        for group in &self.groups {
            for (position, &index) in (0..).zip(&group.jobs) {
                pushed[index] = Some(Pushed::Created { id: group.id.job(position) });
            }
        }
        for (index, id) in &self.singles {
            pushed[*index] = Some(Pushed::Created { id: id.clone() });
        }
        while reply.remaining() > 0 {
            let number = usize::try_from(reply.next_u64()?).ok();
            let word = reply.next_word()?;
            let holder = reply.next_bytes()?;
            let answer = match word.as_ref() {
                b"duplicate" => Pushed::Duplicate,
                b"held" => Pushed::Held { by: super::read_id(OP, &holder)? },
                _ => return Err(reply.unknown_word()),
            };
            let single = number.and_then(|number| self.singles.get(number));
            let (index, _) = single.ok_or_else(|| Error::corrupt(OP, "the reply names a job that was not sent"))?;
            pushed[*index] = Some(answer);
        }
        let created = |index: &usize| match &pushed[*index] {
            Some(Pushed::Created { id }) => Some((&jobs[*index], id.clone())),
            _ => None,
        };
        // First: a report that names a job finds it.
        store.kept.keep(queue, self.indices().filter_map(created));
        reply.record(queue.as_str(), self.indices().filter_map(created).map(|(_, id)| id));
        Ok(())
    }
}
