//! Runs of agents: one hash per run, and the sorted sets of the listings.

mod listings;
mod reply;

use async_trait::async_trait;
use redis_link::layout::{self, Aggregate};
use redis_link::{Arg, Link, Script, SharedScript, args, keys};
use store_core::{
    Cursor, Durability, Error, Fence, NewRun, Op, PageRequest, Receipt, Result, RunEvents, RunFilter, RunId, RunInfo,
    RunOutcome, RunPage, RunState, RunWrite, Runs, RunsRemoved, millis_ceil,
};

use crate::{StateStore, notifications};

const RECORD: &str = include_str!("../lua/run/record.lua");
const WRITING: &[&str] = &[
    layout::PIECE,
    RECORD,
    include_str!("../lua/run/writing.lua"),
    notifications::PIECE,
    include_str!("../lua/run/write.lua"),
];

static CREATE: Script = Script::adds(
    "run/create",
    &[layout::PIECE, RECORD, include_str!("../lua/run/creating.lua"), include_str!("../lua/run/create.lua")],
);
static WRITE: Script = Script::adds("run/write", WRITING);
/// For writes that end or cancel a run.
static END: Script = Script::frees("run/write", WRITING);
static DESCRIBE: Script = Script::reads("run/describe", &[layout::PIECE, include_str!("../lua/run/describe.lua")]);
static GET: Script = Script::reads("run/get", &[layout::PIECE, include_str!("../lua/run/get.lua")]);
static EVENTS: Script = Script::reads("run/events", &[layout::PIECE, include_str!("../lua/run/events.lua")]);
static DELETE: Script =
    Script::frees("run/delete", &[layout::PIECE, RECORD, notifications::PIECE, include_str!("../lua/run/delete.lua")]);
