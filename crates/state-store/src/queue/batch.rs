//! Batches: plain jobs of one push that are stored together. `docs/layout.md` describes their form.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use store_core::{BatchId, JobId, NewJob, Priority, Timestamp, millis_ceil};

use super::record::{self, MILLIS, Record};

/// The most jobs of a batch: as many as a busy worker claims at a time. A number in Lua holds 53 positions.
pub(super) const MAX_JOBS: usize = 50;
/// The most bytes of the payloads of a batch of several jobs: a batch is kept until its last job has ended.
const MAX_BYTES: usize = 64 * 1024;
/// The most jobs of a batch with different delays: each time that one becomes due, the batch is read.
const MAX_DELAYED: usize = 16;

/// The kind of a batch that has delays; the lower bits are the priority.
const DELAYED: u8 = 16;
const HAS_DELAYS: u8 = 1;

/// The first byte of the id of a batch, of all its records, and of a part of them.
const WHOLE: u8 = 2;
const PART: u8 = 3;

/// Whether a job may share a batch.
pub(super) fn is_plain(job: &NewJob) -> bool {
    job.id.is_none() && job.start_within.is_none() && job.unique.is_none()
}

/// One batch of a push, or one job with an assigned id.
pub(super) struct Group {
    /// The id of its first job.
    pub(super) id: BatchId,
    /// The indices of its jobs, by position.
    pub(super) jobs: Vec<usize>,
    kind: u8,
    delay: u64,
}

/// Divides plain jobs, given by their indices, into batches.
pub(super) fn groups(jobs: &[NewJob], mut plain: Vec<usize>, partition: u16) -> Vec<Group> {
    let delay = |index: usize| millis_ceil(jobs[index].delay);
    let key = |index: usize| (jobs[index].priority.index(), delay(index));
    if !plain.is_sorted_by_key(|&index| key(index)) {
        plain.sort_by_key(|&index| key(index));
    }
    let mut groups = Vec::new();
    let mut rest = &plain[..];
    while let Some(&first) = rest.first() {
        let same = rest.iter().take(MAX_JOBS).take_while(|&&index| key(index) == key(first)).count();
        let is_delayed = delay(first) > 0;
        let most = if is_delayed && same < MAX_DELAYED { MAX_DELAYED } else { same };
        let mut bytes = 0;
        let fits = |&&index: &&usize| {
            bytes += jobs[index].payload.len();
            let is_alike = key(index).0 == key(first).0 && (delay(index) > 0) == is_delayed;
            is_alike && (bytes <= MAX_BYTES || bytes == jobs[index].payload.len())
        };
        let len = rest.iter().take(most).take_while(fits).count();
        let kind = jobs[first].priority.index() | if is_delayed { DELAYED } else { 0 };
        let id = JobId::new_batch(partition);
        groups.push(Group { id, jobs: rest[..len].to_vec(), kind, delay: delay(first) });
        rest = &rest[len..];
    }
    groups
}

impl Group {
    /// One job, the only one of its list, that is ready when it is pushed.
    pub(super) fn of_one(id: BatchId, priority: Priority) -> Self {
        Self { id, jobs: vec![0], kind: priority.index(), delay: 0 }
    }

    /// Appends the three arguments of a push: kind, number of jobs, first delay and positions; the id; the records.
    pub(super) fn encode(&self, jobs: &[NewJob], buffer: &mut BytesMut, mut add: impl FnMut(Bytes)) {
        // At most 50 jobs.
        buffer.put_u8(self.kind);
        buffer.put_u8(self.jobs.len() as u8);
        buffer.put_uint(self.delay, MILLIS);
        put_positions(buffer, u64::MAX >> (64 - self.jobs.len()));
        add(buffer.split().freeze());
        buffer.put_u8(if self.jobs.len() > 1 { WHOLE } else { super::packed_id::UUID });
        buffer.put_slice(self.id.as_bytes());
        add(buffer.split().freeze());
        match self.jobs[..] {
            [only] => record::encode(&jobs[only], buffer),
            _ => self.encode_batch(jobs, buffer),
        }
        add(buffer.split().freeze());
    }

