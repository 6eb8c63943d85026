//! Steps of workflow runs: each is carried out once, and a replay gets its first output.
//!
//! Most services use a [`StepRun`], which [`State::run_of`](crate::State::run_of) makes for a job and
//! [`State::run`](crate::State::run) for any other run. [`Steps`] is the interface below it; it also lists the steps of a run,
//! with times and errors.

pub use crate::stores::{StepError, StepRun};
pub use store_core::{StepAttempt, StepBegun, StepInfo, StepName, StepState, Steps, WorkflowRun};
