//! The records of sessions: as those of runs which never begin, in tables of their own. The state is the input.

use async_trait::async_trait;
use store_core::{
    AgentName, Cursor, Durability, Op, PageRequest, Receipt, Result, RunFilter, RunId, RunInfo, RunOutcome,
    RunsRemoved, Session, SessionId, SessionOutcome, SessionPage, SessionSave, Sessions,
};

use super::record::{Payload, Record, SESSIONS};
use super::{ROWS_AT_ONCE, SWEPT_AT_ONCE, clear, create, delete, due, page_of, place, sweep};
use crate::EmbeddedState;
use crate::database::Operation;
use crate::encoding::name;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, View};

/// The ids of sessions have the characters of those of runs.
fn id(session: &SessionId) -> Result<RunId, Fault> {
    name(session.as_str().as_bytes())
}

fn session(run: RunInfo) -> Result<Session, Fault> {
    let id: SessionId = name(run.run.as_str().as_bytes())?;
    Ok(Session::of_run(id, run))
}

fn save(change: &mut Change<'_>, save: &SessionSave, now: Moment) -> Result<SessionOutcome, Fault> {
    let id = id(&save.session)?;
    let Some(version) = save.version else {
        let new = store_core::NewRun::new(id, save.agent.clone()).with_input(save.state.clone());
        let new = new.with_ttl(save.ttl).with_request(save.request);
        return Ok(match create(change, &SESSIONS, &new, now)? {
            RunOutcome::Done(run) => SessionOutcome::Saved(session(run)?),
            RunOutcome::Conflict(run) => SessionOutcome::Changed(session(run)?),
            _ => return Err(Fault::Corrupt("the record is not that of a session")),
        });
    };
    let Some(mut run) = Record::read(change, &SESSIONS, &id)?.filter(|run| !run.is_expired(now)) else {
        return Ok(SessionOutcome::Absent);
    };
    if run.request != *save.request.as_bytes() {
        if run.info.version != version {
            return Ok(SessionOutcome::Changed(session(run.info)?));
        }
        run.info.version = now.micros().max(version + 1);
        run.info.updated = now.timestamp();
        run.request = *save.request.as_bytes();
        run.put_payload(change, Payload::Input, &save.state)?;
    }
    Ok(SessionOutcome::Saved(session(run.put(change, now)?)?))
}

#[async_trait]
impl Sessions for EmbeddedState {
    async fn save(&self, request: &SessionSave, durability: Durability) -> Result<Receipt<SessionOutcome>> {
        request.validate()?;
        let reached = self.database.reach(Op::SessionSave, durability)?;
        let (clock, request) = (self.options.clock.clone(), request.clone());
        let apply = move |change: &mut Change<'_>| save(change, &request, Moment::now(&clock));
        Ok(Receipt::new(self.database.write(Operation::adding(Op::SessionSave), apply).await?, reached))
    }

    async fn get(&self, found: &SessionId) -> Result<Option<Session>> {
        let (clock, found) = (self.options.clock.clone(), found.clone());
        let look = move |view: &mut View<'_>| {
            let record = Record::read(view, &SESSIONS, &id(&found)?)?;
            let record = record.filter(|record| !record.is_expired(Moment::now(&clock)));
            record.map(|record| session(record.with_payloads(view)?)).transpose()
        };
        self.database.read(Op::SessionGet, look).await
    }

    async fn list(&self, agent: Option<&AgentName>, page: PageRequest) -> Result<SessionPage> {
        let (op, clock) = (Op::SessionList, self.options.clock.clone());
        let of_agent = |agent: &AgentName| RunFilter::default().of_agent(agent.clone());
        let filter = agent.map_or_else(RunFilter::default, of_agent);
        let (after, limit) = (place(op, page.cursor())?, page.limit());
        let look = move |view: &mut View<'_>| {
            let found = page_of(view, &SESSIONS, &filter, after, limit, Moment::now(&clock))?;
            SessionPage::of_runs(found, session)
        };
        self.database.read(op, look).await
    }

    async fn delete(&self, session: &SessionId) -> Result<bool> {
        let (clock, session) = (self.options.clock.clone(), session.clone());
        let apply = move |change: &mut Change<'_>| delete(change, &SESSIONS, &id(&session)?, Moment::now(&clock));
        self.database.write(Op::SessionDelete, apply).await
    }

    async fn sweep(&self) -> Result<u64> {
        let clock = self.options.clock.clone();
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            sweep(change, &SESSIONS, now, SWEPT_AT_ONCE, ROWS_AT_ONCE)?;
            Ok(due(change, &SESSIONS, now, 0)?.1)
        };
        self.database.write(Op::SessionSweep, apply).await
    }

    async fn clear(&self, prefix: &str, after: Option<Cursor>) -> Result<RunsRemoved> {
        let (op, clock, prefix) = (Op::SessionClear, self.options.clock.clone(), prefix.to_owned());
        let after = place(op, after.as_ref())?;
        let apply = move |change: &mut Change<'_>| clear(change, &SESSIONS, &prefix, after, Moment::now(&clock));
        self.database.write(op, apply).await
    }
}