    fn encode_batch(&self, jobs: &[NewJob], buffer: &mut BytesMut) {
        buffer.put_u8(self.jobs.len() as u8);
        buffer.put_u8(if self.kind & DELAYED == 0 { 0 } else { HAS_DELAYS });
        let mut end_at = buffer.len();
        buffer.put_bytes(0, 3 * self.jobs.len());
        if self.kind & DELAYED != 0 {
            self.jobs.iter().for_each(|&index| buffer.put_uint(millis_ceil(jobs[index].delay), MILLIS));
        }
        let begin = buffer.len();
        for &index in &self.jobs {
            record::encode(&jobs[index], buffer);
            // At most 64 KiB and what surrounds 50 payloads.
            let end = ((buffer.len() - begin) as u32).to_be_bytes();
            buffer[end_at..end_at + 3].copy_from_slice(&end[1..]);
            end_at += 3;
        }
    }
}

/// Appends a set of positions as two words, positions 0 to 31 first.
pub(super) fn put_positions(buffer: &mut BytesMut, positions: u64) {
    buffer.put_u64(positions.rotate_left(32));
}

/// Appends the id of a batch.
pub(super) fn put_id(buffer: &mut BytesMut, id: &BatchId) {
    buffer.put_u8(WHOLE);
    buffer.put_slice(id.as_bytes());
}

/// Whether an element of an index is the id of a batch.
pub(super) fn is_batch_id(element: &[u8]) -> bool {
    element.first() == Some(&WHOLE)
}

/// Reads the id of a batch; `None` if it is none.
pub(super) fn read_id(element: &[u8]) -> Option<BatchId> {
    let id = element.strip_prefix(&[WHOLE])?;
    BatchId::from_bytes(id.try_into().ok()?)
}

/// Positions of a batch in a claim.
pub(super) struct Claimed {
    id: BatchId,
    positions: u64,
    pushed_at: Timestamp,
    is_whole: bool,
}

impl Claimed {
    /// Reads the id of an item of a claim. `None` if it is not that of a batch.
    pub(super) fn decode(mut item: Bytes) -> Option<Self> {
        let kind = item.try_get_u8().ok().filter(|kind| matches!(*kind, WHOLE | PART))?;
        let mut id = [0; 16];
        item.try_copy_to_slice(&mut id).ok()?;
        let positions = item.try_get_u64().ok()?.rotate_left(32);
        let pushed_at = Timestamp::from_millis(item.try_get_uint(MILLIS).ok()?);
        Some(Self { id: BatchId::from_bytes(id)?, positions, pushed_at, is_whole: kind == WHOLE })
    }

    /// Reads its jobs; `None` for one that cannot be read. Payloads share the reply's memory.
    pub(super) fn jobs(&self, records: Bytes) -> Vec<Option<(JobId, Record)>> {
        let mut records = if self.is_whole { Records::Whole(records) } else { Records::Part(records) };
        let positions = (0..64).filter(|position| self.positions >> position & 1 == 1);
        let job = |position: u8| {
            let record = records.take(usize::from(position))?;
            Some((self.id.job(position), Record::decode_pushed_at(record, self.pushed_at)?))
        };
        positions.map(job).collect()
    }
}

enum Records {
    /// A batch as it is stored.
    Whole(Bytes),
    /// For each job 3 bytes of length, and the record.
    Part(Bytes),
}

impl Records {
    fn take(&mut self, position: usize) -> Option<Bytes> {
        match self {
            Records::Part(bytes) => {
                let length = usize::try_from(bytes.try_get_uint(3).ok()?).ok()?;
                (bytes.len() >= length).then(|| bytes.split_to(length))
            }
            Records::Whole(bytes) => record_in(bytes, position),
        }
    }
}

/// The record of a position, without the time of the push.
pub(super) fn record_in(blob: &Bytes, position: usize) -> Option<Bytes> {
    let (count, flags) = (usize::from(*blob.first()?), *blob.get(1)?);
    let head = 2 + 3 * count + if flags & HAS_DELAYS == 0 { 0 } else { MILLIS * count };
    let end = |index: usize| {
        let mut number = blob.get(2 + 3 * index..5 + 3 * index)?;
        usize::try_from(number.get_uint(3)).ok()
    };
    let begin = if position == 0 { 0 } else { end(position - 1)? };
    let (from, to) = (head + begin, head + end(position)?);
    (position < count && from <= to && to <= blob.len()).then(|| blob.slice(from..to))
}

/// The delay of a position.
pub(super) fn delay_in(blob: &[u8], position: usize) -> Option<Duration> {
    let (count, flags) = (usize::from(*blob.first()?), *blob.get(1)?);
    if flags & HAS_DELAYS == 0 {
        return Some(Duration::ZERO);
    }
    let from = 2 + 3 * count + MILLIS * position;
    Some(Duration::from_millis(blob.get(from..from + MILLIS)?.get_uint(MILLIS)))
}

