//! Conveniences on top of [`Queue`].

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ClaimedJob, NewJob, Outcome, Pushed, Queue, Settled, Settlement};
use crate::{Durability, Error, JobLease, Op, QueueName, Receipt, Result};

/// Conveniences that every [`Queue`] has.
#[async_trait]
pub trait QueueExt: Queue {
    /// Pushes one job, which is [`Durability::Accepted`].
    ///
    /// # Errors
    /// As [`Queue::push`].
    async fn push_one(&self, queue: &QueueName, job: NewJob) -> Result<Pushed> {
        let receipt = self.push(queue, &[job], Durability::Accepted).await?;
        only(receipt.value, Op::QueuePush)
    }

    /// Settles one job, which is [`Durability::Accepted`].
    ///
    /// # Errors
    /// As [`Queue::settle`].
    async fn settle_one(&self, queue: &QueueName, lease: JobLease, outcome: Outcome) -> Result<Settled> {
        let receipt = self.settle(queue, &[Settlement::new(lease, outcome)], Durability::Accepted).await?;
        only(receipt.value, Op::QueueSettle)
    }
}

impl<Q: Queue + ?Sized> QueueExt for Q {}

fn only<T>(mut answers: Vec<T>, op: Op) -> Result<T> {
    match (answers.pop(), answers.is_empty()) {
        (Some(answer), true) => Ok(answer),
        _ => Err(Error::corrupt(op, "the store did not answer each job once")),
    }
}

/// A queue whose payloads are values of one type, stored as JSON.
#[derive(Debug)]
pub struct TypedQueue<T> {
    queue: Arc<dyn Queue>,
    name: QueueName,
    durability: Durability,
    payload: PhantomData<fn(T) -> T>,
}

impl<T> Clone for TypedQueue<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), name: self.name.clone(), durability: self.durability, payload: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + Sync> TypedQueue<T> {
    /// The queue of this name. Its pushes are [`Durability::Accepted`].
    pub fn new(queue: Arc<dyn Queue>, name: QueueName) -> Self {
        Self { queue, name, durability: Durability::Accepted, payload: PhantomData }
    }

    /// With another durability for its pushes.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Its name.
    pub fn name(&self) -> &QueueName {
        &self.name
    }

    /// A job with this payload, to be adorned with `with_…` and pushed.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the value cannot be written as JSON.
    pub fn job(&self, payload: &T) -> Result<NewJob> {
        match serde_json::to_vec(payload) {
            Ok(json) => Ok(NewJob::new(Bytes::from(json))),
            Err(_) => Err(Error::rejected(Op::QueuePush, "the payload cannot be written as JSON")),
        }
    }

    /// Pushes one job with this payload and a new id; [`TypedQueue::job`] and [`TypedQueue::push_one`] tell the id.
    ///
    /// # Errors
    /// As [`Queue::push`], and [`Error::Rejected`] when the value cannot be written as JSON.
    pub async fn push(&self, payload: &T) -> Result<Pushed> {
        self.push_one(self.job(payload)?).await
    }

    /// Pushes one job that [`TypedQueue::job`] made.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub async fn push_one(&self, job: NewJob) -> Result<Pushed> {
        only(self.push_all(&[job]).await?.value, Op::QueuePush)
    }

    /// Pushes several jobs in one call.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub async fn push_all(&self, jobs: &[NewJob]) -> Result<Receipt<Vec<Pushed>>> {
        self.queue.push(&self.name, jobs, self.durability).await
    }

    /// The payload of a claimed job.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is not JSON of this type.
    pub fn payload(job: &ClaimedJob) -> Result<T> {
        serde_json::from_slice(&job.payload).map_err(|error| {
            Error::corrupt(Op::QueueClaim, format!("the payload is not what was expected, at byte {}", error.column()))
        })
    }
}
