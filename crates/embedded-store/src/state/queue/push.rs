//! Pushing.

use store_core::{Durability, JobId, NewJob, Op, Pushed, QueueName, Receipt, Result};

use super::open_queue::{OpenQueue, job_key};
use super::record::Record;
use crate::EmbeddedState;
use crate::database::Operation;
use crate::fault::Fault;
use crate::rows::{Rows, Table};

impl EmbeddedState {
    pub(super) async fn push_jobs(
        &self,
        queue: &QueueName,
        jobs: &[NewJob],
        durability: Durability,
    ) -> Result<Receipt<Vec<Pushed>>> {
        NewJob::validate_all(jobs)?;
        let reached = self.database.reach(Op::QueuePush, durability)?;
        let jobs = with_ids(jobs);
        let pushed = self.change_queue(Operation::adding(Op::QueuePush), queue, move |queue| {
            jobs.iter().map(|(id, job)| queue.push(id, job)).collect::<Result<Vec<_>, Fault>>()
        });
        Ok(Receipt::new(pushed.await?, reached))
    }
}

impl OpenQueue<'_, '_> {
    /// No reply is lost here, so no call is remembered: a job without an id is pushed once.
    pub(super) fn push(&mut self, id: &JobId, job: &NewJob) -> Result<Pushed, Fault> {
        match self.request_of(id) {
            Ok(None) => {}
            Ok(Some(request)) if request == job.request => return Ok(Pushed::Created { id: id.clone() }),
            // It is not known which push added a damaged job, only that its id exists.
            Ok(Some(_)) | Err(Fault::Corrupt(_)) => return Ok(Pushed::Duplicate),
            Err(fault) => return Err(fault),
        }
        if let Some(unique) = &job.unique {
            if let Some(holder) = self.holder(&unique.key)? {
                return Ok(Pushed::Held { by: holder });
            }
            self.hold(&unique.key, unique.until, id)?;
        }
        let place = self.place_after(job.delay, job.priority)?;
        self.add(id, &Record::new(job, place, self.now), &job.payload)?;
        Ok(Pushed::Created { id: id.clone() })
    }

    /// The push that made the job which has this id now. One whose time is over is forgotten.
    fn request_of(&mut self, job: &JobId) -> Result<Option<u32>, Fault> {
        let key = job_key(self.ledger.number, job);
        let Some(request) = self.change.get(Table::Jobs, &key, |row| Ok(Record::decode(row)?.0.request))? else {
            return Ok(None);
        };
        match self.find(job)? {
            Some(life) if life.is_over(self.now.millis()) => {
                self.forget(job, &life)?;
                Ok(None)
            }
            _ => Ok(Some(request)),
        }
    }
}

/// The jobs with their ids. Jobs without one get those of new batches, one after the other.
fn with_ids(jobs: &[NewJob]) -> Vec<(JobId, NewJob)> {
    let mut assigned = 0;
    let mut batch = JobId::new_batch(0);
    let mut assign = || {
        if assigned == JobId::MAX_IN_BATCH {
            (assigned, batch) = (0, JobId::new_batch(0));
        }
        assigned += 1;
        batch.job(u8::try_from(assigned - 1).expect("invariant: a batch has 64 positions"))
    };
    jobs.iter().map(|job| (job.id.clone().unwrap_or_else(&mut assign), job.clone())).collect()
}
