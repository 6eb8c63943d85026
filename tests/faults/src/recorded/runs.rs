//! Recorded runs of agents, and saves of sessions, which have versions as runs do.

use async_trait::async_trait;
use twinstore::durability::{Durability, Receipt};
use twinstore::page::{Cursor, PageRequest};
use twinstore::run::{
    AgentName, NewRun, RunEvents, RunFilter, RunId, RunInfo, RunOutcome, RunPage, RunWrite, Runs, RunsRemoved, Session,
    SessionId, SessionOutcome, SessionPage, SessionSave, Sessions,
};
use twinstore::{Error, Op, Result};

use super::{Recorded, record};
use crate::history::{Answer, Call};

/// The state that the history has for a session.
const SAVED: &str = "saved";

#[async_trait]
impl Runs for Recorded<dyn Runs> {
    async fn create(&self, run: &NewRun, durability: Durability) -> Result<Receipt<RunOutcome>> {
        let invocation = self.recorder.invoke(Call::CreateRun { run: run.run.to_string() });
        record(invocation, self.inner.create(run, durability).await, |receipt| answer(&receipt.value))
    }

    async fn write(&self, write: &RunWrite, durability: Durability) -> Result<Receipt<RunOutcome>> {
        let invocation = self.recorder.invoke(Call::WriteRun {
            run: write.run.to_string(),
            state: write.state.map(|state| state.name().to_owned()),
            version: write.version,
            event: write.events.first().map(|event| String::from_utf8_lossy(&event.data).into_owned()),
        });
        record(invocation, self.inner.write(write, durability).await, |receipt| answer(&receipt.value))
    }

    /// Not recorded: the workload reads versions with it.
    async fn get(&self, run: &RunId) -> Result<Option<RunInfo>> {
        self.inner.get(run).await
    }

    async fn events(&self, run: &RunId, from: u64, limit: u32) -> Result<Option<RunEvents>> {
        let invocation = self.recorder.invoke(Call::ReadRun { run: run.to_string() });
        record(invocation, self.inner.events(run, from, limit).await, |events| {
            let events = events.iter().flat_map(|events| &events.events);
            let text = |kind: &str, data: &[u8]| match data {
                [] => kind.to_owned(),
                data => String::from_utf8_lossy(data).into_owned(),
            };
            Answer::Names(events.map(|event| text(&event.kind, &event.data)).collect())
        })
    }

    /// Refused: the checker has no rule for it.
    async fn list(&self, _: &RunFilter, _: PageRequest) -> Result<RunPage> {
        Err(Error::unsupported(Op::RunList, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn delete(&self, _: &RunId) -> Result<bool> {
        Err(Error::unsupported(Op::RunDelete, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn sweep(&self) -> Result<RunsRemoved> {
        Err(Error::unsupported(Op::RunSweep, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn clear(&self, _: &str, _: Option<Cursor>) -> Result<RunsRemoved> {
        Err(Error::unsupported(Op::RunClear, "the history has no such call"))
    }
}

fn answer(outcome: &RunOutcome) -> Answer {
    match outcome {
        RunOutcome::Done(run) => Answer::Run { version: run.version, state: run.state.name().to_owned() },
        RunOutcome::Conflict(run) | RunOutcome::Illegal(run) => {
            Answer::RunRefused { version: run.version, state: run.state.name().to_owned() }
        }
        RunOutcome::Absent => Answer::One(false),
        other => panic!("the history has no answer {other:?}"),
    }
}

#[async_trait]
impl Sessions for Recorded<dyn Sessions> {
    async fn save(&self, save: &SessionSave, durability: Durability) -> Result<Receipt<SessionOutcome>> {
        let run = format!("{}{}", crate::SESSION, save.session);
        let invocation = self.recorder.invoke(match save.version {
            None => Call::CreateRun { run },
            version => Call::WriteRun { run, state: Some(SAVED.to_owned()), version, event: None },
        });
        record(invocation, self.inner.save(save, durability).await, |receipt| match &receipt.value {
            SessionOutcome::Saved(session) => Answer::Run { version: session.version, state: SAVED.to_owned() },
            SessionOutcome::Changed(session) => {
                Answer::RunRefused { version: session.version, state: SAVED.to_owned() }
            }
            SessionOutcome::Absent => Answer::One(false),
            other => panic!("the history has no answer {other:?}"),
        })
    }

    /// Not recorded: the workload reads versions with it.
    async fn get(&self, session: &SessionId) -> Result<Option<Session>> {
        self.inner.get(session).await
    }

    /// Refused: the checker has no rule for it.
    async fn list(&self, _: Option<&AgentName>, _: PageRequest) -> Result<SessionPage> {
        Err(Error::unsupported(Op::SessionList, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn delete(&self, _: &SessionId) -> Result<bool> {
        Err(Error::unsupported(Op::SessionDelete, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn sweep(&self) -> Result<u64> {
        Err(Error::unsupported(Op::SessionSweep, "the history has no such call"))
    }

    /// Refused: the checker has no rule for it.
    async fn clear(&self, _: &str, _: Option<Cursor>) -> Result<RunsRemoved> {
        Err(Error::unsupported(Op::SessionClear, "the history has no such call"))
    }
}
