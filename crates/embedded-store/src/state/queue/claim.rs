//! Claiming.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use store_core::{
    Claim, ClaimRequest, ClaimedJob, Fence, HolderName, JobId, JobLease, MAX_MOVES, NewJob, Op, Result, Timestamp,
    UniqueUntil,
};

use super::life::{Delivery, Life, Place};
use super::open_queue::{NOT_THERE, OpenQueue, job_key};
use super::record::Record;
use crate::EmbeddedState;
use crate::fault::Fault;
use crate::rows::{Rows, Table};

impl EmbeddedState {
    pub(super) async fn claim_jobs(&self, request: &ClaimRequest) -> Result<Claim> {
        request.validate()?;
        let (max, lease, worker) = (request.max, request.lease, request.worker.clone());
        let claim = self.change_existing(Op::QueueClaim, &request.queue, move |queue| {
            if queue.ledger.paused {
                return Ok(Claim::new(Vec::new(), None, true));
            }
            queue.make_due_ready()?;
            queue.take_back_run_out()?;
            let jobs = queue.take_ready(max, lease, &worker)?;
            queue.collect()?;
            let mut next = queue.next_event()?;
            if queue.ledger.ready() > 0 {
                queue.tell();
                // Their bytes were too many, or only jobs that were too late were found so far.
                next = if jobs.len() < max { Some(Duration::ZERO) } else { next };
            }
            Ok(Claim::new(jobs, next, false))
        });
        Ok(claim.await?.unwrap_or_default())
    }
}

/// The kinds of places where jobs are ready.
const READY: RangeInclusive<u8> = 0..=3;

impl OpenQueue<'_, '_> {
    /// Makes scheduled jobs ready that are due.
    fn make_due_ready(&mut self) -> Result<(), Fault> {
        let kind = Place::Scheduled(0).kind();
        for (job, place) in self.jobs(kind..=kind, self.now.millis(), MAX_MOVES)? {
            let mut life = self.find_placed(&job, place)?;
            if life.place != place {
                continue; // it was set aside
            }
            let place = self.ledger.last_place(life.priority);
            self.move_to(&job, &mut life, place)?;
        }
        Ok(())
    }

    /// Takes jobs back whose lease has run out.
    fn take_back_run_out(&mut self) -> Result<(), Fault> {
        let kind = Place::Running(0).kind();
        for (job, place) in self.jobs(kind..=kind, self.now.millis(), MAX_MOVES)? {
            let mut life = self.find_placed(&job, place)?;
            if life.place != place {
                continue; // it was set aside
            }
            if life.cancel_requested {
                self.forget(&job, &life)?;
                continue;
            }
            life.end_delivery(Delivery::RanOut);
            if life.attempts >= u32::from(life.max_attempts) {
                self.bury(&job, &mut life, "lease ran out on the last attempt")?;
            } else {
                life.last_error = Some("lease ran out".to_owned());
                let place = self.ledger.last_place(life.priority);
                self.move_to(&job, &mut life, place)?;
            }
        }
        Ok(())
    }

    /// Takes up to `max` ready jobs. Those that are too late become dead instead, up to [`MAX_MOVES`] of them.
    fn take_ready(&mut self, max: usize, lease: Duration, worker: &HolderName) -> Result<Vec<ClaimedJob>, Fault> {
        let fence = Fence::following(self.ledger.fence, self.now.micros());
        let until = self.now.after(lease);
        let (mut taken, mut bytes, mut late) = (Vec::new(), 0, 0);
        while taken.len() < max && late <= MAX_MOVES {
            let jobs = self.jobs(READY, u64::MAX, max - taken.len())?;
            if jobs.is_empty() && self.ledger.ready() > 0 && taken.is_empty() {
                // The queue's count includes jobs that no readable row leads to.
                match self.confirm_places()? {
                    true => continue,
                    false => return Err(Fault::Corrupt("a row of the table places is damaged")),
                }
            }
            if jobs.is_empty() {
                break;
            }
            for (job, place) in jobs {
                let read = self.record(&job).and_then(|(record, payload)| {
                    let life = self.life(&job, &record, &payload)?;
                    Ok((record, payload, life))
                });
                let (record, payload, mut life) = match read {
                    Err(Fault::Corrupt(what)) => {
                        late += 1;
                        self.set_aside(&job, place, what)?;
                        continue;
                    }
                    read => read?,
                };
                if life.start_by.is_some_and(|end| end <= self.now.millis()) {
                    late += 1;
                    self.bury(&job, &mut life, "deadline")?;
                    continue;
                }
                bytes += payload.len();
                if bytes > NewJob::MAX_BATCH_BYTES && !taken.is_empty() {
                    return Ok(taken);
                }
                self.ledger.fence = Some(fence);
                taken.push(self.take(job, record, payload, life, (fence, until, worker))?);
            }
        }
        Ok(taken)
    }

