//! Types of jobs, and the queues that carry them.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ext::only;
use super::{NewJob, Pushed, Queue, RetryPolicy};
use crate::json::to_json;
use crate::{Durability, Op, QueueName, Receipt, Result};

/// A type of jobs: what they carry, the name of their queue, the version of their form, and their retry policy.
///
/// The producer and the worker use the same declaration, so neither repeats the queue's name. A payload is stored as JSON. A
/// queue carries jobs of one type; to put several kinds of work into one queue, make the type an enum.
///
/// ```
/// use std::time::Duration;
/// use twinstore::queue::{Backoff, JobType, RetryPolicy};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Mail {
///     to: String,
/// }
///
/// impl JobType for Mail {
///     const QUEUE: &'static str = "mails";
///
///     fn retry_policy() -> RetryPolicy {
///         RetryPolicy::new(5, Backoff::Fixed(Duration::from_secs(30)))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// let mails = stores.state().queue_of::<Mail>();
/// assert_eq!(mails.name().as_str(), "mails");
/// assert_eq!(mails.job(&Mail { to: "ann@example.org".into() })?.retry.max_attempts, 5);
/// # Ok(())
/// # }
/// ```
///
/// # Versions
/// Producers and workers are deployed one after the other, so a worker meets jobs of other versions. Each job carries the
/// [`VERSION`](JobType::VERSION) of the code that pushed it. A typed handler treats it as follows:
///
/// | version of the job | what the worker does |
/// |---|---|
/// | the same, lower, or 0 (pushed without a type) | reads the payload. New fields need `#[serde(default)]` |
/// | higher | snoozes the job, which uses no attempt, so that a newer worker takes it |
/// | any that is not higher, but the payload is not JSON of this type | the job is dead, with the place of the error as its reason |
///
/// Raise the version with each change that older code would misread. Once no job of an older version is left in the queue,
/// the code for it may go.
pub trait JobType: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name of the queue. A name that is not valid does not compile (see [`QueueName::of`]).
    const QUEUE: &'static str;

    /// The version of the payload's form, at least 1. Default 1. In a job at hand it is the job's `schema`.
    const VERSION: u16 = 1;

    /// What happens to a job that fails. Default: [`RetryPolicy::default`].
    fn retry_policy() -> RetryPolicy {
        RetryPolicy::default()
    }
}

/// The queue of one type of jobs. Clones share the store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use std::time::Duration;
/// use twinstore::queue::{JobType, TypedQueue};
///
/// # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// # struct Mail {
/// #     to: String,
/// # }
/// # impl JobType for Mail {
/// #     const QUEUE: &'static str = "mails";
/// # }
/// let mails: TypedQueue<Mail> = stores.state().queue_of();
/// let mail = Mail { to: "ann@example.org".into() };
/// mails.push(&mail).await?;
/// mails.push_one(mails.job(&mail)?.with_delay(Duration::from_secs(60))).await?;
/// assert_eq!(stores.state().inspect().counts(mails.name()).await?.pending(), 2);
/// # Ok(())
/// # }
/// ```
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

impl<T: JobType> TypedQueue<T> {
    /// The queue of this type in `queue`. Its pushes are [`Durability::Accepted`].
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self { queue, name: QueueName::of::<T>(), durability: Durability::Accepted, payload: PhantomData }
    }

    /// With another durability for its pushes.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Its name: [`JobType::QUEUE`].
    pub fn name(&self) -> &QueueName {
        &self.name
    }

    /// A job with this payload, a new id, and the retry policy and version of its type. Complete it with `with_…`, and push it
    /// with [`TypedQueue::push_one`] or [`TypedQueue::push_all`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the payload cannot be written as JSON.
    pub fn job(&self, payload: &T) -> Result<NewJob> {
        let json = to_json(Op::QueuePush, "the payload", payload)?;
        Ok(NewJob::new(json).with_retry(T::retry_policy()).with_schema(T::VERSION))
    }

    /// Pushes one job with this payload and a new id. To learn the id, make the job with [`TypedQueue::job`] and push it with
    /// [`TypedQueue::push_one`].
    ///
    /// # Errors
    /// As [`Queue::push`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the payload cannot be written
    /// as JSON.
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

    /// Pushes several jobs that [`TypedQueue::job`] made, in one call.
    ///
    /// # Errors
    /// As [`Queue::push`].
    pub async fn push_all(&self, jobs: &[NewJob]) -> Result<Receipt<Vec<Pushed>>> {
        self.queue.push(&self.name, jobs, self.durability).await
    }
}
