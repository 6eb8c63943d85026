//! Keeps the jobs of recent pushes, so that they can be pushed again after a failover that may have lost them.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use store_core::{Durability, JobId, LossReport, NewJob, Op, Queue, QueueName, Result};

use crate::StateStore;

/// How long a job is kept: as long as a receipt of its push.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// The bytes that a job counts besides its payload.
const OVERHEAD: usize = 256;
/// The most payload bytes in one push, unless a single job has more.
const BYTES: usize = 1 << 20;

/// The last jobs that were pushed, the oldest first.
#[derive(Debug)]
pub(crate) struct KeptPushes {
    /// The bound for the sum of their sizes. 0: no job is kept.
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    jobs: VecDeque<KeptJob>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct KeptJob {
    queue: QueueName,
    id: JobId,
    job: NewJob,
    at: Instant,
}

impl KeptJob {
    fn size(&self) -> usize {
        self.job.payload.len() + OVERHEAD
    }

    /// The same job. The time that has passed is subtracted from its delay.
    fn again(&self) -> NewJob {
        let delay = self.job.delay.saturating_sub(self.at.elapsed());
        self.job.clone().with_id(self.id.clone()).with_delay(delay)
    }
}

impl KeptPushes {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    /// Keeps jobs that a push created.
    pub(super) fn keep<'a>(&self, queue: &QueueName, created: impl Iterator<Item = (&'a NewJob, JobId)>) {
        if self.most == 0 {
            return;
        }
        let at = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (job, id) in created {
            let one = KeptJob { queue: queue.clone(), id, job: job.clone(), at };
            kept.bytes += one.size();
            kept.jobs.push_back(one);
        }
        let is_over =
            |kept: &Kept| kept.bytes > self.most || kept.jobs.front().is_some_and(|oldest| at - oldest.at > KEPT_FOR);
        while is_over(&kept) {
            let Some(oldest) = kept.jobs.pop_front() else { break };
            kept.bytes -= oldest.size();
        }
    }

    fn of(&self, queue: &QueueName, ids: &HashSet<&JobId>) -> Vec<KeptJob> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.jobs.iter().filter(|kept| kept.queue == *queue && ids.contains(&kept.id)).cloned().collect()
    }
}

impl StateStore {
    /// Pushes the jobs that a failover may have lost again, with the same ids. Returns the ids of the jobs that are no longer kept
    /// ([`StateOptions::kept_push_bytes`](store_core::StateOptions::kept_push_bytes)).
    ///
    /// # Errors
    /// Those of [`Queue::push`]. Some jobs may have been pushed.
    pub async fn push_again(&self, report: &LossReport, durability: Durability) -> Result<Vec<JobId>> {
        let writes = report.may_be_lost.iter().chain(&report.unknown).filter(|write| write.op == Op::QueuePush);
        let mut lost: BTreeMap<&str, Vec<&JobId>> = BTreeMap::new();
        for write in writes {
            lost.entry(&write.name).or_default().extend(&write.jobs);
        }
        let mut missing = Vec::new();
        for (name, ids) in lost {
            let Ok(queue) = QueueName::new(name) else { continue };
            let mut wanted: HashSet<&JobId> = ids.iter().copied().collect();
            let jobs = self.kept.of(&queue, &wanted);
            let again: Vec<NewJob> = jobs.iter().map(KeptJob::again).collect();
            let mut rest = again.as_slice();
            while !rest.is_empty() {
                let mut bytes = 0;
                let fits = rest.iter().take(NewJob::MAX_BATCH).take_while(|job| {
                    bytes += job.payload.len();
                    bytes <= BYTES
                });
                let (now, later) = rest.split_at(fits.count().max(1));
                let _recognised = self.push(&queue, now, durability).await?;
                rest = later;
            }
            jobs.iter().for_each(|kept| {
                wanted.remove(&kept.id);
            });
            missing.extend(ids.into_iter().filter(|id| wanted.contains(id)).cloned());
        }
        Ok(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_bounded_and_the_newest_are_kept() {
        let kept = KeptPushes::new(3 * (OVERHEAD + 100));
        let queue = QueueName::new("mails").unwrap();
        let ids: Vec<_> = (0..5).map(|_| JobId::generate()).collect();
        let wanted: HashSet<_> = ids.iter().collect();
        let job = NewJob::new(vec![0; 100]).with_delay(Duration::from_secs(9));
        for id in &ids {
            kept.keep(&queue, [(&job, id.clone())].into_iter());
        }
        let found = kept.of(&queue, &wanted);
        assert_eq!(found.iter().map(|kept| &kept.id).collect::<Vec<_>>(), ids[2..].iter().collect::<Vec<_>>());
        assert!(found[0].again().id == Some(ids[2].clone()) && found[0].again().delay <= job.delay);
        assert!(kept.of(&QueueName::new("others").unwrap(), &wanted).is_empty());
        let none = KeptPushes::new(0);
        none.keep(&queue, [(&job, ids[0].clone())].into_iter());
        assert!(none.of(&queue, &wanted).is_empty());
    }
}
