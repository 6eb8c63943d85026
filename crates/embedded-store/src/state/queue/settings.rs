//! What an operation needs of the options of its store.

use store_core::{Clock, Error, JobId, Op, QueueName, Retention, StateOptions};

use super::ledger::Ledger;
use crate::fault::Fault;
use crate::moment::Moment;

/// What an operation needs of the options of its store.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    op: Op,
    clock: Clock,
    retention: Retention,
    /// How many partitions the store declares for the queue, or for the queue of the outbox.
    partitions: Option<u16>,
}

impl Settings {
    pub(super) fn new(op: Op, queue: &QueueName, options: &StateOptions) -> Self {
        let partitions = options.partitions.get(&queue.of_outbox()).copied();
        Self { op, clock: options.clock.clone(), retention: options.retention, partitions }
    }

    pub(super) fn now(&self) -> Moment {
        Moment::now(&self.clock)
    }

    pub(super) fn retention(&self) -> Retention {
        self.retention
    }

    /// Refuses a queue that has another number of partitions than the store declares.
    pub(super) fn check(&self, ledger: Ledger) -> Result<Ledger, Fault> {
        match self.partitions {
            Some(declared) if declared != ledger.partitions => {
                let detail = format!("the queue has {} partitions; this store declares {declared}", ledger.partitions);
                Err(Fault::Refused(Error::invalid_argument(self.op, detail)))
            }
            _ => Ok(ledger),
        }
    }

    /// The number of partitions of a new queue.
    pub(super) fn partitions(&self) -> Result<u16, Fault> {
        match self.partitions {
            Some(declared) if !(1..=JobId::MAX_PARTITIONS).contains(&declared) => {
                let most = JobId::MAX_PARTITIONS;
                let detail = format!("a queue has 1 to {most} partitions; this store declares {declared}");
                Err(Fault::Refused(Error::invalid_argument(self.op, detail)))
            }
            declared => Ok(declared.unwrap_or(1)),
        }
    }
}
