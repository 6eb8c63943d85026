//! The leases that a settlement or an extension names, as its script takes them: by partition, first the positions of each
//! batch, then the single jobs, then the others, which have arguments of their own.

use bytes::{BufMut, Bytes, BytesMut};
use std::fmt::Write;

use store_core::{BatchId, JobLease};

use super::{batch, packed_id};

/// The leases of one partition.
pub(super) struct Held {
    pub(super) partition: u16,
    /// The index of each lease, in the order in which the script numbers them.
    pub(super) order: Vec<usize>,
    /// For each batch and fence: id, fence in 16 digits, positions.
    pub(super) batches: Bytes,
    /// For each single job: fence in 16 digits, length of the packed id (2 bytes), packed id.
    pub(super) singles: Bytes,
    /// How many leases at the end of `order` are neither in `batches` nor in `singles`.
    others: usize,
}

/// One lease with the order of a script: batches come before single jobs.
struct Entry {
    partition: u16,
    is_other: bool,
    /// For all that batches may have, but the others.
    place: Option<(BatchId, u8)>,
    fence: u64,
    index: usize,
}

impl Entry {
    fn key(&self) -> (u16, bool, bool, [u8; 16], u64, u8, usize) {
        let (id, position) = self.place.map_or(([0; 16], 0), |(batch, position)| (*batch.as_bytes(), position));
        let fence = if self.is_other { 0 } else { self.fence };
        (self.partition, self.is_other, self.place.is_none(), id, fence, position, self.index)
    }
}

/// Groups leases, of which no two are equal. `is_other`: whether the one with this index has arguments of its own; these come last,
/// in the order given.
pub(super) fn group<'a>(leases: &[&'a JobLease], is_other: impl Fn(usize) -> bool) -> Vec<Held> {
    let entry = |(index, lease): (usize, &&'a JobLease)| Entry {
        partition: lease.partition,
        is_other: is_other(index),
        // A job that has an id of the caller may be named like a position that no batch has.
        place: lease.job.place().filter(|(_, position)| !is_other(index) && usize::from(*position) < batch::MAX_JOBS),
        fence: lease.fence.get(),
        index,
    };
    let mut entries: Vec<Entry> = leases.iter().enumerate().map(entry).collect();
    entries.sort_unstable_by_key(Entry::key);
    entries.chunk_by(|one, next| one.partition == next.partition).map(|entries| held(entries, leases)).collect()
}

fn held(entries: &[Entry], leases: &[&JobLease]) -> Held {
    let (mut batches, mut singles) = (BytesMut::new(), BytesMut::new());
    let others = entries.iter().filter(|entry| entry.is_other).count();
    for group in entries[..entries.len() - others].chunk_by(is_one_batch) {
        let Some(first) = group.first() else { continue };
        match first.place {
            Some((id, _)) => {
                batch::put_id(&mut batches, &id);
                put_fence(&mut batches, first.fence);
                let positions = group.iter().filter_map(|entry| entry.place).map(|(_, position)| 1_u64 << position);
                batch::put_positions(&mut batches, positions.fold(0, |all, one| all | one));
            }
            None => {
                put_fence(&mut singles, first.fence);
                let length_at = singles.len();
                singles.put_u16(0);
                packed_id::pack(&leases[first.index].job, &mut singles);
                // At most 256 bytes.
                let length = (singles.len() - length_at - 2) as u16;
                singles[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
            }
        }
    }
    let order = entries.iter().map(|entry| entry.index).collect();
    Held {
        partition: entries.first().map_or(0, |entry| entry.partition),
        order,
        batches: batches.freeze(),
        singles: singles.freeze(),
        others,
    }
}

impl Held {
    /// The indices of the leases that have arguments of their own.
    pub(super) fn others(&self) -> &[usize] {
        &self.order[self.order.len() - self.others..]
    }
}

/// The fence of a lease in 16 digits, and the packed id.
pub(super) fn fence_and_id(lease: &JobLease) -> Bytes {
    let mut buffer = BytesMut::with_capacity(40);
    put_fence(&mut buffer, lease.fence.get());
    packed_id::pack(&lease.job, &mut buffer);
    buffer.freeze()
}

fn is_one_batch(one: &Entry, next: &Entry) -> bool {
    let id = |entry: &Entry| entry.place.map(|(id, _)| id);
    one.place.is_some() && id(one) == id(next) && one.fence == next.fence
}

fn put_fence(buffer: &mut BytesMut, fence: u64) {
    // No fence has more digits: one of a caller that has is none.
    let fence = fence.min(9_999_999_999_999_999);
    let written = write!(buffer, "{fence:016}");
    debug_assert!(written.is_ok(), "a buffer grows");
}

#[cfg(test)]
mod tests {
    use store_core::{Fence, JobId, Timestamp};

    use super::*;

    #[test]
    fn leases_are_grouped_by_partition_batch_and_fence() {
        let (near, far) = (JobId::new_batch(0), JobId::new_batch(1));
        let lease = |job: JobId, fence, partition| {
            JobLease::new(job, Fence::new(fence), Timestamp::from_millis(1)).with_partition(partition)
        };
        let leases = [
            lease(far.job(49), 7, 1),
            lease(far.job(50), 7, 1),
            lease(JobId::new("own").unwrap(), 9, 0),
            lease(near.job(2), 7, 0),
            lease(near.job(0), 8, 0),
            lease(near.job(1), 7, 0),
        ];
        let leases: Vec<&JobLease> = leases.iter().collect();
        let groups = group(&leases, |_| false);
        let [first, second] = &groups[..] else { panic!("{} partitions", groups.len()) };
        assert_eq!((first.partition, &first.order[..]), (0, &[5, 3, 4, 2][..]));
        assert_eq!((first.batches.len(), &first.singles[..]), (82, &b"0000000000000009\0\x03own"[..]));
        assert_eq!(&first.batches[17..41], b"0000000000000007\0\0\0\x06\0\0\0\0");
        assert_eq!((second.partition, &second.order[..]), (1, &[0, 1][..]));
        // No batch has a position 50.
        assert_eq!((&second.batches[33..], second.singles.len()), (&b"\0\0\0\0\0\x02\0\0"[..], 35));

        let groups = group(&leases, |index| index != 3 && index != 0);
        let [first, second] = &groups[..] else { panic!("{} partitions", groups.len()) };
        assert_eq!((&first.order[..], first.others()), (&[3, 2, 4, 5][..], &[2, 4, 5][..]));
        assert_eq!((first.batches.len(), first.singles.len(), second.others()), (41, 0, &[1][..]));
        assert_eq!(&fence_and_id(leases[2])[..], b"0000000000000009own");
    }

    #[test]
    fn a_forged_fence_has_16_digits_too() {
        let forged = |job| JobLease::new(job, Fence::new(u64::MAX), Timestamp::from_millis(1));
        let (single, of_batch) = (forged(JobId::new("own").unwrap()), forged(JobId::new_batch(0).job(0)));
        let groups = group(&[&single, &of_batch], |_| false);
        assert_eq!((groups[0].batches.len(), groups[0].singles.len()), (41, 21));
        assert_eq!(&fence_and_id(&single)[..], b"9999999999999999own");
    }
}
