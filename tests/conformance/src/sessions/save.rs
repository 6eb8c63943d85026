//! Saving sessions.

use futures_util::future::join;
use store_core::{Error, Op, Session, SessionOutcome, SessionSave};

use super::{TTL, agent, id, listed, new, save, saved, state};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::SessionSave;
    of_two_saves_of_one_version_one_is_done,
    of_two_first_saves_one_is_done,
    a_save_without_a_record_is_absent,
    a_repeated_save_returns_what_the_first_returned,
    each_save_raises_the_version,
    a_session_that_is_saved_again_after_its_end_has_a_higher_version,
    a_save_prolongs_the_session_and_its_entry,
    the_agent_of_the_first_save_stays,
    a_state_that_is_too_large_is_refused,
    a_session_and_a_run_with_the_same_id_are_two_things,
}

async fn of_two_saves_of_one_version_one_is_done(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = saved(&fixture, &new("ann", "")).await?;
    let saves = ["one", "two"].map(|state| new("ann", state).at_version(first.version));
    let (one, two) = join(save(&fixture, &saves[0]), save(&fixture, &saves[1])).await;
    let outcomes = [one?, two?];
    let done = outcomes.iter().position(|outcome| matches!(outcome, SessionOutcome::Saved(_)));
    let Some(done) = done else { return Err(crate::BrokenPromise::new("none was done")) };
    let SessionOutcome::Changed(current) = &outcomes[1 - done] else {
        return Err(crate::BrokenPromise::new(format!("both were done: {outcomes:?}")));
    };
    check_eq!(SessionOutcome::Saved(current.clone()), outcomes[done]);
    check_eq!(state(&fixture, "ann").await?, ["one", "two"][done]);
    Ok(())
}

async fn of_two_first_saves_one_is_done(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = saved(&fixture, &new("ann", "one")).await?;
    check_eq!(save(&fixture, &new("ann", "two")).await?, SessionOutcome::Changed(first));
    check_eq!(state(&fixture, "ann").await?, "one");
    check_eq!(listed(&fixture, None).await?, ["ann"]);
    Ok(())
}

async fn a_save_without_a_record_is_absent(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    check_eq!(save(&fixture, &new("ann", "").at_version(1)).await?, SessionOutcome::Absent);
    let first = saved(&fixture, &new("ann", "")).await?;
    fixture.advance(TTL.as_duration());
    check_eq!(save(&fixture, &new("ann", "").at_version(first.version)).await?, SessionOutcome::Absent);
    Ok(())
}

async fn a_repeated_save_returns_what_the_first_returned(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let request = new("ann", "one");
    let first = saved(&fixture, &request).await?;
    check_eq!(saved(&fixture, &request).await?, first);
    let request = new("ann", "two").at_version(first.version);
    let second = saved(&fixture, &request).await?;
    check_eq!(saved(&fixture, &request).await?, second);
    check_eq!(listed(&fixture, None).await?, ["ann"]);
    Ok(())
}

async fn each_save_raises_the_version(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let mut session = saved(&fixture, &new("ann", "")).await?;
    let created = session.created;
    for number in 0..3 {
        fixture.advance(secs(1));
        let next = saved(&fixture, &new("ann", &number.to_string()).at_version(session.version)).await?;
        check!(next.version > session.version);
        check_eq!((next.created, next.updated), (created, fixture.now()));
        session = next;
    }
    Ok(())
}

async fn a_session_that_is_saved_again_after_its_end_has_a_higher_version(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = saved(&fixture, &new("ann", "old")).await?;
    fixture.advance(TTL.as_duration());
    let second = saved(&fixture, &new("ann", "new")).await?;
    check!(second.version > first.version);
    check_matches!(save(&fixture, &new("ann", "late").at_version(first.version)).await?, SessionOutcome::Changed(_));
    check_eq!(state(&fixture, "ann").await?, "new");
    Ok(())
}

async fn a_save_prolongs_the_session_and_its_entry(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let session = saved(&fixture, &new("ann", "")).await?;
    fixture.advance(TTL.as_duration() - secs(1));
    check!(fixture.state.sessions().get(&id("ann")).await?.is_some());
    let session = saved(&fixture, &new("ann", "").at_version(session.version)).await?;
    check_eq!(session.until, fixture.now().after(TTL.as_duration()));
    fixture.advance(TTL.as_duration() - secs(1));
    fixture.state.sessions().sweep().await?;
    check_eq!(listed(&fixture, Some("planner")).await?, ["ann"]);
    fixture.advance(secs(1));
    check_eq!(fixture.state.sessions().get(&id("ann")).await?, None);
    check_eq!(listed(&fixture, Some("planner")).await?, [""; 0]);
    Ok(())
}

async fn the_agent_of_the_first_save_stays(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = saved(&fixture, &new("ann", "")).await?;
    let other = SessionSave::new(id("ann"), agent("booker"), "two").at_version(first.version);
    check_eq!(saved(&fixture, &other).await?.agent, agent("planner"));
    check_eq!(listed(&fixture, Some("planner")).await?, ["ann"]);
    check_eq!(listed(&fixture, Some("booker")).await?, [""; 0]);
    Ok(())
}

async fn a_state_that_is_too_large_is_refused(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let largest = "x".repeat(Session::MAX_STATE_BYTES);
    let first = saved(&fixture, &new("ann", &largest)).await?;
    for save_at in [None, Some(first.version)] {
        let mut too_large = new("ann", &format!("{largest}x"));
        too_large.version = save_at;
        let error = save(&fixture, &too_large).await;
        check_matches!(error, Err(Error::InvalidArgument { .. }));
        check!(error.is_err_and(|error| error.to_string().contains("262145 bytes; at most 262144")));
    }
    check_eq!(state(&fixture, "ann").await?.len(), largest.len());
    Ok(())
}

async fn a_session_and_a_run_with_the_same_id_are_two_things(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    saved(&fixture, &new("7", "session")).await?;
    let run = store_core::RunId::new("7")?;
    let (runs, accepted) = (fixture.state.runs(), store_core::Durability::Accepted);
    check_eq!(runs.get(&run).await?, None);
    let new = store_core::NewRun::new(run.clone(), agent("planner")).in_session(id("7"));
    check!(runs.create(&new, accepted).await?.value.done().is_some());
    let in_session = store_core::RunFilter::default().in_session(id("7"));
    check_eq!(runs.list(&in_session, store_core::PageRequest::default()).await?.total, 1);
    check!(fixture.state.sessions().delete(&id("7")).await?);
    check_eq!(runs.list(&in_session, store_core::PageRequest::default()).await?.items.len(), 1);
    check_eq!(runs.clear("", None).await?.removed, 1);
    Ok(())
}
