//! Reading sessions.

use store_core::{Op, Session};

use super::{TTL, agent, id, new, saved};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check_eq};

cases! { Op::SessionGet;
    a_session_has_what_was_saved,
    a_session_that_has_expired_or_was_never_saved_is_none,
    a_read_does_not_prolong_a_session,
}

async fn a_session_has_what_was_saved(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let mut session = saved(&fixture, &new("ann", "")).await?;
    for state in ["a\0b", "", "two"] {
        session = saved(&fixture, &new("ann", state).at_version(session.version)).await?;
        check_eq!((&session.agent, &session.state), (&agent("planner"), &None));
        let read = fixture.state.sessions().get(&id("ann")).await?;
        check_eq!(read.as_ref().and_then(|read| read.state.as_deref()), Some(state.as_bytes()));
        check_eq!(read.map(|read: Session| read.version), Some(session.version));
    }
    Ok(())
}

async fn a_session_that_has_expired_or_was_never_saved_is_none(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    check_eq!(fixture.state.sessions().get(&id("ann")).await?, None);
    saved(&fixture, &new("ann", "")).await?;
    fixture.advance(TTL.as_duration());
    check_eq!(fixture.state.sessions().get(&id("ann")).await?, None);
    Ok(())
}

async fn a_read_does_not_prolong_a_session(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let session = saved(&fixture, &new("ann", "")).await?;
    fixture.advance(secs(60));
    check_eq!(fixture.state.sessions().get(&id("ann")).await?.map(|read| read.until), Some(session.until));
    Ok(())
}
