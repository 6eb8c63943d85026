//! Handlers and their outcomes.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use store_core::Kept;
use tower::{Service, ServiceExt};

use crate::Job;

/// The outcome of a handler.
///
/// ```
/// use twinstore::prelude::*;
///
/// async fn send(job: Job) -> HandlerResult {
///     let address: String = job.json()?;
///     if address.contains('@') { Ok(Done::discard()) } else { Err(JobError::dead("not an address")) }
/// }
/// #
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # stores.state().queue().push_one(&"mails".try_into()?, NewJob::new("\"ann@example.org\"")).await?;
///
/// let worker = stores.state().worker().with_queue("mails", send).build()?;
/// let report = twinstore::testing::run_until_empty(worker, stores.state()).await?;
/// assert_eq!(report.stats.completed, 1);
/// # Ok(())
/// # }
/// ```
pub type HandlerResult = Result<Done, JobError>;

/// Handles the jobs of a queue. Every `async fn(Job) -> Result<impl Into<Done>, JobError>` is one: `Ok(())` means done. A
/// [`JobHandler`](crate::JobHandler) gets the payload as a value of its type.
///
/// The worker drops the future at its next `await` if the job's lease is lost, if the handler's time is over, or if the
/// worker's shutdown deadline has passed. A future that never reaches an `await` cannot be stopped: use
/// [`tokio::task::spawn_blocking`] for blocking work, and check [`Job::is_cancelled`] there.
///
/// ```
/// use twinstore::prelude::*;
/// use twinstore::worker::Handler;
///
/// struct Sender {
///     most_bytes: usize,
/// }
///
/// impl Handler for Sender {
///     async fn call(&self, job: Job) -> HandlerResult {
///         if job.payload().len() > self.most_bytes { Err(JobError::dead("too long")) } else { Ok(Done::discard()) }
///     }
/// }
/// #
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # let mails = QueueName::new("mails")?;
/// # stores.state().queue().push_one(&mails, NewJob::new("ann@example.org").with_id("7".try_into()?)).await?;
///
/// let worker = stores.state().worker().with_queue("mails", Sender { most_bytes: 3 }).build()?;
/// let report = twinstore::testing::run_until_empty(worker, stores.state()).await?;
/// assert_eq!(report.stats.dead, 1);
/// # Ok(())
/// # }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Handles one job. A panic counts as a failed attempt.
    fn call(&self, job: Job) -> impl Future<Output = HandlerResult> + Send;
}

impl<F, Fut, D> Handler for F
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<D, JobError>> + Send,
    D: Into<Done>,
{
    fn call(&self, job: Job) -> impl Future<Output = HandlerResult> + Send {
        let handled = self(job);
        async move { handled.await.map(Into::into) }
    }
}

/// A `tower` service as a [`Handler`]. For each job the service is cloned, and the clone is called when it is ready.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
/// use twinstore::worker::ServiceHandler;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # let mails = QueueName::new("mails")?;
/// # stores.state().queue().push_one(&mails, NewJob::new("ann@example.org").with_id("7".try_into()?)).await?;
/// let service = tower::service_fn(async |_: Job| Ok::<(), std::io::Error>(()));
/// let worker = stores.state().worker().with_queue("mails", ServiceHandler::new(service)).build()?;
/// let report = twinstore::testing::run_until_empty(worker, stores.state()).await?;
/// assert_eq!(report.stats.completed, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ServiceHandler<S>(S);

