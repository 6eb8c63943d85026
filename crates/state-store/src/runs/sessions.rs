//! The records of sessions: as those of runs which never begin, on keys of their own. The state is the input.

use async_trait::async_trait;
use redis_link::args;
use store_core::{
    AgentName, Cursor, Durability, Error, NameError, NewRun, Op, PageRequest, Receipt, Result, RunFilter, RunId,
    RunInfo, RunOutcome, RunState, RunsRemoved, Session, SessionId, SessionOutcome, SessionPage, SessionSave, Sessions,
};

use super::Words;
use super::listings::SWEPT_AT_ONCE;
use super::records::Records;
use crate::StateStore;

/// A first save is two scripts, one after the other, any other save is one. Concurrent calls of one operation with the same durability
/// are coalesced, except `get` and `list`. `delete`, `sweep` and `clear` also work if the server's memory is full.
#[async_trait]
impl Sessions for StateStore {
    async fn save(&self, save: &SessionSave, durability: Durability) -> Result<Receipt<SessionOutcome>> {
        save.validate()?;
        let (op, records) = (Op::SessionSave, self.session_records());
        let id = id(op, &save.session)?;
        let receipt = match save.version {
            None => {
                let new = NewRun::new(id, save.agent.clone()).with_input(save.state.clone());
                records.create(&new.with_ttl(save.ttl).with_request(save.request), durability).await?
            }
            Some(version) => {
                let words = Words { version: Some(version), payloads: 1, ..Words::default() };
                let remembered = self.link.remembered_for(durability);
                let words = words.arg(&save.request, remembered, [RunState::Created].into_iter());
                let args = args![words, "input", &save.state];
                records.write(&id, &self.calls.sessions.write, args, save.state.len(), durability).await?
            }
        };
        let outcome = match receipt.value {
            RunOutcome::Done(run) => SessionOutcome::Saved(session(op, run)?),
            RunOutcome::Conflict(run) => SessionOutcome::Changed(session(op, run)?),
            RunOutcome::Absent => SessionOutcome::Absent,
            _ => return Err(Error::corrupt(op, "the record is not that of a session")),
        };
        Ok(Receipt::new(outcome, receipt.reached))
    }

    async fn get(&self, session_id: &SessionId) -> Result<Option<Session>> {
        let op = Op::SessionGet;
        let found = self.session_records().get(&id(op, session_id)?).await?;
        found.map(|run| session(op, run)).transpose()
    }

    async fn list(&self, agent: Option<&AgentName>, page: PageRequest) -> Result<SessionPage> {
        let of_agent = |agent: &AgentName| RunFilter::default().of_agent(agent.clone());
        let filter = agent.map_or_else(RunFilter::default, of_agent);
        let found = self.session_records().list(&filter, &page).await?;
        SessionPage::of_runs(found, |run| session(Op::SessionList, run))
    }

    async fn delete(&self, session: &SessionId) -> Result<bool> {
        self.session_records().delete(&id(Op::SessionDelete, session)?).await
    }

    async fn sweep(&self) -> Result<u64> {
        Ok(self.session_records().sweep(SWEPT_AT_ONCE).await?.left)
    }

    async fn clear(&self, prefix: &str, after: Option<Cursor>) -> Result<RunsRemoved> {
        self.session_records().clear(prefix, after.as_ref()).await
    }
}

impl StateStore {
    fn session_records(&self) -> Records<'_> {
        Records { store: self, calls: &self.calls.sessions }
    }
}

/// The ids of sessions have the characters of those of runs.
fn id(op: Op, session: &SessionId) -> Result<RunId> {
    RunId::new(session.as_str()).map_err(|error| Error::invalid_argument(op, error.to_string()))
}

fn session(op: Op, run: RunInfo) -> Result<Session> {
    let id = SessionId::new(run.run.as_str());
    let id = id.map_err(|_: NameError| Error::corrupt(op, "the id of the session is not valid"))?;
    Ok(Session::of_run(id, run))
}
