//! The partitions of a queue: how many it has, and which one a job goes to.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use redis_link::keys::QueueKeys;
use redis_link::{Answer, Arg, Script};
use sha2::{Digest, Sha256};
use store_core::{Durability, Error, JobId, Op, QueueName, Reached, Result, UniqueKey};

use crate::StateStore;

/// What a queue recorded when it began: `layout:partitions:seed`. Each script compares it.
#[derive(Debug)]
pub(crate) struct Shape {
    /// As it is recorded. Empty if the queue does not exist yet.
    pub(super) text: Bytes,
    /// The keys of each partition, in the order in which its scripts take them, without the last one.
    partitions: Vec<Partition>,
    bounds: Bytes,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) keys: QueueKeys,
    pub(super) in_order: Vec<Bytes>,
    /// For reads and for writes of homes: what the link counted, plus 1, when the partition had this shape.
    pub(super) confirmed: [AtomicU64; 2],
}

/// The shapes of the queues that this process has used.
#[derive(Debug, Default)]
pub(crate) struct Shapes(Mutex<HashMap<QueueName, Known>>);

/// A shape that this process has read.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) shape: Arc<Shape>,
    /// Whether no partition has contradicted it. Otherwise it is what this process restores if nothing else knows the shape.
    pub(super) is_current: bool,
}

impl Shapes {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<QueueName, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shape {
    pub(super) fn new(store: &StateStore, queue: &QueueName, text: Bytes, count: u16) -> Self {
        let partition = |index| {
            let keys = QueueKeys::new(&store.namespace, queue, index, count);
            let in_order = in_order(&keys).map(|key| Bytes::copy_from_slice(key.as_bytes())).collect();
            Partition { keys, in_order, confirmed: Default::default() }
        };
        let bounds = super::bounds(&store.retention, count);
        Self { text, partitions: (0..count).map(partition).collect(), bounds }
    }

    pub(super) fn partition(&self, index: u16) -> &Partition {
        &self.partitions[usize::from(index)]
    }

    /// The keys of a partition.
    pub(super) fn keys(&self, partition: u16) -> &QueueKeys {
        &self.partition(partition).keys
    }

    /// How many partitions the queue has.
    pub(super) fn count(&self) -> u16 {
        // At most `JobId::MAX_PARTITIONS`.
        self.partitions.len() as u16
    }

    /// Whether the queue exists.
    pub(super) fn is_recorded(&self) -> bool {
        !self.text.is_empty()
    }

    /// The sharded channels of a process, one for each partition.
    pub(super) fn wake_channels(&self, of_process: &str) -> impl Iterator<Item = String> {
        self.partitions.iter().map(move |partition| partition.keys.wake_channel(of_process))
    }

    /// The argument of scripts that may have to remove old completed and dead jobs of a partition.
    pub(super) fn bounds_arg(&self) -> Arg {
        Arg::Bytes(self.bounds.clone())
    }

    /// The partition of a text, the same in all processes. It cannot be predicted without the seed.
    fn of_text(&self, kind: u8, text: &str) -> u16 {
        if self.partitions.len() == 1 {
            return 0;
        }
        let digest = Sha256::new().chain_update(&self.text).chain_update([kind]).chain_update(text).finalize();
        let number = digest.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        // Less than the number of partitions.
        (number % u64::from(self.count())) as u16
    }

    /// The partition of all jobs with this unique key.
    pub(super) fn of_unique(&self, key: &UniqueKey) -> u16 {
        self.of_text(b'u', key.as_str())
    }

    /// The partition to which a job with this id, which the caller has set, is pushed, unless it has a unique key.
    pub(super) fn of_id(&self, id: &JobId) -> u16 {
        self.assigned(id).unwrap_or_else(|| self.of_text(b'i', id.as_str()))
    }

    /// The partition that an id names.
    fn assigned(&self, id: &JobId) -> Option<u16> {
        id.place().map(|(batch, _)| batch.partition()).filter(|&partition| partition < self.count())
    }

