//! Sweeping the entries of expired sessions.

use futures_util::future::try_join_all;
use store_core::Op;

use super::{TTL, id, listed, new, save, saved};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::SessionSweep;
    expired_sessions_leave_no_entry_after_bounded_sweeps,
    sessions_that_were_saved_since_stay,
}

async fn expired_sessions_leave_no_entry_after_bounded_sweeps(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let saves: Vec<_> = (0..1100).map(|number| new(&number.to_string(), "")).collect();
    try_join_all(saves.iter().map(|request| save(&fixture, request))).await?;
    fixture.advance(TTL.as_duration() + secs(20));
    check_eq!(fixture.state.sessions().sweep().await?, 100);
    check_eq!(fixture.state.sessions().sweep().await?, 0);
    check_eq!(listed(&fixture, None).await?, [""; 0]);
    Ok(())
}

async fn sessions_that_were_saved_since_stay(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = saved(&fixture, &new("ann", "")).await?;
    fixture.advance(TTL.as_duration() / 2);
    saved(&fixture, &new("ann", "").at_version(first.version)).await?;
    fixture.advance(TTL.as_duration() / 2 + secs(20));
    check_eq!(fixture.state.sessions().sweep().await?, 0);
    check_eq!(listed(&fixture, Some("planner")).await?, ["ann"]);
    check!(fixture.state.sessions().delete(&id("ann")).await?);
    Ok(())
}
