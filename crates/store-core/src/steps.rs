//! Steps of a workflow run: each is carried out once, and a replay gets its first output.

mod request;
mod run;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;

use crate::{Durability, Error, Fence, Op, Page, PageRequest, Receipt, Result, StepName, Timestamp};

pub use request::StepAttempt;
pub use run::WorkflowRun;

/// The steps of workflow runs. A step that has finished keeps its first output: an attempt that begins it again gets that output
/// instead of carrying it out. An attempt that a later one has superseded cannot write.
///
/// Runs of Temporal workflows belong to the namespace: all services read and write them. Other runs belong to the service, those
/// of a shared handle to all services ([`Scope`](crate::Scope)).
///
/// **Fences.** Each call presents the number of its attempt. In a run of a Temporal workflow, attempts are counted for each step:
/// a step is an activity, and the number is the attempt of the activity. In any other run, the attempts are those of the run: the
/// number is the fence of the lease under which the run is carried out ([`JobLease`](crate::JobLease), [`Lease`](crate::Lease)).
/// Once a later attempt has begun any step of it, an earlier one can begin no other. Numbers go up to
/// [`StepAttempt::MAX_ATTEMPT`].
///
/// **Time to live.** All steps of a run share one: each write prolongs it to [`StepAttempt::ttl`] from now, a read does not. Then
/// the store forgets the run.
///
/// **At least once.** If a process dies between the effect of a step and its `finish`, the next attempt carries the step out
/// again. Make effects idempotent, for example by an idempotency key of run and step.
///
/// Temporal remains the authority for its workflows. This is the record that services read.
///
/// Each call costs one round trip and is O(1), except [`list`](Steps::list). Most services use a handle, `StepRun`, which
/// `State::run_of` and `State::run` make.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::durability::Durability;
/// use twinstore::lease::Fence;
/// use twinstore::step::{StepAttempt, StepBegun, WorkflowRun};
/// use twinstore::Bytes;
///
/// let steps = stores.state().steps();
/// let run = WorkflowRun::temporal("default", "order-7", "0b8f2c4e-9c1d-4a43-8f0e-2f6a1f0e6a77")?;
/// let charge = |attempt| StepAttempt::new(run.clone(), "charge".try_into().unwrap(), Fence::new(attempt));
///
/// assert_eq!(steps.begin(&charge(1), Durability::Accepted).await?.value, StepBegun::Started);
/// assert!(steps.fail(&charge(1), "the bank is closed", Durability::Accepted).await?.value);
/// assert_eq!(steps.begin(&charge(2), Durability::Accepted).await?.value, StepBegun::Started);
/// assert!(!steps.finish(&charge(1), &Bytes::from("late"), Durability::Accepted).await?.value); // superseded
/// assert!(steps.finish(&charge(2), &Bytes::from("paid"), Durability::Accepted).await?.value);
/// assert_eq!(steps.begin(&charge(3), Durability::Accepted).await?.value, StepBegun::Finished("paid".into()));
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Steps: Send + Sync + fmt::Debug {
    /// `async fn begin(&self, attempt: &StepAttempt, durability: Durability) -> Result<Receipt<StepBegun>>`
    ///
    /// Begins a step. If the outcome is [`StepBegun::Started`], the caller carries the step out, and then calls
    /// [`finish`](Steps::finish) or [`fail`](Steps::fail). A later attempt takes the step over from an earlier one. The same attempt
    /// may begin a step again: a repetition, or a second try after it has failed. On a step that sleeps, it returns what
    /// [`sleep`](Steps::sleep) returns.
    ///
    /// The begin of a step of a job also works if the server's memory is full, so that jobs can be completed.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the run has [`WorkflowRun::MAX_STEPS`] other steps, or if
    /// the attempt is above [`StepAttempt::MAX_ATTEMPT`], or if it [restarts](StepAttempt::with_restart_of) a step whose run is not
    /// one of Temporal.
    async fn begin(&self, attempt: &StepAttempt, durability: Durability) -> Result<Receipt<StepBegun>>;

    /// `async fn finish(&self, attempt: &StepAttempt, output: &Bytes, durability: Durability) -> Result<Receipt<bool>>`
    ///
    /// Records the output of a step that this attempt has begun. `true` if it is recorded: now, or by an earlier call of the
    /// same attempt, whose output stays. `false`, and nothing is changed, if another attempt has begun or finished the step, if
    /// this one has failed, if a later attempt has begun a step of the run, or if the run has expired. Also works if
    /// the server's memory is full.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the output has more than [`StepInfo::MAX_OUTPUT_BYTES`].
    async fn finish(&self, attempt: &StepAttempt, output: &Bytes, durability: Durability) -> Result<Receipt<bool>>;

    /// `async fn fail(&self, attempt: &StepAttempt, error: &str, durability: Durability) -> Result<Receipt<bool>>`
    ///
    /// Records why this attempt failed. The text is truncated to [`JobInfo::MAX_REASON_BYTES`](crate::JobInfo::MAX_REASON_BYTES).
    /// The step may begin again, by this attempt or a later one. Returns what [`finish`](Steps::finish) returns; `false` also if
    /// this attempt has finished the step. Also works if the server's memory is full.
    async fn fail(&self, attempt: &StepAttempt, error: &str, durability: Durability) -> Result<Receipt<bool>>;

    /// `async fn sleep(&self, attempt: &StepAttempt, lasting: Duration, durability: Durability) -> Result<Receipt<StepBegun>>`
    ///
    /// A durable sleep. The first call records the time of waking up, `lasting` from now; each later one, of any attempt, reads
    /// it. Returns [`StepBegun::Sleeping`] until then, and [`StepBegun::Finished`] without an output from then on. The call itself
    /// does not wait. It prolongs the time to live of the run to [`StepAttempt::ttl`] after the time of waking up.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the step is not a sleep, or if `lasting` is longer than
    /// [`Ttl::MAX`](crate::Ttl::MAX); those of [`begin`](Steps::begin).
    async fn sleep(
        &self,
        attempt: &StepAttempt,
        lasting: Duration,
        durability: Durability,
    ) -> Result<Receipt<StepBegun>>;

    /// `async fn get(&self, run: &WorkflowRun, step: &StepName) -> Result<Option<StepInfo>>`
    ///
    /// Returns a step with its output. `None` if it was never begun, or if the run has expired.
    async fn get(&self, run: &WorkflowRun, step: &StepName) -> Result<Option<StepInfo>>;

    /// `async fn list(&self, run: &WorkflowRun, page: PageRequest) -> Result<Page<StepInfo>>`
    ///
    /// Lists the steps of a run in the order in which they first began, without their outputs. O(steps of the page).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the cursor belongs to another listing.
    async fn list(&self, run: &WorkflowRun, page: PageRequest) -> Result<Page<StepInfo>>;
}

