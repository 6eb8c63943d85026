//! The recorded shapes of queues.
//!
//! The authoritative shape is recorded under the key that a queue of one partition has. Then each partition gets a copy. A script that
//! adds to a partition without a copy changes nothing: the caller first reads the authoritative shape and records the copies. If the
//! authoritative one is lost, it is restored from a copy, or else from a process that knows it. So of several processes that restore
//! it at the same time, one decides, and the others adopt its shape.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use redis_link::Arg;
use redis_link::layout::Aggregate;
use store_core::{Error, JobId, Op, QueueName, Repeat, Result};

use super::homes::HomeOf;
use super::partition::{AT_ONCE, Known, Partition, Shape};
use super::scripts;
use crate::StateStore;

/// What the script does with a shape.
#[derive(Debug, Clone, Copy)]
enum Action {
    /// Records it if none is recorded.
    Open,
    /// Compares it, if it is not empty.
    Compare,
}

/// What a partition has recorded.
enum Found {
    /// The shape that was sent, or nothing if that is empty.
    Same,
    /// Another one. Empty: none, which [`Action::Compare`] reports.
    Other(Bytes),
}

/// The error of partitions that do not agree.
pub(super) fn different_shapes(op: Op) -> Error {
    let what = "the partitions of the queue have recorded different shapes; set the field `shape` of each `meta` to one of them, as \
                `docs/layout.md` of the crate `state-store` describes";
    Error::corrupt(op, what)
}

impl StateStore {
    /// The shape of a queue, as it was recorded when this process read it. An outbox has that of its queue. `records`: whether a new
    /// queue gets its shape now.
    pub(super) async fn shape(&self, op: Op, queue: &QueueName, records: bool) -> Result<Arc<Shape>> {
        let known = self.shapes.lock().get(queue).filter(|known| known.is_current).map(|known| known.shape.clone());
        match known {
            Some(shape) if shape.is_recorded() || !records => Ok(shape),
            _ => self.read_shape(op, queue, records).await,
        }
    }

    /// As [`Self::shape`]. Reads again what a new queue had not recorded yet.
    pub(super) async fn recorded_shape(&self, op: Op, queue: &QueueName, records: bool) -> Result<Arc<Shape>> {
        let shape = self.shape(op, queue, records).await?;
        if shape.is_recorded() { Ok(shape) } else { self.read_shape(op, queue, records).await }
    }

    /// The shape of the queue of a home, and the partition of the home. The scripts of a home do not compare the shape: this does, at
    /// the first call and after each change of the connections, because another server may have lost it.
    pub(super) async fn shape_of_home(&self, op: Op, home: &HomeOf) -> Result<(Arc<Shape>, u16)> {
        let writes = op.repeat() != Repeat::Reads;
        for _ in 0..3 {
            let shape = self.recorded_shape(op, &home.queue, writes).await?;
            let partition = home.partition(&shape);
            if self.is_confirmed(op, &home.queue, &shape, partition, writes).await? {
                return Ok((shape, partition));
            }
        }
        Err(different_shapes(op))
    }

    /// Whether a partition has this shape. If it has none: whether the call only reads.
    async fn is_confirmed(
        &self,
        op: Op,
        queue: &QueueName,
        shape: &Shape,
        partition: u16,
        writes: bool,
    ) -> Result<bool> {
        if shape.count() == 1 || !shape.is_recorded() {
            return Ok(true);
        }
        let partition = shape.partition(partition);
        let (confirmed, now) = (&partition.confirmed[usize::from(writes)], 1 + *self.link.reopened().borrow());
        if confirmed.load(Ordering::Relaxed) == now {
            return Ok(true);
        }
        match self.ask(op, partition, &shape.text, Action::Compare).await? {
            Found::Same => {}
            Found::Other(text) if text.is_empty() && !writes => {}
            Found::Other(text) => {
                self.other_shape(op, queue, shape, &text).await?;
                return Ok(false);
            }
        }
        confirmed.store(now, Ordering::Relaxed);
        Ok(true)
    }

    /// A partition does not have the shape that was sent but this one, or none. The next call reads the shape again. If the partition
    /// has none, all partitions get it now.
    pub(super) async fn other_shape(&self, op: Op, queue: &QueueName, sent: &Shape, found: &[u8]) -> Result<()> {
        if let Some(known) = self.shapes.lock().get_mut(queue).filter(|known| known.shape.text == sent.text) {
            known.is_current = false;
        }
        if found.is_empty() {
            let shape = self.read_shape(op, queue, true).await?;
            self.record_copies(op, &shape).await?;
        }
        Ok(())
    }

