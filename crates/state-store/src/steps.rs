//! Steps of workflow runs: one hash per run.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::layout::{self, Aggregate};
use redis_link::{Arg, Link, ReplyReader, Script, SharedScript, SizeSeen, args, keys};
use store_core::{
    Cursor, Durability, Error, Fence, Op, Page, PageRequest, Receipt, Result, StepAttempt, StepBegun, StepInfo,
    StepName, StepState, Steps, Timestamp, WorkflowRun, cut_reason, millis_ceil, validate_output,
};

use crate::StateStore;

pub(crate) const RECORD: &str = include_str!("../lua/step/record.lua");
const BEGINNING: &str = include_str!("../lua/step/beginning.lua");
pub(crate) const ENDING: &str = include_str!("../lua/step/ending.lua");
const BEGIN_PIECES: &[&str] = &[layout::PIECE, RECORD, BEGINNING, include_str!("../lua/step/begin.lua")];
const SLEEP_PIECES: &[&str] = &[layout::PIECE, RECORD, BEGINNING, include_str!("../lua/step/sleep.lua")];

static BEGIN: Script = Script::adds("step/begin", BEGIN_PIECES);
/// For the run of a job, which has to be completed to free its memory.
static BEGIN_OF_JOB: Script = Script::frees("step/begin", BEGIN_PIECES);
static SLEEP: Script = Script::adds("step/sleep", SLEEP_PIECES);
static SLEEP_OF_JOB: Script = Script::frees("step/sleep", SLEEP_PIECES);
static FINISH: Script =
    Script::frees("step/finish", &[layout::PIECE, RECORD, ENDING, include_str!("../lua/step/finish.lua")]);
static FAIL: Script =
    Script::frees("step/fail", &[layout::PIECE, RECORD, ENDING, include_str!("../lua/step/fail.lua")]);
