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

/// Cuts jobs into parcels, which are added one by one with the runs of their ids (nothing, if they have no families). The
/// ids in one parcel have one length, and all have families or none.
pub(super) fn encode(jobs: &[NewJob], ids: &[Bytes], buffer: &mut BytesMut, mut add: impl FnMut(Bytes, Bytes)) {
    let mut start = 0;
    while let Some(first) = ids.get(start) {
        let mut bytes = 0;
        let fits = |(job, id): &(&NewJob, &Bytes)| {
            bytes += job.payload.len();
            let is_alike = id.len() == first.len() && packed_id::has_family(id) == packed_id::has_family(first);
            is_alike && (bytes <= MAX_BYTES || bytes == job.payload.len())
        };
        let end = start + jobs[start..].iter().zip(&ids[start..]).take(MAX_JOBS).take_while(fits).count();
        // At most 50 ids of at most 256 bytes.
        buffer.put_u16((end - start) as u16);
        buffer.put_u16(first.len() as u16);
        ids[start..end].iter().for_each(|id| buffer.put_slice(id));
        for job in &jobs[start..end] {
            let length_at = buffer.len();
            buffer.put_u32(0);
            record::encode(job, buffer);
            // At most a payload and what surrounds it.
            let length = (buffer.len() - length_at - 4) as u32;
            buffer[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        }
        let parcel = buffer.split().freeze();
        // Jobs of several tasks may travel together: ids of one family are told as one also if others come between them.
        let mut sorted: Vec<&[u8]> = ids[start..end].iter().map(AsRef::as_ref).collect();
        sorted.sort_unstable();
        packed_id::put_runs(sorted.into_iter(), buffer);
        add(parcel, buffer.split().freeze());
        start = end;
    }
}

/// Whether these bytes are a parcel's reference and not a packed id.
pub(super) fn is_reference(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0)
}

/// Reads a parcel, job by job; a `None` is one that cannot be read. Payloads share the reply's memory.
pub(super) fn decode(reference: &[u8], mut parcel: Bytes) -> impl Iterator<Item = Option<(JobId, Record)>> + use<> {
    let pushed_at = reference.get(1..).and_then(|mut rest| rest.try_get_uint(MILLIS).ok()).map(Timestamp::from_millis);
    let head = take_head(&mut parcel);
    let count = head.as_ref().map_or(1, |(ids, size)| ids.len() / size);
    (0..count).map(move |index| {
        let (ids, size) = head.as_ref()?;
        let length = usize::try_from(parcel.try_get_u32().ok()?).ok()?;
        let record = take(&mut parcel, length)?;
        let id = packed_id::unpack(&ids[index * size..(index + 1) * size])?;
        Some((id, Record::decode_pushed_at(record, pushed_at?)?))
    })
}

/// The ids, and how long each is.
fn take_head(parcel: &mut Bytes) -> Option<(Bytes, usize)> {
    let (count, size) = (usize::from(parcel.try_get_u16().ok()?), usize::from(parcel.try_get_u16().ok()?));
    (size > 0).then_some((take(parcel, count * size)?, size))
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (bytes.len() >= length).then(|| bytes.split_to(length))
}
