//! Runs of agents: one hash per run, and the sorted sets of the listings. The records of sessions are stored in the same form.

mod listings;
mod records;
pub(crate) mod reply;
mod sessions;

use std::time::Duration;

use async_trait::async_trait;
use redis_link::keys::RunKeys;
use redis_link::layout::{self, Aggregate};
use redis_link::{Arg, Link, Script, SharedScript, args};
use store_core::{
    Cursor, Durability, Fence, NewRun, Op, PageRequest, Receipt, RequestId, Result, RunEvents, RunFilter, RunId,
    RunInfo, RunOutcome, RunPage, RunState, RunWrite, Runs, RunsRemoved, millis_ceil,
};

use self::records::Records;
use crate::{StateStore, notifications};

pub(crate) const RECORD: &str = include_str!("../lua/run/record.lua");
pub(crate) const WRITING: &str = include_str!("../lua/run/writing.lua");
const WRITE_PIECES: &[&str] =
    &[layout::PIECE, RECORD, WRITING, notifications::PIECE, include_str!("../lua/run/write.lua")];

static CREATE: Script = Script::adds(
    "run/create",
    &[layout::PIECE, RECORD, include_str!("../lua/run/creating.lua"), include_str!("../lua/run/create.lua")],
);
static WRITE: Script = Script::adds("run/write", WRITE_PIECES);
/// For writes that end or cancel a run.
static END: Script = Script::frees("run/write", WRITE_PIECES);
static DESCRIBE: Script = Script::reads("run/describe", &[layout::PIECE, include_str!("../lua/run/describe.lua")]);
static GET: Script = Script::reads("run/get", &[layout::PIECE, include_str!("../lua/run/get.lua")]);
static EVENTS: Script = Script::reads("run/events", &[layout::PIECE, include_str!("../lua/run/events.lua")]);
static DELETE: Script =
    Script::frees("run/delete", &[layout::PIECE, RECORD, notifications::PIECE, include_str!("../lua/run/delete.lua")]);