static INDEX: Script = Script::adds("run/index", &[include_str!("../lua/run/index.lua")]);
static TIDY: Script = Script::frees("run/tidy", &[include_str!("../lua/run/tidy.lua")]);
static LIST: Script = Script::reads("run/list", &[include_str!("../lua/run/list.lua")]);
static DUE: Script = Script::reads("run/due", &[include_str!("../lua/run/due.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 10] =
    [&CREATE, &WRITE, &DESCRIBE, &GET, &EVENTS, &DELETE, &INDEX, &TIDY, &LIST, &DUE];

/// How often the entries of a run are written if they may have been swept before the run was created.
const TRIES: usize = 3;
/// How many bytes of events one read returns, but for the last of them.
const EVENT_BYTES: usize = 1 << 20;
/// The size of a head in a reply, roughly.
const HEAD_BYTES: usize = 256;

/// The calls of all tasks.
pub(crate) struct RunCalls {
    create: SharedScript,
    write: SharedScript,
    end: SharedScript,
    describe: SharedScript,
    delete: SharedScript,
    index: SharedScript,
    tidy: SharedScript,
}

impl RunCalls {
    pub(crate) fn new(link: &Link) -> Self {
        let (layouts, margin) = (link.layouts().argument(Aggregate::Run), millis_ceil(link.collection_margin()));
        let publish = notifications::publish_command(link);
        let shared = |op, script, head| SharedScript::new(link, op, script, head);
        let write = |script| {
            let head = args![layouts.clone(), margin, RunEvents::MAX_RUN_BYTES, publish.clone()];
            SharedScript::new(link, Op::RunWrite, script, head)
        };
        Self {
            create: shared(Op::RunCreate, &CREATE, args![layouts.clone(), margin]),
            write: write(&WRITE),
            end: write(&END),
            describe: shared(Op::RunList, &DESCRIBE, args![layouts.clone()]),
            delete: shared(Op::RunDelete, &DELETE, args![layouts.clone(), publish.clone()]),
            index: shared(Op::RunCreate, &INDEX, Vec::new()),
            tidy: shared(Op::RunSweep, &TIDY, Vec::new()),
        }
    }
}

/// The entries of a run in listings have a tag of their own, so a creation is two scripts, one after the other: the entries first.
/// `write`, `get` and `events` are one script each. Concurrent calls of one operation with the same durability are coalesced, except
/// `get`, `events` and `list`. `delete`, `sweep`, `clear`, and writes that end or cancel a run also work if the server's memory is
/// full.
#[async_trait]
impl Runs for StateStore {
    async fn create(&self, run: &NewRun, durability: Durability) -> Result<Receipt<RunOutcome>> {
        run.validate()?;
        for _ in 0..TRIES {
            let (entries, indexed) = self.index_new(run, durability).await?;
            let args = args![
                &run.request.as_bytes()[..],
                format!("{:016}", entries.created),
                entries.lasts,
                format!("{:015}", run.ttl.as_millis()),
                run.max_events.clamp(100, NewRun::MAX_EVENTS),
                reply::names(&run.agent, run.session.as_ref()),
                &run.input,
            ];
            let create = &self.calls.runs.create;
            let answer = create.call_durable(self.run_key(&run.run), args, run.input.len(), durability).await;
            let (mut reply, reached) = answer?;
            let outcome = match reply.next_word()?.as_ref() {
                b"stale" => continue,
                b"done" => {
                    reply.record(run.run.as_str(), []);
                    let found = reply::head(Op::RunCreate, &run.run, &reply.next_bytes()?)?;
                    if found.created != entries.created {
                        self.restore_entries(run, &entries, &found).await?;
                    }
                    RunOutcome::Done(found.info)
                }
                b"conflict" => {
                    let found = reply::head(Op::RunCreate, &run.run, &reply.next_bytes()?)?;
                    self.restore_entries(run, &entries, &found).await?;
                    return Ok(Receipt::new(RunOutcome::Conflict(found.info), reached.unwrap_or_default()));
                }
                _ => return Err(reply.unknown_word()),
            };
            if entries.others_are_due {
                // The next creation, or a sweep, does what this one cannot.
                let _ = self.sweep_some(listings::SWEPT_BY_CREATE).await;
            }
            let reached = reached.and_then(|reached| indexed.map(|_| reached));
            return Ok(Receipt::new(outcome, reached?));
        }
        Err(Error::unavailable(Op::RunCreate, "the process was suspended for longer than the run lasts, three times"))
    }

    async fn write(&self, write: &RunWrite, durability: Durability) -> Result<Receipt<RunOutcome>> {
        write.validate()?;
        let ends = matches!(write.state, Some(state) if state.is_ended() || state == RunState::Cancelling);
        let script = if ends { &self.calls.runs.end } else { &self.calls.runs.write };
        let (args, bytes) = self.write_args(write, durability);
        let (mut reply, reached) = script.call_durable(self.run_key(&write.run), args, bytes, durability).await?;
        let word = reply.next_word()?;
        let outcome = match word.as_ref() {
            b"superseded" => RunOutcome::Superseded { by: Fence::new(reply.next_u64()?) },
            b"absent" => RunOutcome::Absent,
            b"lost" => {
                let what = "so many events were appended since the first request that its own would be removed";
                return Err(Error::indeterminate(Op::RunWrite, what));
            }
            word => {
                let found = reply::head(Op::RunWrite, &write.run, &reply.next_bytes()?)?.info;
                match word {
                    b"done" => {
                        reply.record(write.run.as_str(), []);
                        return Ok(Receipt::new(RunOutcome::Done(found), reached?));
                    }
                    b"conflict" => RunOutcome::Conflict(found),
                    b"illegal" => RunOutcome::Illegal(found),
                    _ => return Err(reply.unknown_word()),
                }
            }
        };
        // Nothing was written, so `NotDurable` would be wrong.
        Ok(Receipt::new(outcome, reached.unwrap_or_default()))
    }

    async fn get(&self, run: &RunId) -> Result<Option<RunInfo>> {
        let op = Op::RunGet;
        let mut reply = self.link.call(op, &GET, &self.run_key(run), args![self.run_layouts()]).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"run" => {
                let mut info = reply::head(op, run, &reply.next_bytes()?)?.info;
                // A reply ends at its last payload.
                let mut payload = || if reply.remaining() > 0 { reply.next_opt_bytes() } else { Ok(None) };
                (info.input, info.output, info.await_request) = (payload()?, payload()?, payload()?);
                let error = payload()?.map(|error| String::from_utf8(error.into()));
                info.error = error.transpose().map_err(|_| Error::corrupt(op, "the error of the run is not UTF-8"))?;
                Ok(Some(info))
            }
            b"absent" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn events(&self, run: &RunId, from: u64, limit: u32) -> Result<Option<RunEvents>> {
        let (op, from) = (Op::RunEvents, from.min(1 << 53));
        let args = args![self.run_layouts(), from, limit.clamp(1, PageRequest::MAX_LIMIT), EVENT_BYTES];
        let mut reply = self.link.call(op, &EVENTS, &self.run_key(run), args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"events" => reply::events(op, from, reply).map(Some),
            b"absent" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn list(&self, filter: &RunFilter, page: PageRequest) -> Result<RunPage> {
        self.list_runs(filter, &page).await
    }

    async fn delete(&self, run: &RunId) -> Result<bool> {
        let Some(found) = self.described(run).await? else { return Ok(false) };
        let args = args![format!("{:016}", found.created)];
        let mut reply = self.calls.runs.delete.call(self.run_key(run), args, 0).await?;
        if reply.next_word()?.as_ref() != b"deleted" {
            return Err(reply.unknown_word());
        }
        reply.record(run.as_str(), []);
        self.remove_entries(&found).await?;
        Ok(true)
    }

    async fn sweep(&self) -> Result<RunsRemoved> {
        self.sweep_some(listings::SWEPT_AT_ONCE).await
    }

    async fn clear(&self, prefix: &str, after: Option<Cursor>) -> Result<RunsRemoved> {
        self.clear_some(prefix, after.as_ref()).await
    }
}

impl StateStore {
    fn run_layouts(&self) -> Arg {
        self.link.layouts().argument(Aggregate::Run)
    }

    fn run_key(&self, run: &RunId) -> Vec<String> {
        vec![keys::run(&self.namespace, run)]
    }

    /// What is recorded of a run that has not expired.
    async fn described(&self, run: &RunId) -> Result<Option<reply::Head>> {
        let mut reply = self.calls.runs.describe.call(self.run_key(run), Vec::new(), HEAD_BYTES).await?;
        match reply.next_word()?.as_ref() {
            b"run" => Ok(Some(reply::head(Op::RunList, run, &reply.next_bytes()?)?)),
            b"absent" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }

    /// The arguments of a write, and the size of its payloads.
    fn write_args(&self, write: &RunWrite, durability: Durability) -> (Vec<Arg>, usize) {
        let number = |number: Option<u64>| number.map_or(Arg::fixed(""), Arg::from);
        let legal = |from: &RunState| match write.state {
            Some(state) => from.may_become(state),
            None => !from.is_ended(),
        };
        let from: String = RunState::ALL.iter().filter(|from| legal(from)).map(|from| from.letter()).collect();
        let payloads: Vec<_> = [
            ("output", write.output.as_ref().map(Arg::from)),
            ("await", write.await_request.as_ref().map(Arg::from)),
            ("error", write.error.as_deref().map(Arg::from)),
        ]
        .into_iter()
        .filter_map(|(name, payload)| Some((name, payload?)))
        .collect();
        let mut args = args![
            &write.request.as_bytes()[..],
            millis_ceil(self.link.remembered_for(durability)),
            number(write.version),
            number(write.sequence),
            write.fence.map_or(Arg::fixed(""), |fence| Arg::from(format!("{:016}", fence.get()))),
            from,
            write.state.map_or(String::new(), |state| state.letter().to_string()),
            write.state.map_or("", RunState::event),
            if write.state.is_some_and(RunState::is_ended) { "1" } else { "" },
            payloads.len() + write.events.len(),
            payloads.len(),
        ];
        let sizes =
            [write.output.as_ref(), write.await_request.as_ref()].map(|payload| payload.map_or(0, |it| it.len()));
        let events: usize = write.events.iter().map(|event| event.data.len()).sum();
        for (name, payload) in payloads {
            args.extend([Arg::fixed(name), payload]);
        }
        for event in &write.events {
            args.extend([Arg::from(&event.kind), Arg::from(&event.data)]);
        }
        (args, sizes.iter().sum::<usize>() + events)
    }
}
