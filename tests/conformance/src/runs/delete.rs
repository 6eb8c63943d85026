//! Deleting runs.

use store_core::{Op, RunState, RunWrite};

use super::{TTL, created, id, in_states, kinds, new, note, session, totals, write, written};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::RunDelete;
    deletion_leaves_nothing,
    a_run_can_be_deleted_in_any_state,
    the_deletion_of_an_expired_run_leaves_nothing,
    a_run_that_is_created_again_has_no_events_of_the_deleted_one,
}

async fn deletion_leaves_nothing(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1").in_session(session("ann"))).await?;
    created(&fixture, &new("2").in_session(session("ann"))).await?;
    written(&fixture, &RunWrite::new(id("1")).with_event(note("one"))).await?;
    check!(fixture.state.runs().delete(&id("1")).await?);
    check_eq!(fixture.state.runs().get(&id("1")).await?, None);
    check_eq!(fixture.state.runs().events(&id("1"), 0, 10).await?, None);
    check_eq!(totals(&fixture).await?, [1, 1, 1, 1]);
    check!(!fixture.state.runs().delete(&id("1")).await?);
    check!(fixture.state.runs().delete(&id("2")).await?);
    check_eq!(totals(&fixture).await?, [0, 0, 0, 0]);
    Ok(())
}

async fn a_run_can_be_deleted_in_any_state(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for (name, state) in [("1", RunState::InProgress), ("2", RunState::Cancelling), ("3", RunState::Failed)] {
        let run = in_states(&fixture, name, &[state]).await?;
        check!(fixture.state.runs().delete(&run.run).await?);
        let late = RunWrite::new(run.run.clone()).with_event(note("late"));
        check_eq!(write(&fixture, &late).await?, store_core::RunOutcome::Absent);
    }
    check_eq!(totals(&fixture).await?, [0, 0, 0, 0]);
    Ok(())
}

async fn the_deletion_of_an_expired_run_leaves_nothing(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1").in_session(session("ann"))).await?;
    fixture.advance(TTL.as_duration());
    check!(!fixture.state.runs().delete(&id("1")).await?);
    check_eq!(fixture.state.runs().events(&id("1"), 0, 10).await?, None);
    fixture.advance(secs(11));
    check_eq!(fixture.state.runs().sweep().await?.left, 0);
    check_eq!(totals(&fixture).await?, [0, 0, 0, 0]);
    Ok(())
}

async fn a_run_that_is_created_again_has_no_events_of_the_deleted_one(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = in_states(&fixture, "1", &[RunState::InProgress]).await?;
    check!(fixture.state.runs().delete(&id("1")).await?);
    fixture.advance(secs(1));
    let second = created(&fixture, &new("1")).await?;
    check!(second.version > first.version);
    check_eq!(kinds(&fixture, "1").await?, ["run.created"]);
    check_eq!(totals(&fixture).await?, [1, 1, 0, 0]);
    Ok(())
}
