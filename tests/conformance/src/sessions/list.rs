//! Listing sessions.

use store_core::{Cursor, Error, Op, PageRequest, SessionSave};

use super::{TTL, agent, id, listed, new, saved};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::SessionList;
    the_newest_session_comes_first,
    a_page_has_the_total_of_the_listing,
    the_total_counts_expired_sessions_until_they_are_swept,
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

async fn total(fixture: &Fixture, of: Option<&str>) -> Result<u64, BrokenPromise> {
    let of = of.map(agent);
    Ok(fixture.state.sessions().list(of.as_ref(), PageRequest::first(1)).await?.total)
}

async fn a_page_has_the_total_of_the_listing(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    check_eq!(total(&fixture, None).await?, 0);
    for name in ["a", "b", "c"] {
        saved(&fixture, &new(name, "")).await?;
    }
    let last = saved(&fixture, &SessionSave::new(id("d"), agent("booker"), "")).await?;
    // A later save is no other session.
    saved(&fixture, &SessionSave::new(id("d"), agent("booker"), "x").at_version(last.version)).await?;
    check_eq!(total(&fixture, None).await?, 4);
    check_eq!(total(&fixture, Some("planner")).await?, 3);
    check_eq!(total(&fixture, Some("nobody")).await?, 0);
    check!(fixture.state.sessions().delete(&id("b")).await?);
    check_eq!((total(&fixture, None).await?, total(&fixture, Some("planner")).await?), (3, 2));

    // On the last page, too.
    let first = fixture.state.sessions().list(None, PageRequest::first(2)).await?;
    let Some(next) = first.next else { return Err(BrokenPromise::new("there is no second page")) };
    let last = fixture.state.sessions().list(None, PageRequest::first(2).with_cursor(next)).await?;
    check_eq!((first.total, last.items.len(), last.total, last.next), (3, 1, 3, None));
    Ok(())
}

async fn the_total_counts_expired_sessions_until_they_are_swept(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for name in ["a", "b"] {
        saved(&fixture, &new(name, "")).await?;
    }
    // A sweep waits 10 s longer, because the clocks of servers differ.
    fixture.advance(TTL.as_duration() + secs(20));
    check_eq!((listed(&fixture, None).await?.len(), total(&fixture, None).await?), (0, 2));
    check_eq!(fixture.state.sessions().sweep().await?, 0);
    check_eq!((total(&fixture, None).await?, total(&fixture, Some("planner")).await?), (0, 0));
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