impl<S> ServiceHandler<S> {
    /// Wraps a service.
    pub fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S> Handler for ServiceHandler<S>
where
    S: Service<Job> + Clone + Send + Sync + 'static,
    S::Response: Into<Done>,
    S::Error: Into<JobError>,
    S::Future: Send,
{
    async fn call(&self, job: Job) -> HandlerResult {
        match self.0.clone().oneshot(job).await {
            Ok(response) => Ok(response.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The job is done.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # let mails = QueueName::new("mails")?;
/// # stores.state().queue().push_one(&mails, NewJob::new("ann@example.org").with_id("7".try_into()?)).await?;
/// let sent = async |_: Job| Ok(Done::keep("sent", Duration::from_secs(3600)));
/// let worker = stores.state().worker().with_queue("mails", sent).build()?;
/// twinstore::testing::run_until_empty(worker, stores.state()).await?;
/// let job = stores.state().inspect().get(&mails, &JobId::new("7")?).await?;
/// assert_eq!(job.and_then(|job| job.result).as_deref(), Some(&b"sent"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    pub(crate) kept: Option<Kept>,
    pub(crate) is_committed: bool,
}

impl Done {
    /// Done. The store forgets the job and its id: a later push of the same id is a new job.
    pub fn discard() -> Self {
        Self::default()
    }

    /// Done, and settled: a commit of this delivery was done ([`Job::commit`]). The worker does not settle the job again.
    ///
    /// The commit ends the lease, so a handler must return immediately after it. When a renewal finds that the lease has ended, the
    /// handler has the [grace](crate::WorkerBuilder::with_cancel_grace) of a cancellation to return, and at most the rest of the
    /// lease. Then the worker drops it and counts the delivery as [`unknown`](crate::WorkerStats::unknown).
    pub fn committed() -> Self {
        Self { kept: None, is_committed: true }
    }

    /// Done. The store keeps the job and its result for this time, up to 366 days. If a queue has more than
    /// 100,000 completed jobs or 256 MiB of them (the defaults), the store removes the oldest earlier. If the result is larger
    /// than [`JobInfo::MAX_RESULT_BYTES`](store_core::JobInfo::MAX_RESULT_BYTES), the job is dead, so that the work is not repeated.
    pub fn keep(result: impl Into<Bytes>, lasting: Duration) -> Self {
        Self { kept: Some(Kept::new(result, lasting)), is_committed: false }
    }
}

impl From<()> for Done {
    fn from((): ()) -> Self {
        Self::discard()
    }
}

/// Why a job is not done, and what happens to it.
///
/// `?` turns every error into a retry by the job's policy. The store keeps its text and those of its sources as the job's last
/// error, shortened to [`JobInfo::MAX_REASON_BYTES`](store_core::JobInfo::MAX_REASON_BYTES).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # let mails = QueueName::new("mails")?;
/// # stores.state().queue().push_one(&mails, NewJob::new("ann@example.org").with_id("7".try_into()?)).await?;
/// let send = async |job: Job| -> HandlerResult {
///     let address = std::str::from_utf8(job.payload())?; // retried by the job's policy
///     Err(match address.len() {
///         0 => JobError::dead("no address"),
///         _ => JobError::snooze(Duration::from_secs(60)), // for example outside office hours
///     })
/// };
/// let worker = stores.state().worker().with_queue("mails", send).build()?;
/// let report = twinstore::testing::run_until_empty(worker, stores.state()).await?;
/// assert_eq!(report.stats.snoozed, 1);
/// # Ok(())
/// # }
/// ```
pub struct JobError(pub(crate) JobErrorKind);

/// What happens to a job that is not done.
pub(crate) enum JobErrorKind {
    /// Failed. The next attempt is after the time of the policy, or after this time.
    Retry { error: String, after: Option<Duration> },
    /// Not now.
    Snooze { after: Duration },
    /// Failed for good.
    Dead { reason: String },
    /// Stopped because a cancellation was requested.
    Cancelled,
}

impl JobError {
    /// A failed attempt. The job's policy determines when the next one is, with jitter unless its back-off is fixed.
    pub fn retry(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(JobErrorKind::Retry { error: describe(&*error.into()), after: None })
    }

    /// A failed attempt. The next one is after this time instead of the policy's. The attempt counts.
    pub fn retry_after(error: impl Into<Box<dyn Error + Send + Sync>>, after: Duration) -> Self {
        Self(JobErrorKind::Retry { error: describe(&*error.into()), after: Some(after) })
    }

    /// Not now: the job is ready again after this time. This does not count as an attempt.
    pub fn snooze(after: Duration) -> Self {
        Self(JobErrorKind::Snooze { after })
    }

    /// Failed for good, even if attempts are left: the job is dead.
    pub fn dead(reason: impl fmt::Display) -> Self {
        Self(JobErrorKind::Dead { reason: reason.to_string() })
    }

    /// Stopped because [`Job::cancelled`] returned. The store removes the job.
    pub fn cancelled() -> Self {
        Self(JobErrorKind::Cancelled)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            JobErrorKind::Retry { .. } => "JobError(retry)",
            JobErrorKind::Snooze { .. } => "JobError(snooze)",
            JobErrorKind::Dead { .. } => "JobError(dead)",
            JobErrorKind::Cancelled => "JobError(cancelled)",
        })
    }
}

/// An error and its sources in one line.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{JobError, JobErrorKind};
    use std::error::Error;
    use std::time::Duration;

    fn text(error: JobError) -> String {
        match error.0 {
            JobErrorKind::Retry { error, .. } => error,
            _ => panic!("not a retry"),
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn any_error_becomes_a_retry_and_tells_its_sources() {
        let outer = || Outer(std::io::Error::other("inner"));
        assert_eq!(text(outer().into()), "outer: inner");
        assert_eq!(text("a text".into()), "a text");
        let boxed: Box<dyn Error + Send + Sync> = outer().into();
        assert_eq!(text(boxed.into()), "outer: inner");
        let through_question_mark = || -> Result<(), JobError> { Err(outer())? };
        assert_eq!(text(through_question_mark().unwrap_err()), "outer: inner");
    }

    #[test]
    fn debug_shows_no_text() {
        assert_eq!(format!("{:?}", JobError::dead("canary")), "JobError(dead)");
        assert_eq!(format!("{:?}", JobError::retry_after("canary", Duration::ZERO)), "JobError(retry)");
    }
}
