//! Handlers of one type of jobs.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use store_core::JobType;

use crate::handler::{Done, Handler, HandlerResult, JobError};
use crate::job::Job;

/// The longest time for which a job of a newer version is snoozed; the shortest is half of it.
const NEWER_WAITS: Duration = Duration::from_secs(10);

/// Works on the jobs of one type. Every `async fn(T, Job) -> Result<impl Into<Done>, JobError>` is one: `Ok(())` means done.
///
/// The worker reads the payload before it calls the handler. [`JobType`] describes what happens to jobs of other versions and to
/// payloads that are not of this type. The [`Job`] has the id, the attempt and the fence. Otherwise it behaves like a
/// [`Handler`].
///
/// ```
/// use std::time::Duration;
/// use twinstore::prelude::*;
/// use twinstore::worker::JobHandler;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Mail { to: String }
/// # impl JobType for Mail { const QUEUE: &'static str = "mails"; }
///
/// // An async function or closure is enough for most handlers:
/// async fn send(mail: Mail, _job: Job) -> Result<(), JobError> {
///     if mail.to.is_empty() { Err(JobError::dead("no address")) } else { Ok(()) }
/// }
///
/// // A type can hold what a handler needs:
/// struct Sender { from: String }
///
/// impl JobHandler<Mail> for Sender {
///     async fn call(&self, mail: Mail, job: Job) -> HandlerResult {
///         Ok(Done::keep(format!("{}: {} to {}", job.id(), self.from, mail.to), Duration::from_secs(3600)))
///     }
/// }
/// #
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
///
/// stores.state().queue_of::<Mail>().push(&Mail { to: "ann@example.org".into() }).await?;
/// let sender = Sender { from: "bob@example.org".into() };
/// let worker = stores.state().worker().with_handler::<Mail>(sender).build()?;
/// let report = twinstore::testing::run_until_empty(worker, stores.state()).await?;
/// assert_eq!(report.stats.completed, 1);
/// # stores.state().worker().with_handler::<Mail>(send).build()?;
/// # Ok(())
/// # }
/// ```
pub trait JobHandler<T>: Send + Sync + 'static {
    /// Works on one job. A panic counts as a failed attempt.
    fn call(&self, payload: T, job: Job) -> impl Future<Output = HandlerResult> + Send;
}

impl<F, Fut, T, D> JobHandler<T> for F
where
    F: Fn(T, Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<D, JobError>> + Send,
    D: Into<Done>,
{
    fn call(&self, payload: T, job: Job) -> impl Future<Output = HandlerResult> + Send {
        let handled = self(payload, job);
        async move { handled.await.map(Into::into) }
    }
}

/// A [`JobHandler`] as a [`Handler`]: reads the payload.
pub(crate) struct Typed<T, H> {
    handler: H,
    /// Whether it was logged that jobs of a newer version arrive.
    reported: AtomicBool,
    payload: PhantomData<fn() -> T>,
}

impl<T: JobType, H: JobHandler<T>> Typed<T, H> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler, reported: AtomicBool::new(false), payload: PhantomData }
    }

    fn read(&self, job: &Job) -> Result<T, JobError> {
        if job.schema() > T::VERSION {
            if !self.reported.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    queue = T::QUEUE,
                    id = %job.id(),
                    version = job.schema(),
                    known = T::VERSION,
                    "jobs of a newer version are snoozed until a newer worker takes them"
                );
            }
            return Err(JobError::snooze(NEWER_WAITS.mul_f64(0.5 + fastrand::f64() / 2.0)));
        }
        job.json().map_err(|error| JobError::dead(Unreadable { version: job.schema(), known: T::VERSION, error }))
    }
}

impl<T: JobType, H: JobHandler<T>> Handler for Typed<T, H> {
    async fn call(&self, job: Job) -> HandlerResult {
        let payload = self.read(&job)?;
        self.handler.call(payload, job).await
    }
}

/// Why a job with this payload is dead.
struct Unreadable {
    version: u16,
    known: u16,
    error: store_core::Error,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, known, error } = self;
        write!(f, "the payload of version {version} was not read by code of version {known}: {error}")
    }
}
