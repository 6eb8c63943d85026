//! Steps of workflow runs: one file per operation.

mod begin;
mod fail;
mod finish;
mod get;
mod list;
mod scope;
mod sleep;
mod ttl;

use bytes::Bytes;
use store_core::{Durability, Fence, Result, StepAttempt, StepBegun, StepInfo, StepName, Ttl, WorkflowRun};

use crate::case::Case;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

/// The cases of every operation on steps.
pub(crate) const CASES: &[&[Case]] =
    &[begin::CASES, finish::CASES, fail::CASES, sleep::CASES, get::CASES, list::CASES, ttl::CASES, scope::CASES];

/// How long the runs of the cases last.
const TTL: Ttl = Ttl::from_secs(600);

fn step(name: &str) -> StepName {
    StepName::new(name).expect("invariant: cases use short names")
}

/// A run of Temporal. Its steps count their attempts.
fn of_temporal(fixture: &Fixture, run_id: &str) -> WorkflowRun {
    WorkflowRun::temporal(&fixture.text("temporal"), "order-7", run_id).expect("invariant: cases use short names")
}

/// A run that counts its attempts.
fn named(fixture: &Fixture) -> WorkflowRun {
    WorkflowRun::named(fixture.text("run")).expect("invariant: cases use short names")
}

/// Both kinds of runs, where they behave in the same way.
fn both(fixture: &Fixture) -> [WorkflowRun; 2] {
    [of_temporal(fixture, "run-1"), named(fixture)]
}

fn attempt(run: &WorkflowRun, name: &str, number: u64) -> StepAttempt {
    StepAttempt::new(run.clone(), step(name), Fence::new(number)).with_ttl(TTL)
}

async fn begin(fixture: &Fixture, attempt: &StepAttempt) -> Result<StepBegun> {
    Ok(fixture.state.steps().begin(attempt, Durability::Accepted).await?.value)
}

async fn finish(fixture: &Fixture, attempt: &StepAttempt, output: &str) -> Result<bool> {
    let output = Bytes::copy_from_slice(output.as_bytes());
    Ok(fixture.state.steps().finish(attempt, &output, Durability::Accepted).await?.value)
}

async fn fail(fixture: &Fixture, attempt: &StepAttempt, error: &str) -> Result<bool> {
    Ok(fixture.state.steps().fail(attempt, error, Durability::Accepted).await?.value)
}

async fn get(fixture: &Fixture, attempt: &StepAttempt) -> Result<Option<StepInfo>> {
    fixture.state.steps().get(&attempt.run, &attempt.step).await
}

fn finished(output: &str) -> StepBegun {
    StepBegun::Finished(Bytes::copy_from_slice(output.as_bytes()))
}

/// Begins a step that must not have begun, or that this attempt takes over.
async fn started(fixture: &Fixture, attempt: &StepAttempt) -> Verdict {
    check_eq!(begin(fixture, attempt).await?, StepBegun::Started);
    Ok(())
}

/// Begins and finishes a step.
async fn carried_out(fixture: &Fixture, attempt: &StepAttempt, output: &str) -> Verdict {
    started(fixture, attempt).await?;
    check!(finish(fixture, attempt, output).await?);
    Ok(())
}