    /// The partitions in which a job with this id may be, the most likely first.
    pub(super) fn partitions_of(&self, id: &JobId) -> Vec<u16> {
        let first = self.of_id(id);
        let others = (0..self.count()).filter(|&partition| partition != first);
        std::iter::once(first).chain(others).collect()
    }
}

impl StateStore {
    /// Calls a script on one partition. `call`: the identity of the call, for scripts that remember it.
    pub(super) async fn call_on(&self, to: Target<'_>, args: Vec<Arg>) -> Result<Called> {
        let partition = to.shape.partition(to.partition);
        let mut keys = partition.in_order.clone();
        if let Some(call) = to.call {
            keys.push(Bytes::from(partition.keys.call(call)));
        }
        if to.takes_schedules {
            let of_schedules = [&partition.keys.schedules, &partition.keys.schedule_names];
            keys.extend(of_schedules.map(|key| Bytes::copy_from_slice(key.as_bytes())));
        }
        keys.extend(to.more_keys.into_iter().map(Bytes::from));
        let mut all = Vec::with_capacity(args.len() + 1);
        all.push(Arg::from(&to.shape.text));
        all.extend(args);
        let of_lease = to.lease.map(|lease| self.link.for_lease(lease));
        let link = of_lease.as_ref().unwrap_or(&self.link);
        let (answer, reached) = match (to.is_repeat, to.until) {
            (true, _) => (link.call_again(to.op, to.script, &keys, all).await?, Ok(Reached::default())),
            (_, Some(end)) => link.call_until(to.op, to.script, &keys, all, to.durability, end).await?,
            _ => link.call_reaching(to.op, to.script, &keys, all, to.durability).await?,
        };
        if answer.first_word().is_some_and(|word| word.as_ref() == b"shape") {
            let mut reply = answer.reader(to.op);
            let _ = reply.next_word()?;
            self.other_shape(to.op, to.queue, to.shape, &reply.next_bytes()?).await?;
            return Ok(Called::OtherShape);
        }
        Ok(Called::Answered(answer, reached))
    }
}

/// How many partitions one call uses at the same time: a durable write holds a connection.
pub(super) const AT_ONCE: usize = 8;

impl StateStore {
    /// Calls several partitions at the same time. Returns their answers in the order of the calls.
    pub(super) async fn call_all(&self, mut calls: Vec<(Target<'_>, Vec<Arg>)>) -> Vec<Result<Called>> {
        // A set that has polled all of its futures wakes the task again, and another thread to run it.
        if calls.len() == 1
            && let Some((to, args)) = calls.pop()
        {
            return vec![self.call_on(to, args).await];
        }
        let (mut under_way, mut answers) = (FuturesOrdered::new(), Vec::with_capacity(calls.len()));
        for (to, args) in calls {
            if under_way.len() == AT_ONCE {
                answers.extend(under_way.next().await);
            }
            under_way.push_back(self.call_on(to, args));
        }
        while let Some(answer) = under_way.next().await {
            answers.push(answer);
        }
        answers
    }
}

/// Reads the answers of all partitions to a call that changes something; `read` also gets the number of each call. Returns `None`
/// if the partitions have another shape and nothing was changed. `changed` states for an error what was done in the other
/// partitions: `pushed to`.
pub(super) fn together(
    op: Op,
    changed: &str,
    answers: Vec<Result<Called>>,
    mut read: impl FnMut(usize, Answer, Reached) -> Result<()>,
) -> Result<Option<()>> {
    let (mut is_answered, mut failed, mut not_durable, mut has_other_shape) = (false, None, None, false);
    for (number, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(Called::Answered(answer, reached)) => {
                is_answered = true;
                let reached = reached.unwrap_or_else(|error| {
                    not_durable = Some(error);
                    Reached::default()
                });
                read(number, answer, reached)?;
            }
            Ok(Called::OtherShape) => has_other_shape = true,
            Err(error @ Error::Indeterminate { .. }) => failed = Some(error),
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    let error = match failed {
        None if !has_other_shape => return not_durable.map_or(Ok(Some(())), Err),
        None if !is_answered => return Ok(None),
        None => Error::unavailable(op, "the partitions of the queue have changed"),
        Some(error) => error,
    };
    Err(match is_answered {
        true => Error::indeterminate(op, format!("other jobs of the call were {changed} other partitions: {error}")),
        false => error,
    })
}

/// One call of a script on one partition.
pub(super) struct Target<'a> {
    pub(super) op: Op,
    pub(super) script: &'static Script,
    pub(super) queue: &'a QueueName,
    pub(super) shape: &'a Shape,
    pub(super) partition: u16,
    pub(super) call: Option<u64>,
    /// Whether the script also takes the indexes of schedules.
    pub(super) takes_schedules: bool,
    /// Other keys of the script, with the tag of the partition.
    pub(super) more_keys: Vec<String>,
    pub(super) is_repeat: bool,
    /// When the lease ends under which the call is repeated, by the clock of this process.
    pub(super) until: Option<Instant>,
    pub(super) durability: Durability,
    /// How long the leases last that the call extends.
    pub(super) lease: Option<Duration>,
}

impl<'a> Target<'a> {
    /// A call that the script does not remember.
    pub(super) fn new(op: Op, script: &'static Script, queue: &'a QueueName, shape: &'a Shape, partition: u16) -> Self {
        Self {
            op,
            script,
            queue,
            shape,
            partition,
            call: None,
            takes_schedules: false,
            more_keys: Vec::new(),
            is_repeat: false,
            until: None,
            durability: Durability::Accepted,
            lease: None,
        }
    }

    /// The same as a call with a new identity, which the script remembers.
    pub(super) fn remembered(self) -> Self {
        Self { call: Some(fastrand::u64(..)), ..self }
    }
}

/// What a partition answered.
pub(super) enum Called {
    /// With what it has reached or `NotDurable`.
    Answered(Answer, Result<Reached>),
    /// The partition did not have the shape that was sent, and changed nothing: read the shape, and call again.
    OtherShape,
}

/// The keys that every script of a queue takes.
pub(super) fn in_order(keys: &QueueKeys) -> impl Iterator<Item = &str> {
    let [ready0, ready1, ready2, ready3] = &keys.ready;
    [
        &keys.jobs,
        &keys.state,
        ready0,
        ready1,
        ready2,
        ready3,
        &keys.due,
        &keys.leased,
        &keys.completed,
        &keys.dead,
        &keys.unique,
        &keys.unique_until,
        &keys.meta,
        &keys.waiters,
    ]
    .into_iter()
    .map(String::as_str)
}
