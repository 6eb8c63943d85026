//! The operations of `Steps`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{Durability, Fence, Op, PageRequest, StateRole, StepAttempt, StepName, WorkflowRun};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

/// The steps of each run. A listing shows them all.
const STEPS: usize = 10;
/// The bytes of an output.
const OUTPUT: &[u8] = &[b'x'; 100];

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [Op::StepBegin, Op::StepFinish, Op::StepFail, Op::StepSleep, Op::StepGet, Op::StepList];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let op = self.0;
        let mut attempts = Vec::with_capacity(numbers.len());
        for number in numbers {
            let attempt = attempt(number)?;
            prepare(op, stores.state.as_ref(), &attempt).await?;
            attempts.push(attempt);
        }
        Ok(calls_for(&stores.state, attempts, move |state, attempt| async move {
            expect(call(op, state.as_ref(), &attempt).await?, op)
        }))
    }
}

fn attempt(number: usize) -> Result<StepAttempt> {
    let run = WorkflowRun::named(format!("each-{}", number / STEPS))?;
    Ok(StepAttempt::new(run, StepName::new(format!("step-{}", number % STEPS))?, Fence::new(1)))
}

async fn prepare(op: Op, state: &dyn StateRole, attempt: &StepAttempt) -> Result<()> {
    let (steps, accepted) = (state.steps(), Durability::Accepted);
    if !matches!(op, Op::StepBegin | Op::StepSleep) {
        expect(steps.begin(attempt, accepted).await?.value.is_started(), op)?;
    }
    if matches!(op, Op::StepGet | Op::StepList) {
        expect(steps.finish(attempt, &Bytes::from_static(OUTPUT), accepted).await?.value, op)?;
    }
    Ok(())
}

async fn call(op: Op, state: &dyn StateRole, attempt: &StepAttempt) -> Result<bool> {
    let (steps, accepted) = (state.steps(), Durability::Accepted);
    Ok(match op {
        Op::StepBegin => steps.begin(attempt, accepted).await?.value.is_started(),
        Op::StepFinish => steps.finish(attempt, &Bytes::from_static(OUTPUT), accepted).await?.value,
        Op::StepFail => steps.fail(attempt, "no such file", accepted).await?.value,
        Op::StepSleep => !steps.sleep(attempt, Duration::from_secs(60), accepted).await?.value.is_started(),
        Op::StepGet => steps.get(&attempt.run, &attempt.step).await?.is_some(),
        _ => !steps.list(&attempt.run, PageRequest::default()).await?.items.is_empty(),
    })
}
