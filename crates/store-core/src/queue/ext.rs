//! [`QueueExt`] and [`TypedQueue`]: single jobs, and payloads of one type, on any [`Queue`].

use async_trait::async_trait;

use super::{NewJob, Outcome, Pushed, Queue, Settled, Settlement};
use crate::{Durability, Error, JobLease, Op, QueueName, Result};

/// Calls for single jobs, on every [`Queue`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::queue::{NewJob, QueueExt, QueueName};
///
/// let mails = QueueName::new("mails")?;
/// let pushed = stores.state().queue().push_one(&mails, NewJob::new("to ann")).await?;
/// assert!(pushed.is_new());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait QueueExt: Queue {
    /// `async fn push_one(&self, queue: &QueueName, job: NewJob) -> Result<Pushed>`
    ///
    /// Pushes one job with [`Durability::Accepted`].
    ///
    /// # Errors
    /// Those of [`Queue::push`].
    async fn push_one(&self, queue: &QueueName, job: NewJob) -> Result<Pushed> {
        let receipt = self.push(queue, &[job], Durability::Accepted).await?;
        only(receipt.value, Op::QueuePush)
    }

    /// `async fn settle_one(&self, queue: &QueueName, lease: JobLease, outcome: Outcome) -> Result<Settled>`
    ///
    /// Settles one job with [`Durability::Accepted`].
    ///
    /// # Errors
    /// Those of [`Queue::settle`].
    async fn settle_one(&self, queue: &QueueName, lease: JobLease, outcome: Outcome) -> Result<Settled> {
        let receipt = self.settle(queue, &[Settlement::new(lease, outcome)], Durability::Accepted).await?;
        only(receipt.value, Op::QueueSettle)
    }
}

impl<Q: Queue + ?Sized> QueueExt for Q {}

pub(super) fn only<T>(mut answers: Vec<T>, op: Op) -> Result<T> {
    match (answers.pop(), answers.is_empty()) {
        (Some(answer), true) => Ok(answer),
        _ => Err(Error::corrupt(op, "the store did not answer each job once")),
    }
}
