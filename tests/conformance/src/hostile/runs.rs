//! Hostile texts as inputs, outputs, errors, kinds and data of events, and states of sessions.

use store_core::{
    AgentName, Durability, NewRun, RunEvent, RunId, RunOutcome, RunState, RunWrite, SessionId, SessionSave,
};

use super::Texts;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

/// Every operation on runs, except those on all runs of the namespace. Names of runs, agents and sessions hold no such texts. A second
/// time, the runs exist.
pub(super) async fn play(fixture: &Fixture, texts: &Texts) -> Verdict {
    let (runs, accepted) = (fixture.state.runs(), Durability::Accepted);
    let run = RunId::new(fixture.text(&texts.own(0)))?;
    let new = NewRun::new(run.clone(), AgentName::new(fixture.text("agent"))?);
    let new = new.in_session(SessionId::new(fixture.text("session"))?).with_input(texts.bytes(0));
    if let RunOutcome::Conflict(_) = runs.create(&new, accepted).await?.value {
        check!(runs.delete(&run).await?);
        check!(runs.create(&new, accepted).await?.value.done().is_some());
    }
    let mut version = runs.get(&run).await?.map_or(0, |run| run.version);
    for index in 0..4 {
        let kind: String = texts.word(index + 3).chars().take(16).collect();
        let write = RunWrite::new(run.clone())
            .to(RunState::InProgress, version)
            .with_output(texts.bytes(index + 1))
            .with_await_request(texts.bytes(index + 2))
            .with_error(texts.word(index))
            .with_event(RunEvent::new(kind.clone(), texts.bytes(index)));
        let Some(written) = runs.write(&write, accepted).await?.value.done() else {
            return Err(crate::BrokenPromise::new("the write was refused"));
        };
        version = written.version;
        let Some(found) = runs.get(&run).await? else { return Err(crate::BrokenPromise::new("the run is gone")) };
        check_eq!(found.input, Some(texts.bytes(0)));
        check_eq!((found.output, found.await_request), (Some(texts.bytes(index + 1)), Some(texts.bytes(index + 2))));
        check_eq!(found.error.as_deref(), Some(texts.word(index)));
        let events = runs.events(&run, 0, 1000).await?.map(|events| events.events).unwrap_or_default();
        let is_there = events.iter().any(|event| event.kind == kind && event.data == texts.bytes(index));
        check!(is_there, "the event is not there as it was written");
    }
    play_sessions(fixture, texts).await
}

async fn play_sessions(fixture: &Fixture, texts: &Texts) -> Verdict {
    let (sessions, accepted) = (fixture.state.sessions(), Durability::Accepted);
    let id = SessionId::new(fixture.text(&texts.own(0)))?;
    let save = |index| SessionSave::new(id.clone(), AgentName::new("agent").expect("a valid name"), texts.bytes(index));
    sessions.delete(&id).await?;
    let mut request = save(0);
    for index in 1..5 {
        let Some(saved) = sessions.save(&request, accepted).await?.value.saved() else {
            return Err(crate::BrokenPromise::new("the save was refused"));
        };
        check_eq!(sessions.get(&id).await?.and_then(|read| read.state), Some(request.state));
        request = save(index).at_version(saved.version);
    }
    Ok(())
}
