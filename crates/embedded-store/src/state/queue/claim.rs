//! Claiming.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use store_core::{
    Claim, ClaimRequest, ClaimedJob, Fence, HolderName, JobId, JobLease, MAX_MOVES, Op, Result, Timestamp, UniqueUntil,
};

use super::life::{Delivery, Life, Place};
use super::open_queue::{NOT_THERE, OpenQueue, job_key};
use super::record::Record;
use super::settings::Settings;
use crate::EmbeddedState;
use crate::fault::Fault;
use crate::rows::{Change, Rows, Table};
use crate::waiting::{Mailbox, Registration, RememberedClaim};

impl EmbeddedState {
    /// Claims. A waiter that found fewer jobs than it wanted is registered at the queue in the same transaction, with its reserve.
    pub(super) async fn claim_jobs(
        &self,
        request: &ClaimRequest,
        waiter: Option<(Arc<Mailbox>, usize)>,
    ) -> Result<Claim> {
        request.validate()?;
        let (request, settings) = (request.clone(), Settings::new(Op::QueueClaim, &request.queue, &self.options));
        // What `next` returns from now on is as many places less for this claim.
        let taken = waiter.as_ref().map_or(0, |(mailbox, _)| mailbox.promised(&request.queue).1);
        let apply = move |change: &mut Change<'_>| {
            let mut request = request.clone();
            let (max, mut room) = (request.max, request.max);
            if let Some((mailbox, _)) = &waiter {
                let replaced = change.effects.unregister(&request.queue, mailbox);
                // What was handed over before is on its way to the waiter, or the waiter has taken it during this call.
                let handed = mailbox.promised(&request.queue).0 - taken;
                room = request.max.max(replaced + handed) - handed;
                if room == 0 && !request.is_repeat {
                    return Ok(Claim::default());
                }
                // A repetition gets what its first copy has leased.
                request.max = if request.is_repeat { request.max } else { request.max.min(room) };
            }
            let mut claim = match OpenQueue::existing(change, &request.queue, &settings)? {
                Some(mut open) => {
                    let claim = open.claim(&request)?;
                    open.close()?;
                    claim
                }
                // Nothing was ever written to it.
                None => Claim::default(),
            };
            if claim.jobs.len() == request.max && request.max < max {
                // It had places for no more, and more may be ready.
                claim.next = Some(Duration::ZERO);
            }
            if let Some((mailbox, reserve)) = &waiter
                && claim.jobs.len() < request.max
                && claim.next != Some(Duration::ZERO)
            {
                let (unused, worker) = (room.saturating_sub(claim.jobs.len()), request.worker.clone());
                let reserve = (*reserve).min(unused);
                let waiter = Registration::new(mailbox.clone(), reserve, request.max_bytes, request.lease, worker);
                change.effects.register(&request.queue, waiter);
            }
            Ok(claim)
        };
        self.database.write(Op::QueueClaim, apply).await
    }
}

/// The kinds of places where jobs are ready.
const READY: RangeInclusive<u8> = 0..=3;

impl OpenQueue<'_, '_> {
    fn claim(&mut self, request: &ClaimRequest) -> Result<Claim, Fault> {
        if request.is_repeat
            && let Some(claim) = self.change.effects.recall(self.queue, request.request, self.now.millis())
        {
            return self.repeat(&claim, request);
        }
        if self.ledger.paused {
            return Ok(Claim::new(Vec::new(), None, true));
        }
        self.make_due_ready()?;
        self.take_back_run_out()?;
        let jobs = self.take_ready(request.max, request.max_bytes, request.lease, &request.worker)?;
        if let Some(first) = jobs.first() {
            let (fence, until) = (first.lease.fence, first.lease.until.as_millis());
            let jobs = jobs.iter().map(|job| job.lease.job.clone()).collect();
            let claimed_at = first.claimed_at;
            let claim = RememberedClaim { queue: self.queue.clone(), fence, until, claimed_at, jobs };
            self.change.effects.remember(request.request, claim, self.now.millis());
        }
        self.collect()?;
        let mut next = self.next_event()?;
        if self.ledger.ready() > 0 {
            self.notify();
            // Their bytes were too many, or only jobs that were too late were found so far.
            next = if jobs.len() < request.max { Some(Duration::ZERO) } else { next };
        }
        Ok(Claim::new(jobs, next, false))
    }

