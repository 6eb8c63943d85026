//! Entries of outboxes that a process has claimed.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::{ClaimedJob, Delivery, Error, JobId, Op, QueueName, Result, cut_reason};

/// An entry of an outbox that this process has claimed, for [`Homes::deliver`](crate::Homes::deliver).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutboxEntry {
    /// The outbox: [`QueueName::outbox`].
    pub outbox: QueueName,
    /// What was claimed.
    pub job: ClaimedJob,
    /// When the claim, or the last extension that was answered, was sent, by the clock of this process. Never give a later
    /// time: the entry may be delivered until this time plus `lease`.
    pub since: Instant,
    /// How long the lease lasts.
    pub lease: Duration,
}

impl OutboxEntry {
    /// An entry whose claim was sent at `since`, for this lease.
    pub fn new(outbox: QueueName, job: ClaimedJob, since: Instant, lease: Duration) -> Self {
        Self { outbox, job, since, lease }
    }

    /// When the lease ends at the earliest.
    #[doc(hidden)]
    pub fn held_until(&self) -> Instant {
        self.since + self.lease
    }

    /// What it delivers. `Ok(Err(why))` if it is refused for good: it is damaged, or too old.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the queue is no outbox; [`Error::Unsupported`] for an entry of a later version.
    #[doc(hidden)]
    pub fn delivery(&self) -> Result<Result<Delivery, String>> {
        if !self.outbox.is_outbox() {
            return Err(Error::invalid_argument(Op::HomeDeliver, "the queue is no outbox: claim from the outbox"));
        }
        let job = &self.job;
        // The first attempt also of one that was replayed. The queue itself refuses those that nobody has claimed in time.
        if job.attempt > 1 && job.claimed_at.since(job.pushed_at) > Delivery::LIFE {
            let failed = |error: &String| cut_reason(&format!("deadline; the last attempt failed: {error}")).to_owned();
            return Ok(Err(job.last_error.as_ref().map_or_else(|| "deadline".to_owned(), failed)));
        }
        let mut delivery = match Delivery::decode(job.payload.clone()) {
            Err(error @ Error::Corrupt { .. }) => return Ok(Err(error.detail().into_owned())),
            decoded => decoded?,
        };
        if let Delivery::Job { job, .. } = &mut delivery {
            // Of the entry, not of the commit: two entries of a commit can have jobs with the same id.
            let [.., a, b, c, d] = self.identity();
            job.request = u32::from_be_bytes([a, b, c, d]);
        }
        Ok(Ok(delivery))
    }

    /// What identifies it at its destination.
    fn identity(&self) -> [u8; 16] {
        let digest = Sha256::new()
            .chain_update(self.outbox.as_str())
            .chain_update([0])
            .chain_update(self.job.id().as_str())
            .finalize();
        std::array::from_fn(|at| digest[at])
    }

    /// The identity of its call of a script at its destination.
    #[doc(hidden)]
    pub fn call(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.identity();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The id of the job that it pushes to a partition, if the job has none.
    #[doc(hidden)]
    pub fn job_id(&self, partition: u16) -> JobId {
        JobId::batch_from(self.identity(), partition).job(0)
    }

    /// A number below `count` that depends on the id of the entry alone.
    #[doc(hidden)]
    pub fn choice(&self, count: u16) -> u16 {
        let [.., high, low] = self.identity();
        u16::from_be_bytes([high, low]) % count.max(1)
    }
}

/// The outcome of [`Homes::deliver`](crate::Homes::deliver).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Delivered {
    /// The destination has the job or the event, and the entry is removed.
    Done,
    /// The destination refuses it for good, for this reason. The entry is dead.
    Refused(String),
    /// The lease of the entry had ended: another process delivers it, or has delivered it. It was delivered at most once.
    Lost,
}
