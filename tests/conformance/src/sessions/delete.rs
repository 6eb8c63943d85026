//! Deleting sessions.

use store_core::Op;

use super::{TTL, id, listed, new, save, saved};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::SessionDelete;
    the_deletion_of_a_session_leaves_nothing,
    a_session_that_does_not_exist_cannot_be_deleted,
}

async fn the_deletion_of_a_session_leaves_nothing(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = saved(&fixture, &new("ann", "")).await?;
    saved(&fixture, &new("ben", "")).await?;
    check!(fixture.state.sessions().delete(&id("ann")).await?);
    check_eq!(fixture.state.sessions().get(&id("ann")).await?, None);
    check_eq!(listed(&fixture, Some("planner")).await?, ["ben"]);
    check_eq!(save(&fixture, &new("ann", "").at_version(first.version)).await?, store_core::SessionOutcome::Absent);
    // Nothing is left to sweep, and a new record begins again.
    fixture.advance(TTL.as_duration() + secs(20));
    check_eq!(fixture.state.sessions().sweep().await?, 0);
    saved(&fixture, &new("ann", "again")).await?;
    check_eq!(listed(&fixture, None).await?, ["ann"]);
    Ok(())
}

async fn a_session_that_does_not_exist_cannot_be_deleted(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    check!(!fixture.state.sessions().delete(&id("ann")).await?);
    saved(&fixture, &new("ann", "")).await?;
    fixture.advance(TTL.as_duration());
    check!(!fixture.state.sessions().delete(&id("ann")).await?);
    Ok(())
}
