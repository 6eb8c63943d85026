//! Steps of workflow runs.

mod record;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{
    Cursor, Durability, Error, Op, Page, PageRequest, Receipt, Result, Scope, StepAttempt, StepBegun, StepInfo,
    StepName, StepState, Steps, Timestamp, WorkflowRun, cut_reason, validate_output,
};

use self::record::Head;
pub(super) use self::record::Run;
use super::queue::OpenHome;
use super::{EmbeddedState, scoped};
use crate::database::Operation;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, View};

/// The largest number of attempts that is counted.
const MOST_ATTEMPTS: u32 = 999_999;

impl EmbeddedState {
    /// The rows of a run in a home.
    pub(super) fn run(&self, home: &OpenHome, run: &WorkflowRun) -> Run {
        let scope = if run.is_temporal() { &Scope::Shared } else { &self.scope };
        Run::new(&[home.rows().prefix(), &scoped(scope, "")].concat(), run)
    }

    async fn end(
        &self,
        op: Op,
        attempt: &StepAttempt,
        ending: Ending,
        durability: Durability,
    ) -> Result<Receipt<bool>> {
        attempt.validate(op)?;
        let reached = self.database.reach(op, durability)?;
        let (clock, home, attempt) = (self.options.clock.clone(), self.at_home(op), attempt.clone());
        let run = self.run(&home, &attempt.run);
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            end(change, Moment::now(&clock), &run, &attempt, &ending)
        };
        Ok(Receipt::new(self.database.write(op, apply).await?, reached))
    }
}

pub(super) enum Ending {
    Output(Bytes),
    Error(String),
}

fn refused<T>(op: Op, detail: &'static str) -> Result<T, Fault> {
    Err(Fault::Refused(Error::invalid_argument(op, detail)))
}

/// What a sleep returns now.
fn slept(info: &StepInfo, now: Moment) -> StepBegun {
    let until = info.ended.unwrap_or_default();
    StepBegun::of_sleep(until, until.since(now.timestamp()))
}

/// Begins a step, or a sleep of `lasting`.
fn begin(
    change: &mut Change<'_>,
    now: Moment,
    run: &Run,
    attempt: &StepAttempt,
    lasting: Option<Duration>,
) -> Result<StepBegun, Fault> {
    let op = if lasting.is_some() { Op::StepSleep } else { Op::StepBegin };
    let known = run.head(change, now)?;
    let (is_known, head) = (known.is_some(), known.unwrap_or_default());
    let stored = if is_known { run.step(change, &attempt.step)? } else { None };
    match &stored {
        Some(info) if info.state == StepState::Sleep => {
            if lasting.is_some() && info.attempt == attempt.attempt {
                let ended = info.ended.unwrap_or_default().as_millis();
                run.put_head(change, &head, ended.saturating_add(attempt.ttl.as_millis()))?;
            }
            return Ok(slept(info, now));
        }
        Some(_) if lasting.is_some() => return refused(op, "the step is not a sleep"),
        Some(info) if info.state == StepState::Finished => {
            return Ok(StepBegun::Finished(run.output(change, &info.step)?.unwrap_or_default()));
        }
        None if head.count >= WorkflowRun::MAX_STEPS => {
            return refused(op, "the run has 1000 steps, and may not have more");
        }
        _ => {}
    }
    let of_step = stored.as_ref().map(|info| info.attempt);
    let latest = if attempt.run.is_temporal() { of_step.map_or(0, |attempt| attempt.get()) } else { head.latest };
    let restarts = of_step.is_some() && of_step == attempt.restart_of;
    if attempt.attempt.get() < latest && !restarts {
        return Ok(StepBegun::Superseded { by: store_core::Fence::new(latest) });
    }
    run.tidy(change, now)?;
    let is_new = stored.is_none();
    let mut info = stored
        .unwrap_or_else(|| StepInfo::new(attempt.step.clone(), attempt.attempt, 0, now.timestamp(), now.timestamp()));
    if is_new || info.state != StepState::Running || info.attempt != attempt.attempt {
        info.attempts = MOST_ATTEMPTS.min(info.attempts + 1);
        info.began = now.timestamp();
    }
    info.attempt = attempt.attempt;
    (info.state, info.ended) = (StepState::Running, None);
    if let Some(lasting) = lasting {
        (info.state, info.ended) = (StepState::Sleep, Some(Timestamp::from_millis(now.after(lasting))));
    }
    if is_new {
        run.put_number(change, head.count, &info.step)?;
    }
    run.put_step(change, &info)?;
    let latest = if attempt.run.is_temporal() { 0 } else { attempt.attempt.get() };
    let head = Head { latest, count: head.count + u32::from(is_new), ..head };
    let until = info.ended.map_or(now.millis_up(), Timestamp::as_millis);
    run.put_head(change, &head, until.saturating_add(attempt.ttl.as_millis()))?;
    Ok(if lasting.is_some() { slept(&info, now) } else { StepBegun::Started })
}

