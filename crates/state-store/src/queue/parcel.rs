//! Parcels: plain jobs that are stored and leased together. `lua/queue/keys.lua` describes their form.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use store_core::{JobId, NewJob, Priority, Timestamp};

use super::packed_id;
use super::record::{self, MILLIS, Record};

/// At most so many jobs in one parcel: as many as a worker claims at a time when it is busy.
const MAX_JOBS: usize = 50;
/// At most about so many bytes in one parcel, unless its first job alone has more: a parcel is kept until the last of its jobs
/// has ended, and rewritten when a worker takes only a part of it.
const MAX_BYTES: usize = 64 * 1024;

/// The priority that all jobs have, if they may travel in parcels, or, if it is one, the short way: no delay, no deadline and
/// no unique key. Their ids have to differ, too.
pub(super) fn priority_of_all(jobs: &[NewJob]) -> Option<Priority> {
    let first = jobs.first()?.priority;
    let is_plain = |job: &NewJob| {
        job.priority == first && job.delay.is_zero() && job.start_within.is_none() && job.unique.is_none()
    };
    jobs.iter().all(is_plain).then_some(first)
}

/// Cuts jobs into parcels, which are added one by one, each without the time of its push.
pub(super) fn encode(jobs: &[NewJob], ids: &[Bytes], buffer: &mut BytesMut, mut add: impl FnMut(Bytes)) {
    let mut rest = jobs.iter().zip(ids).peekable();
    while rest.peek().is_some() {
        buffer.put_u16(0);
        let mut count: u16 = 0;
        while let Some((job, id)) = rest.next_if(|(job, _)| {
            count == 0 || usize::from(count) < MAX_JOBS && buffer.len() + job.payload.len() <= MAX_BYTES
        }) {
            put_bytes_of_id(id, buffer);
            let length_at = buffer.len();
            buffer.put_u32(0);
            record::encode(job, buffer);
            // At most a payload and what surrounds it.
            let length = (buffer.len() - length_at - 4) as u32;
            buffer[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
            count += 1;
        }
        buffer[..2].copy_from_slice(&count.to_be_bytes());
        add(buffer.split().freeze());
    }
}

fn put_bytes_of_id(id: &Bytes, buffer: &mut BytesMut) {
    // At most 256 bytes.
    buffer.put_u16(id.len() as u16);
    buffer.put_slice(id);
}

/// Reads a parcel, job by job; each `None` is one that cannot be read, and the last. Payloads share the reply's memory.
pub(super) fn decode(mut parcel: Bytes) -> impl Iterator<Item = Option<(JobId, Record)>> {
    let head = parcel.try_get_uint(MILLIS).ok().zip(parcel.try_get_u16().ok());
    let (pushed_at, count) = head.map_or((None, 1), |(time, count)| (Some(Timestamp::from_millis(time)), count));
    (0..count).map(move |_| {
        let id = take(&mut parcel, 2)?;
        let record = take(&mut parcel, 4)?;
        Some((packed_id::unpack(&id)?, Record::decode_pushed_at(record, pushed_at?)?))
    })
}

/// Takes a length of so many bytes and what it announces.
fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_uint(length).ok()?).ok()?;
    (bytes.len() >= length).then(|| bytes.split_to(length))
}
