//! The operations of `Schedules`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use store_core::{Advance, Durability, NewJob, Op, PageRequest, QueueName, Schedule, ScheduleName, StateRole};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

/// The schedules of each queue. A listing shows them all.
const SCHEDULES: usize = 10;

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [
        Op::SchedulePut,
        Op::ScheduleGet,
        Op::ScheduleList,
        Op::SchedulePause,
        Op::ScheduleResume,
        Op::ScheduleDelete,
        Op::ScheduleDue,
        Op::ScheduleAdvance,
    ];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

/// One call: a queue, a schedule, and the firing of one job.
struct Target {
    queue: QueueName,
    name: ScheduleName,
    plan: Option<Advance>,
}

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let op = self.0;
        let mut targets = Vec::with_capacity(numbers.len());
        for number in numbers {
            targets.push(prepare(op, stores.state.as_ref(), number).await?);
        }
        Ok(calls_for(&stores.state, targets, move |state, target| async move {
            expect(call(op, state.as_ref(), &target).await?, op)
        }))
    }
}

async fn prepare(op: Op, state: &dyn StateRole, number: usize) -> Result<Target> {
    let schedules = state.schedules();
    let queue = QueueName::new(format!("each-{}", number / SCHEDULES))?;
    let name = ScheduleName::new(format!("schedule-{}", number % SCHEDULES))?;
    let mut target = Target { queue, name, plan: None };
    if op == Op::SchedulePut {
        return Ok(target);
    }
    let _ = schedules.put(&target.queue, &target.name, &schedule()?, None, Durability::Accepted).await?;
    if op == Op::ScheduleResume {
        schedules.pause(&target.queue, &target.name).await?;
    }
    while op == Op::ScheduleAdvance && target.plan.is_none() {
        let due = schedules.due(&target.queue, 50).await?;
        let info = due.schedules.iter().find(|info| info.name == target.name);
        target.plan = info.map(|info| info.plan(due.now)).filter(|plan| plan.due.len() == 1);
    }
    Ok(target)
}

/// It is due every millisecond: each call of `advance` fires one job.
fn schedule() -> Result<Schedule> {
    Ok(Schedule::every(Duration::from_millis(1), NewJob::new(vec![b'x'; 100]))?)
}

async fn call(op: Op, state: &dyn StateRole, target: &Target) -> Result<bool> {
    let (schedules, accepted, queue) = (state.schedules(), Durability::Accepted, &target.queue);
    Ok(match op {
        Op::SchedulePut => {
            let _ = schedules.put(queue, &target.name, &schedule()?, None, accepted).await?;
            true
        }
        Op::ScheduleGet => schedules.get(queue, &target.name).await?.is_some(),
        Op::ScheduleList => !schedules.list(queue, PageRequest::default()).await?.items.is_empty(),
        Op::SchedulePause => schedules.pause(queue, &target.name).await?,
        Op::ScheduleResume => schedules.resume(queue, &target.name).await?,
        Op::ScheduleDelete => schedules.delete(queue, &target.name).await.is_ok(),
        Op::ScheduleDue => !schedules.due(queue, 1).await?.schedules.is_empty(),
        _ => match &target.plan {
            Some(plan) => schedules.advance(queue, plan, accepted).await.is_ok(),
            None => false,
        },
    })
}
