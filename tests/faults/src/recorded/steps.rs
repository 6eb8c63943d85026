//! Recorded steps of runs.

use std::time::Duration;

use async_trait::async_trait;
use twinstore::durability::{Durability, Receipt};
use twinstore::page::{Page, PageRequest};
use twinstore::step::{StepAttempt, StepBegun, StepInfo, StepName, Steps, WorkflowRun};
use twinstore::{Bytes, Error, Op, Result};

use super::{Recorded, record};
use crate::history::{Answer, Call};

#[async_trait]
impl Steps for Recorded<dyn Steps> {
    async fn begin(&self, attempt: &StepAttempt, durability: Durability) -> Result<Receipt<StepBegun>> {
        let (run, step, fence) = names(attempt);
        let invocation = self.recorder.invoke(Call::BeginStep { run, step, fence });
        record(invocation, self.inner.begin(attempt, durability).await, |receipt| match &receipt.value {
            StepBegun::Started => Answer::Started,
            StepBegun::Finished(output) => Answer::Finished(String::from_utf8_lossy(output).into_owned()),
            StepBegun::Superseded { by } => Answer::Superseded(by.get()),
            other => panic!("the history has no answer {other:?}"),
        })
    }

    async fn finish(&self, attempt: &StepAttempt, output: &Bytes, durability: Durability) -> Result<Receipt<bool>> {
        let (run, step, fence) = names(attempt);
        let text = String::from_utf8_lossy(output).into_owned();
        let invocation = self.recorder.invoke(Call::FinishStep { run, step, fence, output: text });
        let result = self.inner.finish(attempt, output, durability).await;
        record(invocation, result, |receipt| Answer::One(receipt.value))
    }

    async fn fail(&self, attempt: &StepAttempt, error: &str, durability: Durability) -> Result<Receipt<bool>> {
        let (run, step, fence) = names(attempt);
        let invocation = self.recorder.invoke(Call::FailStep { run, step, fence });
        let result = self.inner.fail(attempt, error, durability).await;
        record(invocation, result, |receipt| Answer::One(receipt.value))
    }

    /// Refused: the workload has no durable sleeps, and the checker has no rule for them.
    async fn sleep(&self, _: &StepAttempt, _: Duration, _: Durability) -> Result<Receipt<StepBegun>> {
        Err(Error::unsupported(Op::StepSleep, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn get(&self, _: &WorkflowRun, _: &StepName) -> Result<Option<StepInfo>> {
        Err(Error::unsupported(Op::StepGet, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn list(&self, _: &WorkflowRun, _: PageRequest) -> Result<Page<StepInfo>> {
        Err(Error::unsupported(Op::StepList, "the history has no such call"))
    }
}

/// The run, the step, the fence.
fn names(attempt: &StepAttempt) -> (String, String, u64) {
    (attempt.run.to_string(), attempt.step.to_string(), attempt.attempt.get())
}