/// Ends a step by the attempt that has begun it. Returns whether it has ended so.
pub(super) fn end(
    change: &mut Change<'_>,
    now: Moment,
    run: &Run,
    attempt: &StepAttempt,
    ending: &Ending,
) -> Result<bool, Fault> {
    let Some(head) = run.head(change, now)? else { return Ok(false) };
    let stored = run.step(change, &attempt.step)?.filter(|info| info.attempt == attempt.attempt);
    let Some(mut info) = stored else { return Ok(false) };
    let until = now.after(attempt.ttl.as_duration());
    let state = match ending {
        Ending::Output(_) => StepState::Finished,
        Ending::Error(_) => StepState::Failed,
    };
    if info.state == state {
        run.put_head(change, &head, until)?;
        return Ok(true);
    }
    let is_latest = attempt.run.is_temporal() || attempt.attempt.get() >= head.latest;
    if info.state != StepState::Running || !is_latest {
        return Ok(false);
    }
    (info.state, info.ended) = (state, Some(now.timestamp()));
    match ending {
        Ending::Output(output) => {
            info.output_bytes = output.len();
            run.put_output(change, &info.step, output)?;
        }
        Ending::Error(error) => info.last_error = Some(error.clone()).filter(|error| !error.is_empty()),
    }
    run.put_step(change, &info)?;
    run.put_head(change, &head, until)?;
    run.tidy(change, now)?;
    Ok(true)
}

#[async_trait]
impl Steps for EmbeddedState {
    async fn begin(&self, attempt: &StepAttempt, durability: Durability) -> Result<Receipt<StepBegun>> {
        attempt.validate(Op::StepBegin)?;
        let reached = self.database.reach(Op::StepBegin, durability)?;
        let (clock, home, attempt) = (self.options.clock.clone(), self.at_home(Op::StepBegin), attempt.clone());
        let run = self.run(&home, &attempt.run);
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            begin(change, Moment::now(&clock), &run, &attempt, None)
        };
        Ok(Receipt::new(self.database.write(Operation::adding(Op::StepBegin), apply).await?, reached))
    }

    async fn finish(&self, attempt: &StepAttempt, output: &Bytes, durability: Durability) -> Result<Receipt<bool>> {
        validate_output(output)?;
        self.end(Op::StepFinish, attempt, Ending::Output(output.clone()), durability).await
    }

    async fn fail(&self, attempt: &StepAttempt, error: &str, durability: Durability) -> Result<Receipt<bool>> {
        self.end(Op::StepFail, attempt, Ending::Error(cut_reason(error).to_owned()), durability).await
    }

    async fn sleep(
        &self,
        attempt: &StepAttempt,
        lasting: Duration,
        durability: Durability,
    ) -> Result<Receipt<StepBegun>> {
        attempt.validate_sleep(lasting)?;
        let reached = self.database.reach(Op::StepSleep, durability)?;
        let (clock, home, attempt) = (self.options.clock.clone(), self.at_home(Op::StepSleep), attempt.clone());
        let run = self.run(&home, &attempt.run);
        let apply = move |change: &mut Change<'_>| {
            home.enter(change)?;
            begin(change, Moment::now(&clock), &run, &attempt, Some(lasting))
        };
        Ok(Receipt::new(self.database.write(Operation::adding(Op::StepSleep), apply).await?, reached))
    }

    async fn get(&self, run: &WorkflowRun, step: &StepName) -> Result<Option<StepInfo>> {
        let (clock, home, step) = (self.options.clock.clone(), self.at_home(Op::StepGet), step.clone());
        let run = self.run(&home, run);
        let look = move |view: &mut View<'_>| {
            home.check(view)?;
            if run.head(view, Moment::now(&clock))?.is_none() {
                return Ok(None);
            }
            let Some(mut info) = run.step(view, &step)? else { return Ok(None) };
            info.output = run.output(view, &step)?;
            Ok(Some(info))
        };
        self.database.read(Op::StepGet, look).await
    }

    async fn list(&self, run: &WorkflowRun, page: PageRequest) -> Result<Page<StepInfo>> {
        let op = Op::StepList;
        let first = page.cursor().map_or(Ok(0), |cursor| cursor.as_str().parse::<u32>());
        let first = first.map_err(|_| Error::invalid_argument(op, "the cursor is of another listing"))?;
        let (clock, home, limit) = (self.options.clock.clone(), self.at_home(op), page.limit());
        let run = self.run(&home, run);
        let look = move |view: &mut View<'_>| {
            home.check(view)?;
            let Some(head) = run.head(view, Moment::now(&clock))? else { return Ok(Page::new(Vec::new(), None)) };
            let mut steps = Vec::new();
            for name in run.names(view, first, limit as usize)? {
                steps.extend(run.step(view, &name)?);
            }
            let next = first.saturating_add(limit);
            Ok(Page::new(steps, (next < head.count).then(|| Cursor::new(next.to_string()))))
        };
        self.database.read(op, look).await
    }
}