    fn take(
        &mut self,
        job: JobId,
        record: Record,
        payload: Bytes,
        mut life: Life,
        (fence, until, worker): (Fence, u64, &HolderName),
    ) -> Result<ClaimedJob, Fault> {
        if matches!(life.unique, Some((_, UniqueUntil::Claimed))) {
            self.release_unique(&job, &life)?;
            life.unique = None;
        }
        life.end_delivery(Delivery::Running);
        life.fence = fence;
        life.attempts += 1;
        life.start_by = None;
        life.worker = worker.as_str().to_owned();
        self.move_to(&job, &mut life, Place::Running(until))?;
        let unique = life.unique_until_finished().cloned();
        let lease = JobLease::new(job, fence, Timestamp::from_millis(until)).with_unique(unique);
        let claimed_at = Timestamp::from_millis(self.now.millis_up());
        let mut claimed = ClaimedJob::new(lease, life.attempts, payload, record.pushed_at, claimed_at);
        claimed.priority = record.priority;
        claimed.unique = record.unique;
        claimed.retry = record.retry;
        claimed.schema = record.schema;
        claimed.trace = record.trace;
        claimed.last_error = life.last_error;
        Ok(claimed)
    }

    pub(super) fn record(&mut self, job: &JobId) -> Result<(Record, Bytes), Fault> {
        let record = self.change.get(Table::Jobs, &job_key(self.ledger.number, job), |row| {
            let (record, payload) = Record::decode(row)?;
            Ok((record, Bytes::copy_from_slice(payload)))
        })?;
        record.ok_or(NOT_THERE)
    }

    /// How long until something becomes due, or a lease runs out.
    fn next_event(&mut self) -> Result<Option<Duration>, Fault> {
        let due = self.first(Place::Scheduled(0).kind())?;
        let run_out = self.first(Place::Running(0).kind())?;
        let next = due.into_iter().chain(run_out).min();
        Ok(next.map(|next| Duration::from_millis(next.saturating_sub(self.now.millis()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateOptions;
    use crate::rows::Change;
    use store_core::{
        Deleted, Durability, JobState, NewJob, PageRequest, Queue, QueueControl, QueueInspect, QueueName,
    };

    #[tokio::test]
    async fn a_place_without_a_job_is_set_aside_and_holds_up_no_other() {
        let store = EmbeddedState::in_memory(store_core::ServiceName::new("orders").unwrap(), StateOptions::default());
        let queue = QueueName::new("mail").unwrap();
        let jobs = [NewJob::new("a"), NewJob::new("b")];
        let pushed = store.push(&queue, &jobs, Durability::Accepted).await.unwrap().value;
        let [lost, whole] = [0, 1].map(|job: usize| pushed[job].id().unwrap().clone());
        let id = lost.clone();
        let remove = move |change: &mut Change<'_>| change.remove(Table::Jobs, &job_key(0, &id));
        assert!(store.database.write(Op::QueueDelete, remove).await.unwrap());
        let request = ClaimRequest::new(queue.clone(), HolderName::new("worker").unwrap(), 2, Duration::from_secs(15));
        let claimed = store.claim(&request).await.unwrap().jobs;
        assert_eq!(claimed.iter().map(|job| &job.lease.job).collect::<Vec<_>>(), [&whole]);
        let dead = store.list(&queue, JobState::Dead, PageRequest::default()).await.unwrap().items;
        assert_eq!(dead[0].id, lost);
        assert_eq!(dead[0].last_error.as_deref(), Some("a job has a place and no record"));
        assert_eq!(store.delete(&queue, &[lost]).await.unwrap(), [Deleted::Deleted]);
    }
}