static GET: Script = Script::reads("step/get", &[layout::PIECE, include_str!("../lua/step/get.lua")]);
static LIST: Script = Script::reads("step/list", &[layout::PIECE, include_str!("../lua/step/list.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 6] = [&BEGIN, &SLEEP, &FINISH, &FAIL, &GET, &LIST];

/// The calls of all tasks.
pub(crate) struct StepCalls {
    begin: SharedScript,
    begin_of_job: SharedScript,
    sleep: SharedScript,
    sleep_of_job: SharedScript,
    finish: SharedScript,
    fail: SharedScript,
    /// The sizes of the outputs that `begin` returned.
    outputs: SizeSeen,
}

impl StepCalls {
    pub(crate) fn new(link: &Link) -> Self {
        let layouts = link.layouts().argument(Aggregate::Step);
        let margin = millis_ceil(link.collection_margin());
        let begins = |op, script| {
            let head = args![layouts.clone(), WorkflowRun::MAX_STEPS, margin];
            SharedScript::new(link, op, script, head)
        };
        let ends = |op, script| SharedScript::new(link, op, script, args![layouts.clone(), margin]);
        Self {
            begin: begins(Op::StepBegin, &BEGIN),
            begin_of_job: begins(Op::StepBegin, &BEGIN_OF_JOB),
            sleep: begins(Op::StepSleep, &SLEEP),
            sleep_of_job: begins(Op::StepSleep, &SLEEP_OF_JOB),
            finish: ends(Op::StepFinish, &FINISH),
            fail: ends(Op::StepFail, &FAIL),
            outputs: SizeSeen::default(),
        }
    }
}

/// Each call is one script in one round trip. `finish` and `fail` also work if the server's memory is full; `begin` and `sleep`
/// do for the run of a job. Concurrent calls of one operation with the same durability are coalesced, except `get` and
/// `list`.
#[async_trait]
impl Steps for StateStore {
    async fn begin(&self, attempt: &StepAttempt, durability: Durability) -> Result<Receipt<StepBegun>> {
        attempt.validate(Op::StepBegin)?;
        let calls = &self.calls.steps;
        let begin = if attempt.run.is_of_job() { &calls.begin_of_job } else { &calls.begin };
        let args = args![attempt.step.as_str(), words(attempt, attempt.restart_of)];
        let answer = begin
            .call_durable(
                self.steps_key(Op::StepBegin, &attempt.run).await?,
                args,
                calls.outputs.expected(),
                durability,
            )
            .await;
        let (reply, reached) = answer.inspect_err(|_| calls.outputs.forget())?;
        let begun = begun(attempt, reply)?;
        calls.outputs.note(if let StepBegun::Finished(output) = &begun { output.len() } else { 0 });
        // All other answers were only read, so `NotDurable` would be wrong.
        let reached = if matches!(begun, StepBegun::Started) { reached? } else { reached.unwrap_or_default() };
        Ok(Receipt::new(begun, reached))
    }

    async fn finish(&self, attempt: &StepAttempt, output: &Bytes, durability: Durability) -> Result<Receipt<bool>> {
        attempt.validate(Op::StepFinish)?;
        validate_output(output)?;
        self.end((Op::StepFinish, &self.calls.steps.finish), attempt, output, durability).await
    }

    async fn fail(&self, attempt: &StepAttempt, error: &str, durability: Durability) -> Result<Receipt<bool>> {
        attempt.validate(Op::StepFail)?;
        let error = Bytes::copy_from_slice(cut_reason(error).as_bytes());
        self.end((Op::StepFail, &self.calls.steps.fail), attempt, &error, durability).await
    }

    async fn sleep(
        &self,
        attempt: &StepAttempt,
        lasting: Duration,
        durability: Durability,
    ) -> Result<Receipt<StepBegun>> {
        attempt.validate_sleep(lasting)?;
        let calls = &self.calls.steps;
        let sleep = if attempt.run.is_of_job() { &calls.sleep_of_job } else { &calls.sleep };
        let args = args![
            attempt.step.as_str(),
            digits(attempt.attempt),
            counted(attempt),
            millis_ceil(lasting),
            attempt.ttl.as_millis()
        ];
        let (reply, reached) =
            sleep.call_durable(self.steps_key(Op::StepSleep, &attempt.run).await?, args, 0, durability).await?;
        let begun = begun(attempt, reply)?;
        let is_superseded = matches!(begun, StepBegun::Superseded { .. });
        Ok(Receipt::new(begun, if is_superseded { reached.unwrap_or_default() } else { reached? }))
    }

    async fn get(&self, run: &WorkflowRun, step: &StepName) -> Result<Option<StepInfo>> {
        let (op, args) = (Op::StepGet, args![self.step_layouts(), step.as_str()]);
        let mut reply = self.link.call(op, &GET, &self.steps_key(op, run).await?, args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"step" => {
                let (entry, output) = (reply.next_bytes()?, reply.next_bytes()?);
                let mut info = step_info(op, step.clone(), &entry)?;
                info.output = (info.state == StepState::Finished).then_some(output);
                Ok(Some(info))
            }
            b"absent" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn list(&self, run: &WorkflowRun, page: PageRequest) -> Result<Page<StepInfo>> {
        let op = Op::StepList;
        let first = page.cursor().map_or(Ok(0), |cursor| cursor.as_str().parse::<u32>());
        let first = first.map_err(|_| Error::invalid_argument(op, "the cursor is of another listing"))?;
        let args = args![self.step_layouts(), page.limit(), first];
        let mut reply = self.link.call(op, &LIST, &self.steps_key(op, run).await?, args).await?.reader(op);
        if reply.next_word()?.as_ref() != b"steps" {
            return Err(reply.unknown_word());
        }
        let next = reply.next_opt_text()?.map(Cursor::new);
        let mut steps = Vec::with_capacity(reply.remaining() / 2);
        while reply.remaining() > 0 {
            let (name, entry) = (reply.next_text()?, reply.next_bytes()?);
            let name = StepName::new(name).map_err(|_| Error::corrupt(op, "the name of the step is not valid"))?;
            steps.push(step_info(op, name, &entry)?);
        }
        Ok(Page::new(steps, next))
    }
}

impl StateStore {
    pub(crate) fn step_layouts(&self) -> Arg {
        self.link.layouts().argument(Aggregate::Step)
    }

    pub(crate) async fn steps_key(&self, op: Op, run: &WorkflowRun) -> Result<Vec<String>> {
        let home = self.home_keys(op).await?;
        let own = || keys::steps(&self.namespace, &self.scope, run);
        Ok(vec![home.map_or_else(own, |home| home.steps(&self.scope, run))])
    }

    async fn end(
        &self,
        (op, script): (Op, &SharedScript),
        attempt: &StepAttempt,
        text: &Bytes,
        durability: Durability,
    ) -> Result<Receipt<bool>> {
        let args = args![attempt.step.as_str(), words(attempt, None), text];
        let (mut reply, reached) =
            script.call_durable(self.steps_key(op, &attempt.run).await?, args, text.len(), durability).await?;
        match reply.next_word()?.as_ref() {
            b"recorded" => {
                record(attempt, &reply);
                Ok(Receipt::new(true, reached?))
            }
            b"superseded" => Ok(Receipt::new(false, reached.unwrap_or_default())),
            _ => Err(reply.unknown_word()),
        }
    }
}

/// The arguments of the end of a step.
pub(crate) fn end_args(attempt: &StepAttempt, text: &Bytes) -> Vec<Arg> {
    args![attempt.step.as_str(), digits(attempt.attempt), counted(attempt), attempt.ttl.as_millis(), text]
}

/// The attempt as `step/begin.lua` takes it.
fn words(attempt: &StepAttempt, restart_of: Option<Fence>) -> String {
    let restart_of = restart_of.map_or_else(String::new, |replaced| format!("{:016}", replaced.get()));
    format!("{:016}{}{:015}{restart_of}", attempt.attempt.get(), counted(attempt), attempt.ttl.as_millis())
}

/// The form in which the scripts store and compare it.
fn digits(attempt: Fence) -> Arg {
    Arg::from(format!("{:016}", attempt.get()))
}

/// Of what the attempts are counted: the run or the step.
fn counted(attempt: &StepAttempt) -> &'static str {
    if attempt.run.is_temporal() { "s" } else { "r" }
}

/// Records that the attempt wrote.
fn record(attempt: &StepAttempt, reply: &ReplyReader) {
    let number = attempt.attempt.get();
    reply.record_write(attempt.run.to_string(), |write| write.with_part(attempt.step.as_str()).with_number(number));
}

fn begun(attempt: &StepAttempt, mut reply: ReplyReader) -> Result<StepBegun> {
    Ok(match reply.next_word()?.as_ref() {
        b"started" => {
            record(attempt, &reply);
            StepBegun::Started
        }
        b"finished" => StepBegun::Finished(reply.next_bytes()?),
        b"sleeping" => {
            let until = Timestamp::from_millis(reply.next_u64()?);
            let remaining = Duration::from_millis(reply.next_u64()?);
            record(attempt, &reply);
            StepBegun::of_sleep(until, remaining)
        }
        b"superseded" => StepBegun::Superseded { by: Fence::new(reply.next_u64()?) },
        _ => return Err(reply.unknown_word()),
    })
}

fn step_info(op: Op, step: StepName, entry: &[u8]) -> Result<StepInfo> {
    parse(step, entry).ok_or_else(|| Error::corrupt(op, "the entry is not one of a step"))
}

/// An entry as `record.lua` writes it: layout, state, attempt (16 digits), number of attempts (6), three times (15 each), length
/// of the output (6), last error.
fn parse(step: StepName, entry: &[u8]) -> Option<StepInfo> {
    let text = std::str::from_utf8(entry).ok()?;
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let time = |from| number(from, from + 15).map(Timestamp::from_millis);
    let attempts = u32::try_from(number(18, 24)?).ok()?;
    let mut info = StepInfo::new(step, Fence::new(number(2, 18)?), attempts, time(24)?, time(39)?);
    info.state = match text.as_bytes()[1] {
        b'r' => StepState::Running,
        b'f' => StepState::Failed,
        b'd' => StepState::Finished,
        b'z' => StepState::Sleep,
        _ => return None,
    };
    info.ended = time(54).filter(|ended| ended.as_millis() > 0);
    info.output_bytes = usize::try_from(number(69, 75)?).ok()?;
    info.last_error = text.get(75..).filter(|error| !error.is_empty()).map(str::to_owned);
    Some(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_its_layout_its_state_numbers_and_an_error() {
        let name = StepName::new("charge").unwrap();
        let head = "1f0000000000000007000002000000000000001000000000000002000000000000003000000";
        let info = parse(name.clone(), format!("{head}größer").as_bytes()).unwrap();
        let times = [info.first_began, info.began, info.ended.unwrap()].map(Timestamp::as_millis);
        assert_eq!((info.state, info.attempt.get(), info.attempts, times), (StepState::Failed, 7, 2, [1, 2, 3]));
        assert_eq!((info.output_bytes, info.last_error.as_deref()), (0, Some("größer")));
        for broken in [&b""[..], &head.as_bytes()[..74], &[0xff; 90], head.replace("1f", "1x").as_bytes()] {
            assert!(parse(name.clone(), broken).is_none());
        }
    }
}