/// The outcome of [`Steps::begin`] and [`Steps::sleep`]. It is not `Serialize`, because it may carry the output of the application.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// # use twinstore::lease::Fence;
/// use twinstore::step::{StepAttempt, StepBegun, WorkflowRun};
///
/// # let steps = stores.state().steps();
/// let run = WorkflowRun::named("import of May")?;
/// let attempt = |fence| StepAttempt::new(run.clone(), "read".try_into().unwrap(), Fence::new(fence));
/// # steps.begin(&attempt(9), Durability::Accepted).await?;
/// match steps.begin(&attempt(8), Durability::Accepted).await?.value {
///     StepBegun::Started => unreachable!("carry the step out"),
///     StepBegun::Finished(_output) => unreachable!("use the output"),
///     StepBegun::Superseded { by } => assert_eq!(by, Fence::new(9)), // stop
///     _ => unreachable!("a sleep"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepBegun {
    /// Carry the step out.
    Started,
    /// It has finished. This is its first output; a sleep has an empty one.
    Finished(Bytes),
    /// It is a sleep that is not over.
    Sleeping {
        /// When it is over, by the server's clock.
        until: Timestamp,
        /// The time left.
        remaining: Duration,
    },
    /// A later attempt has begun. This one must stop.
    Superseded {
        /// The later attempt.
        by: Fence,
    },
}

impl StepBegun {
    /// What a sleep until `until` returns if this time is left.
    #[doc(hidden)]
    pub fn of_sleep(until: Timestamp, remaining: Duration) -> Self {
        if remaining.is_zero() { Self::Finished(Bytes::new()) } else { Self::Sleeping { until, remaining } }
    }

    /// Whether the caller must carry the step out.
    pub fn is_started(&self) -> bool {
        matches!(self, StepBegun::Started)
    }
}