    /// Returns the jobs that an earlier claim leased and that are still leased by it. Those that exceed the bounds of this
    /// request become ready again, before all others.
    fn repeat(&mut self, claim: &RememberedClaim, request: &ClaimRequest) -> Result<Claim, Fault> {
        let (mut jobs, mut bytes, mut given_back) = (Vec::new(), 0, Vec::new());
        for job in &claim.jobs {
            let Some(life) = self.find(job)?.filter(|life| life.is_held_by(claim.fence, self.now.millis())) else {
                continue;
            };
            let (record, payload) = self.record(job)?;
            if jobs.len() == request.max || (bytes >= request.max_bytes && !jobs.is_empty()) {
                given_back.push((job, life));
                continue;
            }
            bytes += payload.len();
            jobs.push(claimed(job.clone(), record, payload, life, claim.claimed_at));
        }
        for (job, mut life) in given_back.into_iter().rev() {
            if life.cancel_requested {
                self.forget(job, &life)?;
                continue;
            }
            life.end_delivery(Delivery::None);
            life.attempts = life.attempts.saturating_sub(1);
            let place = self.ledger.first_place(life.priority);
            self.notify();
            self.move_to(job, &mut life, place)?;
        }
        let next = if self.ledger.ready() > 0 { Some(Duration::ZERO) } else { self.next_event()? };
        Ok(Claim::new(jobs, next, self.ledger.paused))
    }

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
            let is_attempt = life.run_out();
            if is_attempt && life.attempts >= u32::from(life.max_attempts) {
                self.bury(&job, &mut life, "lease ran out on the last attempt")?;
                continue;
            }
            if is_attempt {
                life.last_error = Some("lease ran out".to_owned());
            }
            let place = self.ledger.last_place(life.priority);
            self.move_to(&job, &mut life, place)?;
        }
        Ok(())
    }

    /// Takes up to `max` ready jobs, until they have `max_bytes`. Those that are too late become dead instead, up to [`MAX_MOVES`]
    /// of them.
    pub(super) fn take_ready(
        &mut self,
        max: usize,
        max_bytes: usize,
        lease: Duration,
        worker: &HolderName,
    ) -> Result<Vec<ClaimedJob>, Fault> {
        let fence = Fence::following(self.ledger.fence, self.now.micros());
        let until = self.now.after(lease);
        let (mut taken, mut bytes, mut late) = (Vec::new(), 0, 0);
        while taken.len() < max && bytes < max_bytes && late <= MAX_MOVES {
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
                self.ledger.fence = Some(fence);
                taken.push(self.take(job, record, payload, life, (fence, until, worker))?);
                if bytes >= max_bytes {
                    break;
                }
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
        Ok(claimed(job, record, payload, life, Timestamp::from_millis(self.now.millis_up())))
    }

    pub(super) fn record(&mut self, job: &JobId) -> Result<(Record, Bytes), Fault> {
        let record = self.change.get(Table::Jobs, &job_key(self.ledger.number, job), |row| {
            let (record, payload) = Record::decode(row)?;
            Ok((record, Bytes::copy_from_slice(payload)))
        })?;
        record.ok_or(NOT_THERE)
    }

    /// How long until something becomes due, or a lease runs out.
    pub(super) fn next_event(&mut self) -> Result<Option<Duration>, Fault> {
        let due = self.first(Place::Scheduled(0).kind())?;
        let run_out = self.first(Place::Running(0).kind())?;
        let next = due.into_iter().chain(run_out).min();
        Ok(next.map(|next| Duration::from_millis(next.saturating_sub(self.now.millis()))))
    }
}

/// A running job as its worker gets it.
fn claimed(job: JobId, record: Record, payload: Bytes, life: Life, claimed_at: Timestamp) -> ClaimedJob {
    let (fence, until) = (life.fence, life.place.order());
    let unique = life.unique_until_finished().cloned();
    let lease = JobLease::new(job, fence, Timestamp::from_millis(until)).with_unique(unique);
    let mut claimed = ClaimedJob::new(lease, life.attempts, payload, record.pushed_at, claimed_at);
    claimed.priority = record.priority;
    claimed.unique = record.unique;
    claimed.retry = record.retry;
    claimed.schema = record.schema;
    claimed.trace = record.trace;
    claimed.last_error = life.last_error;
    claimed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateOptions;
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
