//! A workflow run whose steps are carried out once.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store_core::{
    Durability, Error, Fence, Home, NameError, Op, StepAttempt, StepBegun, StepName, Steps, Ttl, WorkflowRun,
};
use tokio::time::{Instant, sleep};

use super::OperationFailure;

/// For how long an output is stored again if the store does not answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause before it is stored again.
const PAUSE: Duration = Duration::from_millis(50);

/// One attempt at a workflow run. Its steps are memoised: a replay gets the first output of each step that has finished.
/// [`State::run_of`](crate::State::run_of) makes it for a job, [`State::run`](crate::State::run) for any other run.
///
/// Outputs are stored as JSON, up to [`StepInfo::MAX_OUTPUT_BYTES`](store_core::StepInfo::MAX_OUTPUT_BYTES). Writes
/// request [`State::durability`](crate::State::durability).
///
/// ```
/// use twinstore::prelude::*;
///
/// async fn carry_out(state: State, job: Job) -> HandlerResult {
///     let run = state.run_of(&job);
///     let receipt: String = run.step("charge", async || Ok("receipt 7".to_owned())).await?;
///     if job.attempt() == 1 {
///         return Err(JobError::retry_after("the courier is late", std::time::Duration::ZERO));
///     }
///     // The second delivery has not charged again: it got the output of the first one.
///     let shipped: String = run.step("ship", async || Ok(format!("shipped for {receipt}"))).await?;
///     assert_eq!(shipped, "shipped for receipt 7");
///     Ok(Done::discard())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # let orders = QueueName::new("orders")?;
/// # stores.state().queue().push_one(&orders, NewJob::new("\"tea\"")).await?;
/// let state = stores.state().clone();
/// let worker = stores.state().worker().with_queue("orders", move |job| carry_out(state.clone(), job));
/// let report = twinstore::testing::run_until_empty(worker.build()?, stores.state()).await?;
/// assert_eq!(report.stats.completed, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StepRun {
    steps: Arc<dyn Steps>,
    run: WorkflowRun,
    attempt: Fence,
    ttl: Option<Ttl>,
    restart_of: Option<Fence>,
    durability: Durability,
}

impl fmt::Debug for StepRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepRun").field("run", &self.run).field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

impl StepRun {
    pub(crate) fn new(steps: Arc<dyn Steps>, run: WorkflowRun, attempt: Fence, durability: Durability) -> Self {
        Self { steps, run, attempt, ttl: None, restart_of: None, durability }
    }

    /// The same attempt at the run of this name in a home. [`Home::commit`] can finish its steps together with a job.
    #[must_use]
    pub fn at(mut self, home: &dyn Home) -> Self {
        self.steps = home.steps();
        self
    }

    /// Keeps all steps of the run for this time after each write, at least. Default 7 days.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Its steps were restarted: see [`StepAttempt::with_restart_of`]. Only for runs of Temporal.
    #[must_use]
    pub fn with_restart_of(mut self, attempt: Fence) -> Self {
        self.restart_of = Some(attempt);
        self
    }

    /// The run.
    pub fn run(&self) -> &WorkflowRun {
        &self.run
    }

    /// Carries the step `name` out, and records its output. If it has finished before, returns its first output instead. Two round
    /// trips, or one for a step that has finished.
    ///
    /// If `carry_out` returns an error, the error is recorded, and the step is carried out again when it is called again. If the
    /// process dies before the output is recorded, too: make effects idempotent. Dropping the future drops `carry_out`. Once it has
    /// returned an output, a task records it, even if the future is dropped.
    ///
    /// # Errors
    /// [`StepError`] if there is no output.
    pub async fn step<T, F, Fut>(&self, name: &str, carry_out: F) -> Result<T, StepError>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, OperationFailure>>,
    {
        let attempt = self.attempt_at(Op::StepBegin, name)?;
        match self.steps.begin(&attempt, self.durability).await.map_err(StepError::Store)?.value {
            StepBegun::Started => {}
            StepBegun::Finished(output) => return read(&output),
            StepBegun::Superseded { by } => return Err(StepError::Superseded { by: Some(by) }),
            _ => return Err(StepError::Store(Error::invalid_argument(Op::StepBegin, "the step is a sleep"))),
        }
        match carry_out().await {
            Ok(output) => self.record(attempt, output).await,
            Err(failure) => {
                // If the store does not answer, the step stays recorded as running.
                let _ = self.steps.fail(&attempt, &describe(&*failure), self.durability).await;
                Err(StepError::Failed(failure))
            }
        }
    }