impl fmt::Debug for StepBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepBegun::Started => f.write_str("Started"),
            StepBegun::Finished(output) => write!(f, "Finished({} bytes)", output.len()),
            StepBegun::Sleeping { until, remaining } => {
                write!(f, "Sleeping {{ until: {until:?}, remaining: {remaining:?} }}")
            }
            StepBegun::Superseded { by } => write!(f, "Superseded {{ by: {by:?} }}"),
        }
    }
}

/// The state of a step. In JSON: `"running"`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::lease::Fence;
/// use twinstore::page::PageRequest;
/// use twinstore::step::{StepState, WorkflowRun};
///
/// let import = WorkflowRun::named("import of May")?;
/// let run = stores.state().run(import.clone(), Fence::new(1));
/// let _: u64 = run.step("count", async || Ok(12)).await?;
/// let steps = stores.state().steps().list(&import, PageRequest::default()).await?.items;
/// assert_eq!(steps[0].state, StepState::Finished);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StepState {
    /// An attempt has begun it. That attempt may have died.
    Running,
    /// Its last attempt has failed.
    Failed,
    /// It has an output.
    Finished,
    /// It is a sleep: [`StepInfo::ended`] is when it is over.
    Sleep,
}

/// A step as the store has recorded it.
///
/// In JSON, times are milliseconds since 1970-01-01 UTC in fields that end in `_ms`. The output does not appear, because it may be
/// private; `output_bytes` gives its length.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, clock) = twinstore::testing::stores();
/// # use std::time::Duration;
/// # use twinstore::lease::Fence;
/// use twinstore::step::{StepName, WorkflowRun};
///
/// let import = WorkflowRun::named("import of May")?;
/// let run = stores.state().run(import.clone(), Fence::new(1));
/// let _: u64 = run.step("count", async || {
///     clock.advance(Duration::from_secs(3)); // it takes a while
///     Ok(12)
/// }).await?;
///
/// let step = stores.state().steps().get(&import, &StepName::new("count")?).await?.expect("it was begun");
/// assert_eq!((step.attempts, step.output.as_deref()), (1, Some(&b"12"[..])));
/// assert_eq!(step.ended.map(|ended| ended.since(step.began)), Some(Duration::from_secs(3)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StepInfo {
    /// The step.
    pub step: StepName,
    /// Its state.
    pub state: StepState,
    /// The attempt that has begun it last.
    pub attempt: Fence,
    /// How many attempts have begun it, and how often one began it again after it had failed. At most 999,999.
    pub attempts: u32,
    /// When it began first.
    #[serde(rename = "first_began_ms")]
    pub first_began: Timestamp,
    /// When its last attempt began.
    #[serde(rename = "began_ms")]
    pub began: Timestamp,
    /// When it finished or failed. `None` while it runs. Of a sleep: when it is over.
    #[serde(rename = "ended_ms")]
    pub ended: Option<Timestamp>,
    /// Why the last attempt that has failed did.
    pub last_error: Option<String>,
    /// The length of the output.
    pub output_bytes: usize,
    /// The output. `None` if there is none, and in listings.
    #[serde(skip)]
    pub output: Option<Bytes>,
}

impl StepInfo {
    /// The largest output, in bytes: 256 KiB.
    pub const MAX_OUTPUT_BYTES: usize = 256 << 10;

    /// A running step without an error. Engines set the other fields.
    pub fn new(step: StepName, attempt: Fence, attempts: u32, first_began: Timestamp, began: Timestamp) -> Self {
        Self {
            step,
            state: StepState::Running,
            attempt,
            attempts,
            first_began,
            began,
            ended: None,
            last_error: None,
            output_bytes: 0,
            output: None,
        }
    }
}

impl fmt::Debug for StepInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepInfo")
            .field("step", &self.step)
            .field("state", &self.state)
            .field("attempt", &self.attempt)
            .field("attempts", &self.attempts)
            .field("first_began", &self.first_began)
            .field("began", &self.began)
            .field("ended", &self.ended)
            .field("output_bytes", &self.output_bytes)
            .finish_non_exhaustive()
    }
}

/// Refuses an output that is too large.
pub fn validate_output(output: &Bytes) -> Result<()> {
    if output.len() <= StepInfo::MAX_OUTPUT_BYTES {
        return Ok(());
    }
    let (len, most) = (output.len(), StepInfo::MAX_OUTPUT_BYTES);
    Err(Error::invalid_argument(Op::StepFinish, format!("the output of the step has {len} bytes; at most {most}")))
}
