//! Keeping what is over within bounds.

use store_core::millis_ceil;

use super::life::Place;
use super::open_queue::OpenQueue;
use crate::fault::Fault;

/// How many jobs or unique keys of a kind go at a time.
const AT_A_TIME: usize = 32;

/// How many bytes of completed jobs a queue keeps on a full disk.
const KEPT_WHEN_FULL: u64 = 64 << 10;

impl OpenQueue<'_, '_> {
    /// Forgets some of what is over by its time: completed jobs, dead jobs, unique keys.
    pub(super) fn collect(&mut self) -> Result<(), Fault> {
        let (now, kept_for) = (self.now.millis(), millis_ceil(self.retention.dead_for));
        self.forget_until(Place::Completed(0).kind(), now, AT_A_TIME)?;
        if let Some(dead_by) = now.checked_sub(kept_for) {
            self.forget_until(Place::Dead(0).kind(), dead_by, AT_A_TIME)?;
        }
        for (end, key) in self.uniques_over(AT_A_TIME)? {
            self.remove_unique(&key)?;
            self.remove_end(end, &key)?;
        }
        Ok(())
    }

    /// Forgets the oldest completed and dead jobs as long as they pass a bound: at most [`AT_A_TIME`] more of each than
    /// were added.
    pub(super) fn keep_within_bounds(&mut self) -> Result<(), Fault> {
        for kind in [Place::Completed(0).kind(), Place::Dead(0).kind()] {
            for _ in 0..self.kept + AT_A_TIME {
                if self.is_within_bounds(kind) || self.forget_until(kind, u64::MAX, 1)? == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    fn is_within_bounds(&mut self, kind: u8) -> bool {
        let (bytes, most_bytes, most) = if kind == Place::Dead(0).kind() {
            (self.ledger.dead_bytes, self.retention.dead_bytes, self.retention.dead_count)
        } else {
            let most_bytes = if self.change.is_full() { KEPT_WHEN_FULL } else { u64::MAX };
            let most_bytes = most_bytes.min(self.retention.completed_bytes);
            (self.ledger.completed_bytes, most_bytes, self.retention.completed_count)
        };
        *self.ledger.count(kind) <= most && bytes <= most_bytes
    }

    /// Forgets up to `max` jobs of a kind whose time is not later than `until`, the earliest first. How many.
    fn forget_until(&mut self, kind: u8, until: u64, max: usize) -> Result<usize, Fault> {
        let jobs = self.jobs(kind..=kind, until, max)?;
        for (job, place) in &jobs {
            let life = self.find_placed(job, *place)?;
            self.forget(job, &life)?;
        }
        Ok(jobs.len())
    }
}
