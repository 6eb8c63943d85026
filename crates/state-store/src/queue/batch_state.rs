//! What changes of a batch while it lives. Written by the scripts alone; `docs/layout.md` describes it.

use bytes::{Buf, Bytes};
use store_core::{HolderName, JobState, Timestamp};

use super::batch;
use super::record::MILLIS;

const FENCE: usize = 16;
/// The bit of a kind that says that the jobs have delays.
const DELAYED: u8 = 16;

/// The state of a batch, read.
#[derive(Debug)]
pub(super) struct BatchState {
    pub(super) pushed_at: Timestamp,
    /// The positions of the jobs that are still in it.
    left: u64,
    kind: u8,
    leases: Vec<Lease>,
}

#[derive(Debug)]
struct Lease {
    ends: Timestamp,
    positions: u64,
    worker: HolderName,
}

/// A job of a batch in one state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BatchJob {
    pub(super) position: u8,
    /// When its lease ends or when it is due.
    pub(super) at: Option<Timestamp>,
    pub(super) worker: Option<HolderName>,
}

impl BatchState {
    /// Reads a state; `None` if it is none.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        let pushed_at = Timestamp::from_millis(bytes.try_get_uint(MILLIS).ok()?);
        let (left, kind) = (bytes.try_get_u64().ok()?.rotate_left(32), bytes.try_get_u8().ok()?);
        let mut leases = Vec::new();
        while !bytes.is_empty() {
            bytes.try_copy_to_slice(&mut [0; FENCE]).ok()?;
            let ends = Timestamp::from_millis(bytes.try_get_uint(MILLIS).ok()?);
            let positions = bytes.try_get_u64().ok()?.rotate_left(32);
            let (_heard, len) = (bytes.try_get_u8().ok()?, usize::from(bytes.try_get_u8().ok()?));
            let worker = (bytes.len() >= len).then(|| bytes.split_to(len))?;
            let worker = HolderName::new(std::str::from_utf8(&worker).ok()?).ok()?;
            leases.push(Lease { ends, positions, worker });
        }
        Some(Self { pushed_at, left, kind, leases })
    }

    /// Its jobs in a state. `first_due`: the first due time of those that are scheduled, if there are any. `None` if the blob
    /// does not contain a position.
    pub(super) fn jobs(&self, state: JobState, blob: &[u8], first_due: Option<Timestamp>) -> Option<Vec<BatchJob>> {
        let first_due = first_due.filter(|_| self.kind & DELAYED != 0);
        let mut jobs = Vec::new();
        for position in (0..64).filter(|position| self.left >> position & 1 == 1) {
            let lease = self.leases.iter().find(|lease| lease.positions >> position & 1 == 1);
            let due = self.pushed_at.after(batch::delay_in(blob, usize::from(position))?);
            let (of_job, at) = match (lease, first_due) {
                (Some(lease), _) => (JobState::Running, Some(lease.ends)),
                (None, Some(first)) if due >= first => (JobState::Scheduled, Some(due)),
                (None, _) => (JobState::Ready, None),
            };
            if of_job == state {
                jobs.push(BatchJob { position, at, worker: lease.map(|lease| lease.worker.clone()) });
            }
        }
        Some(jobs)
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};

    use super::*;
    use crate::queue::batch::put_positions;

    fn stored() -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_uint(1000, MILLIS);
        put_positions(&mut bytes, 0b1111 | 1 << 40);
        bytes.put_u8(DELAYED | 2);
        bytes.put_slice(b"0000000000000007");
        bytes.put_uint(5000, MILLIS);
        put_positions(&mut bytes, 0b10 | 1 << 40);
        bytes.put_slice(b"\x01\x03w-1");
        bytes.freeze()
    }

    #[test]
    fn jobs_are_ready_scheduled_or_running() {
        let state = BatchState::decode(stored()).unwrap();
        let mut blob = vec![0; 2 + 3 * 41];
        (blob[0], blob[1]) = (41, 1);
        (0..41_u8).for_each(|delay| blob.extend([0, 0, 0, 0, 0, delay]));
        let at = |millis| Some(Timestamp::from_millis(millis));
        let found = |of: JobState, first_due| {
            let jobs = state.jobs(of, &blob, first_due).unwrap();
            jobs.into_iter().map(|job| (job.position, job.at, job.worker.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(found(JobState::Running, at(1003)), [(1, at(5000), true), (40, at(5000), true)]);
        assert_eq!(found(JobState::Scheduled, at(1003)), [(3, at(1003), false)]);
        assert_eq!(found(JobState::Ready, at(1003)), [(0, None, false), (2, None, false)]);
        assert_eq!(found(JobState::Ready, None).len(), 3);
        assert!(state.jobs(JobState::Ready, &blob[..200], None).is_none());
    }

    #[test]
    fn no_prefix_of_a_state_is_read_beyond_its_end() {
        let (whole, without_lease) = (stored(), MILLIS + 8 + 1);
        for len in (0..whole.len()).filter(|&len| len != without_lease) {
            assert!(BatchState::decode(whole.slice(..len)).is_none(), "{len}");
        }
        assert!(BatchState::decode(whole.slice(..without_lease)).unwrap().leases.is_empty());
    }
}