    /// Returns how long the durable sleep `name` lasts from now. The first call records its end, `lasting` from now; each later
    /// one, also of another attempt or process, reads it. Zero from its end on. It does not wait: a job's handler returns
    /// [`JobError::snooze`](crate::worker::JobError::snooze) with this time, and another delivery continues. One round trip.
    ///
    /// ```
    /// use std::time::Duration;
    /// use twinstore::prelude::*;
    ///
    /// async fn remind(state: State, job: Job) -> HandlerResult {
    ///     let rest = state.run_of(&job).remaining("a day", Duration::from_secs(24 * 3600)).await?;
    ///     if rest.is_zero() { Ok(Done::discard()) } else { Err(JobError::snooze(rest)) }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (stores, clock) = twinstore::testing::stores();
    /// # stores.state().queue().push_one(&"reminders".try_into()?, NewJob::new("ann")).await?;
    /// let worker = || {
    ///     let state = stores.state().clone();
    ///     stores.state().worker().with_queue("reminders", move |job| remind(state.clone(), job)).build()
    /// };
    /// assert_eq!(twinstore::testing::run_until_empty(worker()?, stores.state()).await?.stats.snoozed, 1);
    /// clock.advance(Duration::from_secs(24 * 3600));
    /// assert_eq!(twinstore::testing::run_until_empty(worker()?, stores.state()).await?.stats.completed, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StepError::Store`], [`StepError::Superseded`].
    pub async fn remaining(&self, name: &str, lasting: Duration) -> Result<Duration, StepError> {
        let attempt = self.attempt_at(Op::StepSleep, name)?;
        match self.steps.sleep(&attempt, lasting, self.durability).await.map_err(StepError::Store)?.value {
            StepBegun::Sleeping { remaining, .. } => Ok(remaining),
            StepBegun::Superseded { by } => Err(StepError::Superseded { by: Some(by) }),
            _ => Ok(Duration::ZERO),
        }
    }

    /// Waits until the end of the durable sleep `name`: see [`StepRun::remaining`]. A replay waits only for the rest. The wait ends
    /// by the store's clock.
    ///
    /// # Errors
    /// Those of [`StepRun::remaining`].
    pub async fn sleep(&self, name: &str, lasting: Duration) -> Result<(), StepError> {
        loop {
            match self.remaining(name, lasting).await? {
                Duration::ZERO => return Ok(()),
                rest => sleep(rest).await,
            }
        }
    }

    fn attempt_at(&self, op: Op, name: &str) -> Result<StepAttempt, StepError> {
        let refused = |error: NameError| StepError::Store(Error::invalid_argument(op, error.to_string()));
        let mut attempt = StepAttempt::new(self.run.clone(), StepName::new(name).map_err(refused)?, self.attempt);
        attempt.ttl = self.ttl.unwrap_or(attempt.ttl);
        attempt.restart_of = self.restart_of;
        Ok(attempt)
    }

    /// Records the output in a task, which continues if this future is dropped.
    async fn record<T: Serialize>(&self, attempt: StepAttempt, output: T) -> Result<T, StepError> {
        let Ok(json) = serde_json::to_vec(&output) else {
            let error = Error::invalid_argument(Op::StepFinish, "the output of the step cannot be written as JSON");
            return Err(StepError::Unrecorded(error));
        };
        match tokio::spawn(finish(self.steps.clone(), attempt, json.into(), self.durability)).await {
            Ok(Ok(true)) => Ok(output),
            Ok(Ok(false)) => Err(StepError::Superseded { by: None }),
            Ok(Err(error)) => Err(StepError::Unrecorded(error)),
            Err(_) => {
                let error = Error::indeterminate(Op::StepFinish, "the task that records the output has ended");
                Err(StepError::Unrecorded(error))
            }
        }
    }
}

async fn finish(
    steps: Arc<dyn Steps>,
    attempt: StepAttempt,
    output: Bytes,
    durability: Durability,
) -> Result<bool, Error> {
    let until = Instant::now() + PATIENCE;
    loop {
        match steps.finish(&attempt, &output, durability).await {
            Err(error) if error.is_retryable() && Instant::now() + PAUSE < until => sleep(PAUSE).await,
            outcome => return outcome.map(|receipt| receipt.value),
        }
    }
}

fn read<T: DeserializeOwned>(output: &Bytes) -> Result<T, StepError> {
    serde_json::from_slice(output).map_err(|error| {
        let detail = format!("the recorded output is not of its type, at column {}", error.column());
        StepError::Store(Error::corrupt(Op::StepBegin, detail))
    })
}

/// An error and its sources in one line.
fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Why [`StepRun::step`] returns no output.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::lease::Fence;
/// use twinstore::step::{StepError, WorkflowRun};
///
/// let run = |attempt| stores.state().run(WorkflowRun::named("import of May").unwrap(), Fence::new(attempt));
/// let failed = run(2).step("read", async || -> Result<u64, _> { Err("no such file".into()) }).await;
/// assert!(matches!(failed, Err(StepError::Failed(reason)) if reason.to_string() == "no such file"));
/// let late = run(1).step("read", async || Ok(0)).await;
/// assert!(matches!(late, Err(StepError::Superseded { by: Some(by) }) if by == Fence::new(2)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The step's own code returned this error, which is recorded.
    #[error("the step failed")]
    Failed(#[source] OperationFailure),
    /// A later attempt has begun, or the run has expired. Stop: this attempt can write nothing.
    #[error("a later attempt has superseded this one")]
    Superseded {
        /// The later attempt, if it is known. `None` if the step was carried out before this attempt learnt of it.
        by: Option<Fence>,
    },
    /// The store returned this error. The step was not carried out. After [`Error::Corrupt`], an earlier attempt has carried
    /// it out, and its output is not of the type that this one expects.
    #[error("the step cannot begin")]
    Store(#[source] Error),
    /// The step was carried out, but its output may not be recorded, so it may be carried out again. After
    /// [`Error::InvalidArgument`], the output is too large or cannot be written as JSON, and every attempt will fail: make the job
    /// dead.
    #[error("the step was carried out, but its output is not recorded")]
    Unrecorded(#[source] Error),
}
