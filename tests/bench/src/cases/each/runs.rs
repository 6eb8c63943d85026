//! The operations of `Runs` and `Sessions`.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use store_core::{
    AgentName, Durability, NewRun, Op, PageRequest, RunEvent, RunFilter, RunId, RunState, RunWrite, SessionId,
    SessionSave, StateRole,
};

use super::{Call, Prepare, calls_for, expect};
use crate::Result;
use crate::environment::Stores;

/// The runs of each session. A listing shows them all.
const RUNS: usize = 10;
/// The bytes of an input, an output, an event.
const PAYLOAD: &[u8] = &[b'x'; 100];

pub(super) fn all() -> Vec<(Op, Arc<dyn Prepare>)> {
    let ops = [
        Op::RunCreate,
        Op::RunWrite,
        Op::RunGet,
        Op::RunEvents,
        Op::RunList,
        Op::RunDelete,
        Op::RunSweep,
        Op::RunClear,
        Op::SessionSave,
        Op::SessionGet,
        Op::SessionList,
        Op::SessionDelete,
        Op::SessionSweep,
        Op::SessionClear,
    ];
    ops.map(|op| (op, Arc::new(Calls(op)) as Arc<dyn Prepare>)).into()
}

struct Calls(Op);

#[async_trait]
impl Prepare for Calls {
    async fn calls(&self, stores: &Stores, numbers: Range<usize>) -> Result<Vec<Call>> {
        let op = self.0;
        let mut writes = Vec::with_capacity(numbers.len());
        for number in numbers {
            writes.push((number, prepare(op, stores.state.as_ref(), number).await?));
        }
        Ok(calls_for(&stores.state, writes, move |state, (number, version)| async move {
            expect(call(op, state.as_ref(), number, version).await?, op)
        }))
    }
}

fn id(number: usize) -> Result<RunId> {
    Ok(RunId::new(format!("each-{number}"))?)
}

fn session(number: usize) -> Result<SessionId> {
    Ok(SessionId::new(format!("each-{}", number / RUNS))?)
}

fn new(number: usize) -> Result<NewRun> {
    Ok(NewRun::new(id(number)?, AgentName::new("each")?).in_session(session(number)?).with_input(PAYLOAD))
}

fn new_session(number: usize) -> Result<SessionSave> {
    let (id, agent) = (SessionId::new(format!("each-{number}"))?, AgentName::new(format!("each-{}", number / RUNS))?);
    Ok(SessionSave::new(id, agent, PAYLOAD))
}

/// Returns the version of the run or the session.
async fn prepare(op: Op, state: &dyn StateRole, number: usize) -> Result<u64> {
    if op == Op::SessionClear {
        return Ok(0);
    }
    if matches!(op, Op::SessionSave | Op::SessionGet | Op::SessionList | Op::SessionDelete | Op::SessionSweep) {
        let save = new_session(number)?;
        state.sessions().delete(&save.session).await?;
        let saved = state.sessions().save(&save, Durability::Accepted).await?.value.saved();
        return Ok(saved.map_or(0, |session| session.version));
    }
    let run = new(number)?;
    state.runs().delete(&run.run).await?;
    if matches!(op, Op::RunCreate | Op::RunSweep | Op::RunClear) {
        return Ok(0);
    }
    let created = state.runs().create(&run, Durability::Accepted).await?.value.done();
    Ok(created.map_or(0, |run| run.version))
}

async fn call(op: Op, state: &dyn StateRole, number: usize, version: u64) -> Result<bool> {
    let (runs, accepted) = (state.runs(), Durability::Accepted);
    let (sessions, session_of) = (state.sessions(), new_session(number)?);
    Ok(match op {
        Op::SessionSave => sessions.save(&session_of.at_version(version), accepted).await?.value.saved().is_some(),
        Op::SessionGet => sessions.get(&session_of.session).await?.is_some(),
        Op::SessionList => !sessions.list(Some(&session_of.agent), PageRequest::first(10)).await?.items.is_empty(),
        Op::SessionDelete => sessions.delete(&session_of.session).await?,
        Op::SessionSweep => sessions.sweep().await? == 0,
        Op::SessionClear => sessions.clear("no session begins so", None).await?.removed == 0,
        Op::RunCreate => runs.create(&new(number)?, accepted).await?.value.done().is_some(),
        Op::RunWrite => {
            let write = RunWrite::new(id(number)?).to(RunState::InProgress, version).with_output(PAYLOAD);
            let write = write.with_event(RunEvent::new("message.part", PAYLOAD));
            runs.write(&write, accepted).await?.value.done().is_some()
        }
        Op::RunGet => runs.get(&id(number)?).await?.is_some(),
        Op::RunEvents => runs.events(&id(number)?, 0, 100).await?.is_some(),
        Op::RunList => {
            let filter = RunFilter::default().in_session(session(number)?);
            !runs.list(&filter, PageRequest::first(10)).await?.items.is_empty()
        }
        Op::RunDelete => runs.delete(&id(number)?).await?,
        Op::RunSweep => runs.sweep().await?.removed == 0,
        _ => runs.clear("no run begins so", None).await?.removed == 0,
    })
}
