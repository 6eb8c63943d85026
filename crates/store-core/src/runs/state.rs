//! The states of a run.

use std::fmt;

use serde::Serialize;

/// The state of a run. In JSON: `"in-progress"`.
///
/// ```text
/// Created -> InProgress, Cancelling, Cancelled, Failed
/// InProgress -> Awaiting, Completed, Failed, Cancelling, Cancelled
/// Awaiting -> InProgress, Failed, Cancelling, Cancelled
/// Cancelling -> Cancelled
/// ```
///
/// A run that has not ended can also be written without a transition. Completed, failed and cancelled runs never change.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (stores, _) = twinstore::testing::stores();
/// # use twinstore::durability::Durability;
/// use twinstore::run::{NewRun, RunId, RunState};
///
/// let new = NewRun::new(RunId::new("run-7")?, "planner".try_into()?);
/// let run = stores.state().runs().create(&new, Durability::Accepted).await?.value.done().unwrap();
/// assert_eq!(run.state, RunState::Created);
/// assert!(run.state.may_become(RunState::InProgress));
/// assert!(!RunState::Cancelling.may_become(RunState::Completed));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RunState {
    /// Nobody has begun it.
    Created,
    /// An agent carries it out.
    InProgress,
    /// It waits for an answer. A process resumes it by the transition to [`RunState::InProgress`].
    Awaiting,
    /// It has an output.
    Completed,
    /// It has an error.
    Failed,
    /// Somebody has cancelled it, and the agent has not stopped yet.
    Cancelling,
    /// It was cancelled.
    Cancelled,
}

use RunState::{Awaiting, Cancelled, Cancelling, Completed, Created, Failed, InProgress};

impl RunState {
    /// Every state.
    pub const ALL: [RunState; 7] = [Created, InProgress, Awaiting, Completed, Failed, Cancelling, Cancelled];

    /// The name, as in JSON: `in-progress`.
    pub fn name(self) -> &'static str {
        &self.event()["run.".len()..]
    }

    /// The kind of the event that each transition to this state appends: `run.in-progress`.
    pub fn event(self) -> &'static str {
        match self {
            Created => "run.created",
            InProgress => "run.in-progress",
            Awaiting => "run.awaiting",
            Completed => "run.completed",
            Failed => "run.failed",
            Cancelling => "run.cancelling",
            Cancelled => "run.cancelled",
        }
    }

    /// Whether the run has ended: completed, failed or cancelled.
    pub fn is_ended(self) -> bool {
        matches!(self, Completed | Failed | Cancelled)
    }

    /// Whether a write may set the state `next`. The same state, unless the run has ended, is no transition.
    pub fn may_become(self, next: RunState) -> bool {
        match self {
            Created => matches!(next, Created | InProgress | Cancelling | Cancelled | Failed),
            InProgress => !matches!(next, Created),
            Awaiting => matches!(next, Awaiting | InProgress | Failed | Cancelling | Cancelled),
            Cancelling => matches!(next, Cancelling | Cancelled),
            Completed | Failed | Cancelled => false,
        }
    }

    /// Its letter in stored records.
    #[doc(hidden)]
    pub fn letter(self) -> char {
        match self {
            Created => 'c',
            InProgress => 'p',
            Awaiting => 'a',
            Completed => 'd',
            Failed => 'f',
            Cancelling => 'x',
            Cancelled => 'z',
        }
    }

    /// The state with this letter.
    #[doc(hidden)]
    pub fn of_letter(letter: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.letter() == char::from(letter))
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
