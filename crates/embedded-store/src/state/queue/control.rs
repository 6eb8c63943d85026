//! Acting on a queue from outside.

use async_trait::async_trait;
use store_core::{
    Cancelled, Deleted, Fence, JobId, Op, QueueControl, QueueName, Replayed, Result, UniqueUntil, validate_batch,
};

use super::life::{Delivery, Life, Place};
use super::open_queue::OpenQueue;
use crate::EmbeddedState;
use crate::database::Operation;
use crate::fault::Fault;

#[async_trait]
impl QueueControl for EmbeddedState {
    async fn cancel(&self, queue: &QueueName, job: &JobId) -> Result<Cancelled> {
        let job = job.clone();
        let cancelled = self.change_existing(Op::QueueCancel, queue, move |queue| queue.cancel(&job));
        Ok(cancelled.await?.unwrap_or(Cancelled::Unknown))
    }

    async fn replay(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Replayed>> {
        let replay = |queue: &mut OpenQueue<'_, '_>, job: &JobId| queue.replay(job);
        self.act_on_each(Op::QueueReplay, queue, jobs, Replayed::NotDead, replay).await
    }

    async fn delete(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<Deleted>> {
        let delete = |queue: &mut OpenQueue<'_, '_>, job: &JobId| queue.delete(job);
        self.act_on_each(Op::QueueDelete, queue, jobs, Deleted::Unknown, delete).await
    }

    async fn promote(&self, queue: &QueueName, jobs: &[JobId]) -> Result<Vec<bool>> {
        let promote = |queue: &mut OpenQueue<'_, '_>, job: &JobId| queue.promote(job);
        self.act_on_each(Op::QueuePromote, queue, jobs, false, promote).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<()> {
        let pause = |queue: &mut OpenQueue<'_, '_>| {
            queue.ledger.paused = true;
            Ok(())
        };
        self.change_queue(Op::QueuePause, queue, pause).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<()> {
        let resume = |queue: &mut OpenQueue<'_, '_>| {
            queue.ledger.paused = false;
            queue.notify();
            Ok(())
        };
        self.change_existing(Op::QueueResume, queue, resume).await.map(|_| ())
    }
}

impl EmbeddedState {
    /// One answer for each job; `unknown` when the queue has none.
    async fn act_on_each<T: Clone + Send + 'static>(
        &self,
        op: Op,
        queue: &QueueName,
        jobs: &[JobId],
        unknown: T,
        act: fn(&mut OpenQueue<'_, '_>, &JobId) -> Result<T, Fault>,
    ) -> Result<Vec<T>> {
        validate_batch(op, jobs.len())?;
        let (batch, asked) = (jobs.to_vec(), jobs.len());
        let operation = Operation { op, adds: op == Op::QueueReplay };
        let answers = self.change_existing(operation, queue, move |queue| {
            batch.iter().map(|job| act(queue, job)).collect::<Result<Vec<_>, Fault>>()
        });
        Ok(answers.await?.unwrap_or_else(|| vec![unknown; asked]))
    }
}

impl OpenQueue<'_, '_> {
    fn cancel(&mut self, job: &JobId) -> Result<Cancelled, Fault> {
        let Some(mut life) = self.find_kept(job)? else { return Ok(Cancelled::Unknown) };
        match life.place {
            Place::Ready(..) | Place::Scheduled(_) => {
                self.forget(job, &life)?;
                Ok(Cancelled::Removed)
            }
            Place::Running(_) => {
                if !life.cancel_requested {
                    life.cancel_requested = true;
                    self.save(job, &life)?;
                }
                Ok(Cancelled::Requested)
            }
            Place::Completed(_) | Place::Dead(_) => Ok(Cancelled::Finished),
        }
    }

    /// Makes a dead job ready again, without its deadline. The job takes its unique key again, unless the key is held for a
    /// time, because that time began with the push.
    fn replay(&mut self, job: &JobId) -> Result<Replayed, Fault> {
        let Some(mut life) = self.find(job)?.filter(|life| matches!(life.place, Place::Dead(_))) else {
            return Ok(Replayed::NotDead);
        };
        let (record, _) = self.record(job)?;
        let unique = record.unique.filter(|unique| !matches!(unique.until, UniqueUntil::Elapsed(_)));
        if let Some(unique) = &unique {
            if let Some(by) = self.holder(&unique.key)? {
                return Ok(Replayed::Held { by });
            }
            self.hold(&unique.key, unique.until, job)?;
        }
        life.end_delivery(Delivery::None);
        life.fence = Fence::new(0);
        life.attempts = 0;
        life.unheard = 0;
        life.last_error = None;
        life.start_by = None;
        life.unique = unique.map(|unique| (unique.key, unique.until));
        self.make_ready(job, &mut life)?;
        Ok(Replayed::Replayed)
    }

    fn delete(&mut self, job: &JobId) -> Result<Deleted, Fault> {
        match self.find_kept(job)? {
            None => Ok(Deleted::Unknown),
            Some(Life { place: Place::Running(_), .. }) => Ok(Deleted::Running),
            Some(life) => {
                self.forget(job, &life)?;
                Ok(Deleted::Deleted)
            }
        }
    }

    fn promote(&mut self, job: &JobId) -> Result<bool, Fault> {
        let Some(mut life) = self.find(job)?.filter(|life| matches!(life.place, Place::Scheduled(_))) else {
            return Ok(false);
        };
        self.make_ready(job, &mut life)?;
        Ok(true)
    }

    fn make_ready(&mut self, job: &JobId, life: &mut Life) -> Result<(), Fault> {
        let place = self.ledger.last_place(life.priority);
        self.notify();
        self.move_to(job, life, place)
    }
}
