//! Several actors carry out the same runs of agents, one run after the other, and all change, cancel and complete each of them. So
//! most changes meet another one. They also extend the history of one session.

use std::time::Duration;

use twinstore::Error;
use twinstore::run::{NewRun, RunEvent, RunId, RunOutcome, RunState, RunWrite, SessionId, SessionOutcome, SessionSave};
use twinstore::time::Ttl;

use super::Actor;
use crate::recorded::{Client, retry};

/// Longer than any run of the test.
const TTL: Ttl = Ttl::from_secs(3600);

pub(crate) async fn carry_out(mut actor: Actor) {
    let mut version = None;
    for number in 0.. {
        let run = id(number);
        if !take_part(&mut actor, &run).await {
            return;
        }
        version = extend(&mut actor, version).await;
    }
}

/// Writes the run until it has ended. Returns whether to continue.
async fn take_part(actor: &mut Actor, run: &RunId) -> bool {
    let (runs, durability) = (actor.client.runs.clone(), actor.client.durability);
    let mut known = None;
    while actor.pause(Duration::from_millis(25)).await {
        let Some((state, version)) = known else {
            let new = NewRun::new(run.clone(), "contender".try_into().expect("a valid name")).with_ttl(TTL);
            let created = runs.create(&new, durability).await.map(|receipt| receipt.value);
            known = created.ok().and_then(now);
            continue;
        };
        if actor.chance(10) {
            drop(runs.events(run, 0, 1000).await);
        }
        let event = RunEvent::new("note", format!("event-{:016x}", actor.random.u64(..)));
        let mut write = RunWrite::new(run.clone());
        if actor.chance(60) {
            write = write.with_event(event);
        }
        if write.events.is_empty() || actor.chance(30) {
            // also transitions that are not legal, at versions that are not current
            let states = &RunState::ALL[1..];
            let next = *actor.random.choice(states).unwrap_or(&RunState::InProgress);
            let may_end = !next.is_ended() || actor.chance(20);
            write = write.to(if may_end { next } else { RunState::InProgress }, version);
        }
        let ends = write.state.is_some_and(RunState::is_ended);
        match runs.write(&write, durability).await.map(|receipt| receipt.value) {
            Ok(RunOutcome::Absent) => known = None,
            Ok(outcome) => known = now(outcome),
            Err(_) if ends => known = runs.get(run).await.ok().flatten().map(|run| (run.state, run.version)),
            Err(_) => {}
        }
        let has_ended = known.is_some_and(|(state, _)| state.is_ended()) || state.is_ended();
        if has_ended {
            if actor.chance(50) {
                let late = RunWrite::new(run.clone()).to(RunState::Completed, version);
                drop(runs.write(&late, durability).await);
            }
            drop(runs.events(run, 0, 1000).await);
            return true;
        }
    }
    false
}

/// After the run: reads the events of all runs.
pub(crate) async fn read_all(client: &Client) -> Result<(), Error> {
    let mut missing = 0;
    for number in 0.. {
        let run = id(number);
        let events = retry(async || client.runs.events(&run, 0, 1000).await).await?;
        // a failover may have lost some
        missing = if events.is_some() { 0 } else { missing + 1 };
        if missing == LEAST_MISSING {
            break;
        }
    }
    Ok(())
}

/// After so many ids without a run there are no more runs.
const LEAST_MISSING: u32 = 20;

fn id(number: u32) -> RunId {
    RunId::new(format!("contended-{number}")).expect("a valid name")
}

fn now(outcome: RunOutcome) -> Option<(RunState, u64)> {
    match outcome {
        RunOutcome::Done(run) | RunOutcome::Conflict(run) | RunOutcome::Illegal(run) => Some((run.state, run.version)),
        _ => None,
    }
}

/// Saves the session in place of a version, half of the time without having read it again. Returns the version.
async fn extend(actor: &mut Actor, known: Option<u64>) -> Option<u64> {
    let (sessions, id) = (actor.client.sessions.clone(), SessionId::new("contended").expect("a valid name"));
    let read = match known {
        Some(version) if actor.chance(50) => Some(version),
        _ => sessions.get(&id).await.ok()?.map(|session| session.version),
    };
    let agent = "contender".try_into().expect("a valid name");
    let mut save = SessionSave::new(id, agent, format!("{:016x}", actor.random.u64(..))).with_ttl(TTL);
    save.version = read;
    match sessions.save(&save, actor.client.durability).await.ok()?.value {
        SessionOutcome::Saved(session) | SessionOutcome::Changed(session) => Some(session.version),
        _ => None,
    }
}
