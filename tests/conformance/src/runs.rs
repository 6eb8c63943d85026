//! Runs of agents: one file per operation.

mod clear;
mod create;
mod delete;
mod events;
mod get;
mod list;
mod sweep;
mod ttl;
mod watch;
mod write;

use futures_util::future::try_join_all;
use store_core::{
    AgentName, Durability, NewRun, PageRequest, Result, RunEvent, RunEvents, RunFilter, RunId, RunInfo, RunOutcome,
    RunPage, RunState, RunWrite, SessionId, Ttl,
};

use crate::case::Case;
use crate::fixture::Fixture;
use crate::verdict::BrokenPromise;

/// The cases of every operation on runs.
pub(crate) const CASES: &[&[Case]] = &[
    create::CASES,
    write::CASES,
    get::CASES,
    events::CASES,
    list::CASES,
    delete::CASES,
    sweep::CASES,
    clear::CASES,
    ttl::CASES,
    watch::CASES,
];

/// How long the runs of the cases last.
const TTL: Ttl = Ttl::from_secs(600);
const ACCEPTED: Durability = Durability::Accepted;

fn id(name: &str) -> RunId {
    RunId::new(name).expect("invariant: cases use short plain names")
}

fn agent(name: &str) -> AgentName {
    AgentName::new(name).expect("invariant: cases use short plain names")
}

fn session(name: &str) -> SessionId {
    SessionId::new(name).expect("invariant: cases use short plain names")
}

fn new(name: &str) -> NewRun {
    NewRun::new(id(name), agent("planner")).with_ttl(TTL)
}

fn note(text: &str) -> RunEvent {
    RunEvent::new("note", text.to_owned())
}

async fn create(fixture: &Fixture, run: &NewRun) -> Result<RunOutcome> {
    Ok(fixture.state.runs().create(run, ACCEPTED).await?.value)
}

async fn write(fixture: &Fixture, write: &RunWrite) -> Result<RunOutcome> {
    Ok(fixture.state.runs().write(write, ACCEPTED).await?.value)
}

/// Creates a run that must not exist.
async fn created(fixture: &Fixture, run: &NewRun) -> Result<RunInfo, BrokenPromise> {
    done(create(fixture, run).await?)
}

/// A write that must be done.
async fn written(fixture: &Fixture, request: &RunWrite) -> Result<RunInfo, BrokenPromise> {
    done(write(fixture, request).await?)
}

fn done(outcome: RunOutcome) -> Result<RunInfo, BrokenPromise> {
    match outcome {
        RunOutcome::Done(run) => Ok(run),
        other => Err(BrokenPromise::new(format!("it was refused: {other:?}"))),
    }
}

/// A new run that has gone through these states.
async fn in_states(fixture: &Fixture, name: &str, states: &[RunState]) -> Result<RunInfo, BrokenPromise> {
    let mut run = created(fixture, &new(name)).await?;
    for state in states {
        run = written(fixture, &RunWrite::new(run.run.clone()).to(*state, run.version)).await?;
    }
    Ok(run)
}

/// Events of a run that must exist.
async fn events(fixture: &Fixture, run: &str, from: u64, limit: u32) -> Result<RunEvents, BrokenPromise> {
    let events = fixture.state.runs().events(&id(run), from, limit).await?;
    events.ok_or_else(|| BrokenPromise::new("the run has no events"))
}

/// The kinds of all events.
async fn kinds(fixture: &Fixture, run: &str) -> Result<Vec<String>, BrokenPromise> {
    Ok(events(fixture, run, 0, 1000).await?.events.into_iter().map(|event| event.kind).collect())
}

async fn list(fixture: &Fixture, filter: &RunFilter) -> Result<RunPage> {
    fixture.state.runs().list(filter, PageRequest::default()).await
}

async fn listed(fixture: &Fixture, filter: &RunFilter) -> Result<Vec<String>> {
    Ok(ids(&list(fixture, filter).await?))
}

fn ids(page: &RunPage) -> Vec<String> {
    page.items.iter().map(|run| run.run.to_string()).collect()
}

/// How many entries the listings of all runs, of the planner, of the session `ann`, and of both have.
async fn totals(fixture: &Fixture) -> Result<[u64; 4]> {
    let of = |filter: RunFilter| filter.of_agent(agent("planner"));
    let by = |filter: RunFilter| filter.in_session(session("ann"));
    let all = RunFilter::default;
    let mut totals = [0; 4];
    for (total, filter) in totals.iter_mut().zip([all(), of(all()), by(all()), by(of(all()))]) {
        *total = list(fixture, &filter).await?.total;
    }
    Ok(totals)
}

/// Creates many runs at the same time.
async fn create_many(fixture: &Fixture, prefix: &str, count: usize) -> Result<(), BrokenPromise> {
    let runs: Vec<_> = (0..count).map(|number| new(&format!("{prefix}{number}")).in_session(session("ann"))).collect();
    for outcome in try_join_all(runs.iter().map(|run| create(fixture, run))).await? {
        done(outcome)?;
    }
    Ok(())
}