#[cfg(test)]
mod tests {
    use store_core::Priority;

    use super::*;

    fn encoded(jobs: &[NewJob]) -> Vec<(Group, Vec<Bytes>)> {
        let groups = groups(jobs, (0..jobs.len()).collect(), 3);
        let mut buffer = BytesMut::new();
        let encode = |group: Group| {
            let mut args = Vec::new();
            group.encode(jobs, &mut buffer, |arg| args.push(arg));
            (group, args)
        };
        groups.into_iter().map(encode).collect()
    }

    fn item(kind: u8, group: &Group, positions: u64) -> Bytes {
        let mut item = BytesMut::new();
        item.put_u8(kind);
        item.put_slice(group.id.as_bytes());
        put_positions(&mut item, positions);
        item.put_uint(1_700_000_000_123, MILLIS);
        item.freeze()
    }

    #[test]
    fn a_batch_comes_back_as_it_was_whole_and_in_part() {
        let jobs: Vec<NewJob> = (0..50).map(|index| NewJob::new(vec![index; usize::from(index)])).collect();
        let encoded = encoded(&jobs);
        let [(group, args)] = &encoded[..] else { panic!("{} batches", encoded.len()) };
        assert_eq!((group.jobs.len(), group.id.partition(), args[0].len()), (50, 3, 16));
        for positions in [u64::MAX >> 14, 1, 1 << 49, 0xf0f0] {
            let read = Claimed::decode(item(WHOLE, group, positions)).unwrap().jobs(args[2].clone());
            let expected: Vec<u8> = (0..50).filter(|position| positions >> position & 1 == 1).collect();
            assert_eq!(read.len(), expected.len());
            let mut part = BytesMut::new();
            for (job, &position) in read.iter().zip(&expected) {
                let (id, record) = job.as_ref().unwrap();
                assert_eq!(*id, group.id.job(position));
                assert_eq!(
                    (&record.payload, record.pushed_at.as_millis()),
                    (&jobs[usize::from(position)].payload, 1_700_000_000_123)
                );
                let mut text = BytesMut::new();
                record::encode(&jobs[usize::from(position)], &mut text);
                part.put_uint(text.len() as u64, 3);
                part.put_slice(&text);
            }
            let again = Claimed::decode(item(PART, group, positions)).unwrap().jobs(part.freeze());
            let payloads = |jobs: &[Option<(JobId, Record)>]| -> Vec<Bytes> {
                jobs.iter().map(|job| job.as_ref().unwrap().1.payload.clone()).collect()
            };
            assert_eq!(payloads(&again), payloads(&read));
        }
    }

    #[test]
    fn jobs_of_one_priority_and_about_one_delay_share_a_batch() {
        let delayed = |ms| NewJob::new("").with_delay(Duration::from_millis(ms));
        let sizes = |jobs: &[NewJob]| encoded(jobs).iter().map(|(group, _)| group.jobs.len()).collect::<Vec<_>>();
        assert_eq!(sizes(&vec![NewJob::new(""); 130]), [50, 50, 30]);
        assert_eq!(sizes(&[NewJob::new(""), NewJob::new("").with_priority(Priority::Low), NewJob::new("")]), [2, 1]);
        assert_eq!(sizes(&vec![delayed(5); 70]), [50, 20]);
        assert_eq!(sizes(&(1..=40).map(delayed).collect::<Vec<_>>()), [16, 16, 8]);
        assert_eq!(sizes(&[delayed(5), NewJob::new("")]), [1, 1]);
        assert_eq!(sizes(&vec![NewJob::new(vec![0; 30_000]); 5]), [2, 2, 1]);
        assert_eq!(sizes(&[NewJob::new(vec![0; 70_000]), NewJob::new("")]), [1, 1]);
        let (group, _) = &encoded(&[delayed(9), delayed(3)])[0];
        assert_eq!((&group.jobs[..], group.delay), (&[1, 0][..], 3));
    }

    #[test]
    fn a_damaged_batch_is_no_job() {
        let jobs = [NewJob::new("one"), NewJob::new("two")];
        let (group, args) = &encoded(&jobs)[0];
        for len in 0..args[2].len() {
            let read = Claimed::decode(item(WHOLE, group, 3)).unwrap().jobs(args[2].slice(..len));
            assert!(read[1].is_none(), "{len}");
        }
        assert!(Claimed::decode(item(1, group, 1)).is_none());
        assert!(Claimed::decode(item(WHOLE, group, 1).slice(..20)).is_none());
    }
}
