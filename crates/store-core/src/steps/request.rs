//! Attempts at steps.

use std::time::Duration;

use crate::{Error, Fence, Op, Result, StepName, Ttl, WorkflowRun};

/// One attempt at one step of a run.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// use twinstore::durability::Durability;
/// use twinstore::lease::Fence;
/// use twinstore::step::{StepAttempt, StepBegun, WorkflowRun};
/// use twinstore::time::Ttl;
///
/// let steps = stores.state().steps();
/// let run = WorkflowRun::temporal("default", "order-7", "0b8f2c4e-9c1d-4a43-8f0e-2f6a1f0e6a77")?;
/// let charge = |attempt| {
///     let attempt = StepAttempt::new(run.clone(), "charge".try_into().unwrap(), Fence::new(attempt));
///     attempt.with_ttl(Ttl::from_secs(30 * 24 * 3600))
/// };
/// assert!(steps.begin(&charge(5), Durability::Accepted).await?.value.is_started());
///
/// // The activity was reset: its attempts begin at 1 again.
/// let StepBegun::Superseded { by } = steps.begin(&charge(1), Durability::Accepted).await?.value else { panic!() };
/// let restart = charge(1).with_restart_of(by);
/// assert!(steps.begin(&restart, Durability::Accepted).await?.value.is_started());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepAttempt {
    /// The run.
    pub run: WorkflowRun,
    /// The step.
    pub step: StepName,
    /// The number of the attempt: of the activity in a run of Temporal, else the fence of the lease under which the run is carried
    /// out.
    pub attempt: Fence,
    /// How long the store keeps all steps of the run after this write, at least. Default 7 days.
    pub ttl: Ttl,
    /// The recorded attempt that this one replaces although its number is not lower. Default `None`.
    pub restart_of: Option<Fence>,
}

impl StepAttempt {
    /// The largest number of an attempt: 2^53 - 1.
    pub const MAX_ATTEMPT: Fence = Fence::new((1 << 53) - 1);

    /// An attempt at a step.
    pub fn new(run: WorkflowRun, step: StepName, attempt: Fence) -> Self {
        Self { run, step, attempt, ttl: Ttl::from_secs(7 * 24 * 3600), restart_of: None }
    }

    /// Sets how long the store keeps all steps of the run after this write, at least.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Ttl) -> Self {
        self.ttl = ttl;
        self
    }

    /// States that the step was restarted: its attempts count from 1 again, as after the reset of a Temporal activity. If the step
    /// has not finished and `attempt` is the attempt that it has recorded, this one takes it over, whatever its number. If another
    /// one is recorded, nothing differs: a repetition cannot restart the step twice.
    ///
    /// Only for runs of Temporal: elsewhere fences never start again. An attempt from before the restart that has not begun yet
    /// is taken for a later one if its number is higher.
    #[must_use]
    pub fn with_restart_of(mut self, attempt: Fence) -> Self {
        self.restart_of = Some(attempt);
        self
    }

    /// Refuses an attempt that no engine accepts.
    #[doc(hidden)]
    pub fn validate(&self, op: Op) -> Result<()> {
        if self.attempt > Self::MAX_ATTEMPT {
            return Err(Error::invalid_argument(op, "the number of an attempt is at most 2^53 - 1"));
        }
        if self.restart_of.is_some() && !self.run.is_temporal() {
            return Err(Error::invalid_argument(op, "only a step of a Temporal run can be restarted"));
        }
        Ok(())
    }

    /// Refuses a sleep that no engine accepts.
    #[doc(hidden)]
    pub fn validate_sleep(&self, lasting: Duration) -> Result<()> {
        self.validate(Op::StepSleep)?;
        if lasting > Ttl::MAX {
            return Err(Error::invalid_argument(Op::StepSleep, "a sleep lasts at most 366 days"));
        }
        Ok(())
    }
}