static COLLECT: Script = Script::frees("run/collect", &[layout::PIECE, RECORD, include_str!("../lua/run/collect.lua")]);
static INDEX: Script = Script::adds("run/index", &[include_str!("../lua/run/index.lua")]);
static TIDY: Script = Script::frees("run/tidy", &[include_str!("../lua/run/tidy.lua")]);
static LIST: Script = Script::reads("run/list", &[include_str!("../lua/run/list.lua")]);
static DUE: Script = Script::reads("run/due", &[include_str!("../lua/run/due.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 11] =
    [&CREATE, &WRITE, &DESCRIBE, &GET, &EVENTS, &COLLECT, &DELETE, &INDEX, &TIDY, &LIST, &DUE];

/// How many bytes of events one read returns, but for the last of them.
const EVENT_BYTES: usize = 1 << 20;

/// A kind of records, and the operations on them.
struct Kind {
    keys: RunKeys,
    create: Op,
    write: Op,
    get: Op,
    list: Op,
    delete: Op,
    sweep: Op,
    clear: Op,
}

static RUNS: Kind = Kind {
    keys: RunKeys::OfRuns,
    create: Op::RunCreate,
    write: Op::RunWrite,
    get: Op::RunGet,
    list: Op::RunList,
    delete: Op::RunDelete,
    sweep: Op::RunSweep,
    clear: Op::RunClear,
};
static SESSIONS: Kind = Kind {
    keys: RunKeys::OfSessions,
    create: Op::SessionSave,
    write: Op::SessionSave,
    get: Op::SessionGet,
    list: Op::SessionList,
    delete: Op::SessionDelete,
    sweep: Op::SessionSweep,
    clear: Op::SessionClear,
};

/// The calls of all tasks on one kind of records.
pub(crate) struct RunCalls {
    kind: &'static Kind,
    create: SharedScript,
    write: SharedScript,
    end: SharedScript,
    describe: SharedScript,
    collect: SharedScript,
    delete: SharedScript,
    index: SharedScript,
    tidy: SharedScript,
}

impl RunCalls {
    pub(crate) fn of_runs(link: &Link) -> Self {
        Self::new(link, &RUNS)
    }

    pub(crate) fn of_sessions(link: &Link) -> Self {
        Self::new(link, &SESSIONS)
    }

    fn new(link: &Link, kind: &'static Kind) -> Self {
        let (layouts, margin) = (link.layouts().argument(Aggregate::Run), millis_ceil(link.collection_margin()));
        let publish = notifications::publish_command(link);
        let shared = |op, script, head| SharedScript::new(link, op, script, head);
        let write = |script| {
            let head = args![layouts.clone(), margin, RunEvents::MAX_RUN_BYTES, publish.clone()];
            SharedScript::new(link, kind.write, script, head)
        };
        Self {
            kind,
            create: shared(kind.create, &CREATE, args![layouts.clone(), margin]),
            write: write(&WRITE),
            end: write(&END),
            describe: shared(kind.list, &DESCRIBE, args![layouts.clone()]),
            collect: shared(kind.delete, &COLLECT, args![layouts.clone()]),
            delete: shared(kind.delete, &DELETE, args![layouts.clone(), publish.clone()]),
            index: shared(kind.create, &INDEX, Vec::new()),
            tidy: shared(kind.sweep, &TIDY, Vec::new()),
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
        self.run_records().create(run, durability).await
    }

    async fn write(&self, write: &RunWrite, durability: Durability) -> Result<Receipt<RunOutcome>> {
        write.validate()?;
        let script = if ends(write) { &self.calls.runs.end } else { &self.calls.runs.write };
        let (args, bytes) = self.write_args(write, durability);
        self.run_records().write(&write.run, script, args, bytes, durability).await
    }

    async fn get(&self, run: &RunId) -> Result<Option<RunInfo>> {
        self.run_records().get(run).await
    }

    async fn events(&self, run: &RunId, from: u64, limit: u32) -> Result<Option<RunEvents>> {
        let (op, from, records) = (Op::RunEvents, from.min(1 << 53), self.run_records());
        let args = args![records.layouts(), from, limit.clamp(1, PageRequest::MAX_LIMIT), EVENT_BYTES];
        let mut reply = self.link.call(op, &EVENTS, &records.key(op, run).await?, args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"events" => reply::events(op, from, reply).map(Some),
            b"absent" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn list(&self, filter: &RunFilter, page: PageRequest) -> Result<RunPage> {
        self.run_records().list(filter, &page).await
    }

    async fn delete(&self, run: &RunId) -> Result<bool> {
        self.run_records().delete(run).await
    }

    async fn sweep(&self) -> Result<RunsRemoved> {
        self.run_records().sweep(listings::SWEPT_AT_ONCE).await
    }

    async fn clear(&self, prefix: &str, after: Option<Cursor>) -> Result<RunsRemoved> {
        self.run_records().clear(prefix, after.as_ref()).await
    }
}

/// Whether a write ends or cancels its run.
pub(crate) fn ends(write: &RunWrite) -> bool {
    matches!(write.state, Some(state) if state.is_ended() || state == RunState::Cancelling)
}

impl StateStore {
    fn run_records(&self) -> Records<'_> {
        Records { store: self, calls: &self.calls.runs }
    }

    /// The arguments of a write, and the size of its payloads.
    fn write_args(&self, write: &RunWrite, durability: Durability) -> (Vec<Arg>, usize) {
        let words = Words {
            version: write.version,
            sequence: write.sequence,
            fence: write.fence,
            state: write.state,
            payloads: payloads(write).len(),
            events: write.events.len(),
        };
        let mut args = vec![words.arg(&write.request, self.link.remembered_for(durability), legal_states(write))];
        args.extend(pairs(write));
        let sizes =
            [write.output.as_ref(), write.await_request.as_ref()].map(|payload| payload.map_or(0, |it| it.len()));
        let events: usize = write.events.iter().map(|event| event.data.len()).sum();
        (args, sizes.iter().sum::<usize>() + events)
    }

    /// The arguments of a write that is part of a commit: see `home/parts.lua`.
    pub(crate) fn commit_args(&self, write: &RunWrite, durability: Durability) -> Vec<Arg> {
        let number = |number: Option<u64>| number.map_or(Arg::fixed(""), Arg::from);
        let payloads = payloads(write).len();
        let mut args = args![
            &write.request.as_bytes()[..],
            millis_ceil(self.link.remembered_for(durability)),
            number(write.version),
            number(write.sequence),
            write.fence.map_or(Arg::fixed(""), |fence| Arg::from(format!("{:016}", fence.get()))),
            legal_states(write).map(RunState::letter).collect::<String>(),
            write.state.map_or(String::new(), |state| state.letter().to_string()),
            write.state.map_or("", RunState::event),
            if write.state.is_some_and(RunState::is_ended) { "1" } else { "" },
            payloads + write.events.len(),
            payloads,
        ];
        args.extend(pairs(write));
        args
    }
}

/// The states in which a write is legal.
fn legal_states(write: &RunWrite) -> impl Iterator<Item = RunState> + use<> {
    let next = write.state;
    let legal = move |from: &RunState| next.map_or(!from.is_ended(), |next| from.may_become(next));
    RunState::ALL.into_iter().filter(legal)
}

/// Field and payload of each payload that is set.
fn payloads(write: &RunWrite) -> Vec<(&'static str, Arg)> {
    let payloads = [
        ("output", write.output.as_ref().map(Arg::from)),
        ("await", write.await_request.as_ref().map(Arg::from)),
        ("error", write.error.as_deref().map(Arg::from)),
    ];
    payloads.into_iter().filter_map(|(name, payload)| Some((name, payload?))).collect()
}

/// Field and payload of each payload, then kind and data of each event.
fn pairs(write: &RunWrite) -> impl Iterator<Item = Arg> {
    let payloads = payloads(write).into_iter().flat_map(|(name, payload)| [Arg::fixed(name), payload]);
    let events = write.events.iter().flat_map(|event| [Arg::from(&event.kind), Arg::from(&event.data)]);
    payloads.chain(events)
}

/// What a write compares and sets.
#[derive(Default)]
struct Words {
    version: Option<u64>,
    sequence: Option<u64>,
    fence: Option<Fence>,
    state: Option<RunState>,
    payloads: usize,
    events: usize,
}

impl Words {
    /// The form in which `run/write.lua` takes it. `legal`: the states in which the write is legal.
    fn arg(&self, request: &RequestId, remembered: Duration, legal: impl Iterator<Item = RunState>) -> Arg {
        let number = |number: Option<u64>| number.map_or_else(|| "-".repeat(16), |number| format!("{number:016}"));
        let words = format!(
            "{}{}{}{}{}{:02}{:010}{:-<7}{}",
            number(self.version),
            number(self.sequence),
            number(self.fence.map(Fence::get)),
            self.state.map_or('-', RunState::letter),
            self.payloads,
            self.events,
            millis_ceil(remembered),
            legal.map(RunState::letter).collect::<String>(),
            self.state.map_or("", RunState::event),
        );
        Arg::from([&request.as_bytes()[..], words.as_bytes()].concat())
    }
}
