//! Listing sessions.

use store_core::{Cursor, Error, Op, PageRequest, SessionSave};

use super::{TTL, agent, id, listed, new, saved};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::SessionList;
    the_newest_session_comes_first,
    pages_of_sessions_follow_each_other_without_gaps_or_repetitions,
    sessions_that_have_expired_are_not_listed,
    a_cursor_of_another_listing_of_sessions_is_refused,
}

async fn the_newest_session_comes_first(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let first = saved(&fixture, &new("b", "")).await?;
    saved(&fixture, &SessionSave::new(id("c"), agent("booker"), "")).await?;
    saved(&fixture, &new("a", "")).await?;
    // A later save moves nothing.
    saved(&fixture, &new("b", "x").at_version(first.version)).await?;
    check_eq!(listed(&fixture, None).await?, ["a", "c", "b"]);
    check_eq!(listed(&fixture, Some("planner")).await?, ["a", "b"]);
    check_eq!(listed(&fixture, Some("nobody")).await?, [""; 0]);
    let page = fixture.state.sessions().list(None, PageRequest::first(1)).await?;
    check_eq!(page.items[0].state, None);
    Ok(())
}

async fn pages_of_sessions_follow_each_other_without_gaps_or_repetitions(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for number in 0..7 {
        saved(&fixture, &new(&number.to_string(), "")).await?;
    }
    let (mut request, mut seen) = (PageRequest::first(3), Vec::new());
    loop {
        let page = fixture.state.sessions().list(Some(&agent("planner")), request).await?;
        seen.extend(page.items.iter().map(|session| session.session.to_string()));
        let Some(next) = page.next else { break };
        request = PageRequest::first(3).with_cursor(next);
    }
    check_eq!(seen, ["6", "5", "4", "3", "2", "1", "0"]);
    Ok(())
}

async fn sessions_that_have_expired_are_not_listed(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    saved(&fixture, &new("old", "")).await?;
    fixture.advance(TTL.as_duration());
    saved(&fixture, &new("new", "")).await?;
    check_eq!(listed(&fixture, None).await?, ["new"]);
    Ok(())
}

async fn a_cursor_of_another_listing_of_sessions_is_refused(fixture: Fixture) -> Verdict {
    let request = PageRequest::default().with_cursor(Cursor::new("no time"));
    let refused = fixture.state.sessions().list(None, request).await;
    check_matches!(refused, Err(Error::InvalidArgument { .. }));
    Ok(())
}