    /// Reads the authoritative shape. If there is none, `records` restores it or records a new one.
    async fn read_shape(&self, op: Op, queue: &QueueName, records: bool) -> Result<Arc<Shape>> {
        let recording = queue.of_outbox();
        let declared = self.partitions.get(&recording).copied();
        if let Some(count) = declared.filter(|count| !(1..=JobId::MAX_PARTITIONS).contains(count)) {
            let most = JobId::MAX_PARTITIONS;
            let detail = format!("a queue has 1 to {most} partitions, not {count}");
            return Err(Error::invalid_argument(op, detail));
        }
        let known = self.shapes.lock().get(queue).map(|known| known.shape.clone());
        let remembered = known.as_ref().filter(|known| known.is_recorded());
        let count = remembered.map_or(declared.unwrap_or(1), |known| known.count());
        let new = || match remembered {
            Some(known) => known.text.clone(),
            None => {
                let layout = self.link.layouts().written(Aggregate::Queue);
                Bytes::from(format!("{layout}:{count}:{:016x}", fastrand::u64(..)))
            }
        };
        // The tag of partition 0 depends on the number of partitions. The shape is recorded under the tag of a single partition.
        let single = Shape::new(self, &recording, Bytes::new(), 1);
        let authority = single.partition(0);
        let proposed = if records && count == 1 { new() } else { Bytes::new() };
        let mut text = match self.ask(op, authority, &proposed, Action::Open).await? {
            Found::Other(text) => text,
            Found::Same => proposed,
        };
        if text.is_empty() && count > 1 {
            let all = Shape::new(self, &recording, Bytes::new(), count);
            text = match self.copy(op, &all).await? {
                Some(copy) => copy,
                None if records => new(),
                None => remembered.map(|known| known.text.clone()).unwrap_or_default(),
            };
            if records {
                if let Found::Other(first) = self.ask(op, authority, &text, Action::Open).await? {
                    text = first;
                }
                if self.recorded_count(op, &text)? == count {
                    self.record_copies(op, &Shape::new(self, &recording, text.clone(), count)).await?;
                }
            }
        }
        let recorded = if text.is_empty() { count } else { self.recorded_count(op, &text)? };
        if let Some(count) = declared.filter(|&declared| declared != recorded) {
            return Err(Error::invalid_argument(
                op,
                format!(
                    "the queue has {recorded} partitions, and this service declares {count}; declare {recorded}, or none, or \
                     use another queue name"
                ),
            ));
        }
        let same = known.filter(|known| known.text == text && known.count() == recorded);
        let shape = same.unwrap_or_else(|| Arc::new(Shape::new(self, queue, text, recorded)));
        self.shapes.lock().insert(queue.clone(), Known { shape: Arc::clone(&shape), is_current: true });
        Ok(shape)
    }

    /// The shape that most partitions have a copy of; the first of these.
    async fn copy(&self, op: Op, all: &Shape) -> Result<Option<Bytes>> {
        let mut copies = Vec::new();
        for found in self.ask_all(op, all, Action::Open).await {
            if let Found::Other(text) = found? {
                copies.push(text);
            }
        }
        let times = |text: &Bytes| copies.iter().filter(|other| *other == text).count();
        Ok(copies.iter().rev().max_by_key(|text| times(text)).cloned())
    }

    /// Records a copy in each partition that has none.
    async fn record_copies(&self, op: Op, shape: &Shape) -> Result<()> {
        self.ask_all(op, shape, Action::Open).await.into_iter().try_for_each(|found| found.map(drop))
    }

    /// Sends the shape to all its partitions, to a few at the same time.
    async fn ask_all(&self, op: Op, shape: &Shape, action: Action) -> Vec<Result<Found>> {
        let calls = (0..shape.count()).map(|index| self.ask(op, shape.partition(index), &shape.text, action));
        stream::iter(calls).buffered(AT_ONCE).collect().await
    }

    async fn ask(&self, op: Op, partition: &Partition, text: &Bytes, action: Action) -> Result<Found> {
        let mut keys = partition.in_order.clone();
        keys.push(Bytes::from(partition.keys.call(fastrand::u64(..))));
        let word = match action {
            Action::Open => "open",
            Action::Compare => "compare",
        };
        let args = vec![Arg::from(text), Arg::fixed(""), Arg::fixed(word)];
        let mut reply = self.link.call(op, &scripts::CONTROL, &keys, args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"shape" => Ok(Found::Other(reply.next_bytes()?)),
            b"done" => Ok(Found::Same),
            _ => Err(reply.unknown_word()),
        }
    }

    fn recorded_count(&self, op: Op, text: &[u8]) -> Result<u16> {
        let corrupt = || Error::corrupt(op, "the shape of the queue cannot be read");
        let mut parts = std::str::from_utf8(text).unwrap_or_default().split(':');
        let layout = parts.next().and_then(|layout| layout.parse().ok()).ok_or_else(corrupt)?;
        self.link.layouts().check(op, Aggregate::Queue, layout)?;
        let count = parts.next().and_then(|count| count.parse().ok());
        count.filter(|count| (1..=JobId::MAX_PARTITIONS).contains(count)).ok_or_else(corrupt)
    }
}
