//! The records of sessions: one file per operation.

mod clear;
mod delete;
mod get;
mod list;
mod save;
mod sweep;

use store_core::{AgentName, Durability, PageRequest, Result, Session, SessionId, SessionOutcome, SessionSave, Ttl};

use crate::case::Case;
use crate::fixture::Fixture;
use crate::verdict::BrokenPromise;

/// The cases of every operation on sessions.
pub(crate) const CASES: &[&[Case]] = &[save::CASES, get::CASES, list::CASES, delete::CASES, sweep::CASES, clear::CASES];

/// How long the sessions of the cases last.
const TTL: Ttl = Ttl::from_secs(600);

fn id(name: &str) -> SessionId {
    SessionId::new(name).expect("invariant: cases use short plain names")
}

fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("invariant: cases use short plain names")
}

fn new(name: &str, state: &str) -> SessionSave {
    SessionSave::new(id(name), agent("planner"), state.to_owned()).with_ttl(TTL)
}

async fn save(fixture: &Fixture, save: &SessionSave) -> Result<SessionOutcome> {
    Ok(fixture.state.sessions().save(save, Durability::Accepted).await?.value)
}

/// A save that must be done.
async fn saved(fixture: &Fixture, request: &SessionSave) -> Result<Session, BrokenPromise> {
    match save(fixture, request).await? {
        SessionOutcome::Saved(session) => Ok(session),
        other => Err(BrokenPromise::new(format!("it was refused: {other:?}"))),
    }
}

/// The state of a session that must exist.
async fn state(fixture: &Fixture, name: &str) -> Result<String, BrokenPromise> {
    let found = fixture.state.sessions().get(&id(name)).await?.and_then(|session| session.state);
    let found = found.ok_or_else(|| BrokenPromise::new("the session is gone"))?;
    Ok(String::from_utf8_lossy(&found).into_owned())
}

/// The sessions of an agent, or all.
async fn listed(fixture: &Fixture, of: Option<&str>) -> Result<Vec<String>> {
    let of = of.map(agent);
    let page = fixture.state.sessions().list(of.as_ref(), PageRequest::default()).await?;
    Ok(page.items.into_iter().map(|session| session.session.to_string()).collect())
}
