//! Settling.

use std::time::Duration;

use store_core::{Durability, JobId, Kept, Op, Outcome, QueueName, Receipt, Result, Settled, Settlement, cut_reason};

use super::life::{Delivery, Life, Place};
use super::open_queue::OpenQueue;
use crate::EmbeddedState;
use crate::fault::Fault;

impl EmbeddedState {
    pub(super) async fn settle_jobs(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        durability: Durability,
    ) -> Result<Receipt<Vec<Settled>>> {
        Settlement::validate_all(settlements)?;
        let reached = self.database.reach(Op::QueueSettle, durability)?;
        let batch = settlements.to_vec();
        let settled = self.change_existing(Op::QueueSettle, queue, move |queue| {
            batch.iter().map(|settlement| queue.settle(settlement)).collect::<Result<Vec<_>, Fault>>()
        });
        // Nothing was ever written to the queue: its leases are of another store.
        let settled = settled.await?.unwrap_or_else(|| vec![Settled::Lost; settlements.len()]);
        Ok(Receipt::new(settled, reached))
    }
}

impl OpenQueue<'_, '_> {
    /// Settles a job under its current lease. A repetition of a settlement returns [`Settled::Lost`].
    pub(super) fn settle_held(&mut self, settlement: &Settlement) -> Result<Settled, Fault> {
        let lease = &settlement.lease;
        match self.find(&lease.job)? {
            Some(life) if life.is_held_by(lease.fence, self.now.millis()) => self.settle(settlement),
            _ => Ok(Settled::Lost),
        }
    }

    /// No reply is lost here, so no call is remembered: a settlement of a removed job has not taken effect.
    pub(super) fn settle(&mut self, settlement: &Settlement) -> Result<Settled, Fault> {
        let lease = &settlement.lease;
        let Some(mut life) = self.find(&lease.job)? else { return Ok(Settled::Lost) };
        if !life.is_held_by(lease.fence, self.now.millis()) {
            let repeated = life.delivery == Delivery::Settled && life.fence == lease.fence;
            return Ok(if repeated { Settled::Done } else { Settled::Lost });
        }
        let comes_back =
            matches!(settlement.outcome, Outcome::Retry { .. } | Outcome::Snooze { .. } | Outcome::Release);
        if life.cancel_requested && comes_back {
            self.forget(&lease.job, &life)?;
            return Ok(Settled::Done);
        }
        life.end_delivery(Delivery::Settled);
        self.carry_out(&lease.job, &mut life, &settlement.outcome)?;
        Ok(Settled::Done)
    }

    fn carry_out(&mut self, job: &JobId, life: &mut Life, outcome: &Outcome) -> Result<(), Fault> {
        match outcome {
            Outcome::Complete(Some(kept)) if !kept.lasting.is_zero() => self.complete(job, life, kept),
            Outcome::Complete(_) | Outcome::Cancelled => self.forget(job, life),
            Outcome::Retry { error, .. } if life.attempts >= u32::from(life.max_attempts) => {
                self.bury(job, life, error)
            }
            Outcome::Retry { after, error } => {
                life.last_error = Some(cut_reason(error).to_owned());
                self.put_off(job, life, *after)
            }
            Outcome::Snooze { after } => {
                life.attempts = life.attempts.saturating_sub(1);
                self.put_off(job, life, *after)
            }
            Outcome::Dead { reason } => self.bury(job, life, reason),
            Outcome::Release => {
                life.attempts = life.attempts.saturating_sub(1);
                let place = self.ledger.first_place(life.priority);
                self.notify();
                self.move_to(job, life, place)
            }
        }
    }

    fn complete(&mut self, job: &JobId, life: &mut Life, kept: &Kept) -> Result<(), Fault> {
        self.release_unique(job, life)?;
        life.data = Some(kept.result.clone());
        self.move_to(job, life, Place::Completed(self.now.after(kept.lasting)))
    }

    fn put_off(&mut self, job: &JobId, life: &mut Life, after: Duration) -> Result<(), Fault> {
        let place = self.place_after(after, life.priority)?;
        self.move_to(job, life, place)
    }
}
