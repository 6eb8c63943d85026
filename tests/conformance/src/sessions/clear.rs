//! Deleting the sessions whose ids begin with a prefix.

use futures_util::future::try_join_all;
use store_core::{Cursor, Error, Op, RunFilter};

use super::{id, listed, new, save, saved};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::SessionClear;
    only_sessions_with_the_prefix_are_deleted,
    their_runs_stay,
    each_call_is_bounded_and_reports_what_is_left,
    a_cursor_of_another_listing_is_refused,
}

async fn only_sessions_with_the_prefix_are_deleted(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    // A prefix is no pattern, and no part of another one.
    for name in ["a/1", "a/2", "ab", "b/a/1", "A/1"] {
        saved(&fixture, &new(name, "")).await?;
    }
    for pattern in ["*", "[a]", "a/?"] {
        check_eq!(fixture.state.sessions().clear(pattern, None).await?.removed, 0);
    }
    let cleared = fixture.state.sessions().clear("a/", None).await?;
    check_eq!((cleared.removed, cleared.left, cleared.next), (2, 0, None));
    check_eq!(fixture.state.sessions().get(&id("a/1")).await?, None);
    check_eq!(listed(&fixture, Some("planner")).await?, ["A/1", "b/a/1", "ab"]);
    check_eq!(fixture.state.sessions().clear("", None).await?.removed, 3);
    check_eq!(listed(&fixture, None).await?, [""; 0]);
    Ok(())
}

async fn their_runs_stay(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    saved(&fixture, &new("ann", "")).await?;
    let run = store_core::NewRun::new(store_core::RunId::new("ann")?, super::agent("planner")).in_session(id("ann"));
    let (runs, accepted) = (fixture.state.runs(), store_core::Durability::Accepted);
    let _ = runs.create(&run, accepted).await?;
    check_eq!(fixture.state.sessions().clear("ann", None).await?.removed, 1);
    let in_session = RunFilter::default().in_session(id("ann"));
    check_eq!(runs.list(&in_session, store_core::PageRequest::default()).await?.items.len(), 1);
    Ok(())
}

async fn each_call_is_bounded_and_reports_what_is_left(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for (prefix, count) in [("a", 20), ("b", 1030)] {
        let saves: Vec<_> = (0..count).map(|number| new(&format!("{prefix}/{number}"), "")).collect();
        try_join_all(saves.iter().map(|request| save(&fixture, request))).await?;
    }
    let first = fixture.state.sessions().clear("a/", None).await?;
    check_eq!((first.removed, first.left, first.next.is_some()), (0, 50, true));
    let second = fixture.state.sessions().clear("a/", first.next).await?;
    check_eq!((second.removed, second.left, second.next), (20, 0, None));
    Ok(())
}

async fn a_cursor_of_another_listing_is_refused(fixture: Fixture) -> Verdict {
    let refused = fixture.state.sessions().clear("", Some(Cursor::new("no time"))).await;
    check_matches!(refused, Err(Error::InvalidArgument { op: Op::SessionClear, .. }));
    Ok(())
}
