//! Listing runs.

use store_core::{Cursor, Error, Op, PageRequest, RunFilter, RunWrite};

use super::{ACCEPTED, TTL, agent, created, id, ids, list, listed, new, note, session, written};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::RunList;
    by_agent_and_session_together,
    the_newest_run_comes_first,
    pages_follow_each_other_without_gaps_or_repetitions,
    runs_that_are_created_meanwhile_are_on_no_later_page,
    runs_that_have_expired_are_skipped,
    all_services_list_the_same_runs,
    a_cursor_of_another_listing_is_refused,
}

async fn by_agent_and_session_together(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for (number, (name, place)) in
        [("planner", "ann"), ("planner", "bob"), ("booker", "ann"), ("booker", ""), ("planner", "ann")]
            .into_iter()
            .enumerate()
    {
        let mut run = new(&number.to_string());
        run.agent = agent(name);
        run.session = Some(place).filter(|place| !place.is_empty()).map(session);
        created(&fixture, &run).await?;
    }
    let all = RunFilter::default;
    check_eq!(listed(&fixture, &all()).await?, ["4", "3", "2", "1", "0"]);
    check_eq!(listed(&fixture, &all().of_agent(agent("planner"))).await?, ["4", "1", "0"]);
    check_eq!(listed(&fixture, &all().in_session(session("ann"))).await?, ["4", "2", "0"]);
    let both = all().of_agent(agent("planner")).in_session(session("ann"));
    let page = list(&fixture, &both).await?;
    check_eq!((ids(&page), page.total, page.next), (vec!["4".to_owned(), "0".to_owned()], 2, None));
    check_eq!(list(&fixture, &all().of_agent(agent("nobody"))).await?.total, 0);
    Ok(())
}

async fn the_newest_run_comes_first(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for name in ["b", "c", "a"] {
        created(&fixture, &new(name)).await?;
        fixture.advance(secs(1));
    }
    // A write does not move a run.
    written(&fixture, &RunWrite::new(id("b")).with_event(note("one"))).await?;
    check_eq!(listed(&fixture, &RunFilter::default()).await?, ["a", "c", "b"]);
    Ok(())
}

async fn pages_follow_each_other_without_gaps_or_repetitions(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    // All at the same time of the clock.
    for number in 0..25 {
        created(&fixture, &new(&number.to_string())).await?;
    }
    let (mut request, mut found) = (PageRequest::first(10), Vec::new());
    loop {
        let page = fixture.state.runs().list(&RunFilter::default(), request).await?;
        check_eq!(page.total, 25);
        found.extend(ids(&page));
        let Some(next) = page.next else { break };
        request = PageRequest::first(10).with_cursor(next);
    }
    check_eq!(found, (0..25).rev().map(|number| number.to_string()).collect::<Vec<_>>());
    let exact = fixture.state.runs().list(&RunFilter::default(), PageRequest::first(25)).await?;
    check_eq!(exact.next, None);
    Ok(())
}

async fn runs_that_are_created_meanwhile_are_on_no_later_page(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for name in ["1", "2", "3"] {
        created(&fixture, &new(name)).await?;
    }
    let page = fixture.state.runs().list(&RunFilter::default(), PageRequest::first(2)).await?;
    created(&fixture, &new("4")).await?;
    fixture.state.runs().delete(&id("2")).await?;
    let Some(next) = page.next else { return Err(crate::BrokenPromise::new("there is no second page")) };
    let request = PageRequest::first(2).with_cursor(next);
    check_eq!(ids(&fixture.state.runs().list(&RunFilter::default(), request).await?), ["1"]);
    Ok(())
}

async fn runs_that_have_expired_are_skipped(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1").in_session(session("ann"))).await?;
    fixture.advance(TTL.as_duration() - secs(1));
    created(&fixture, &new("2").in_session(session("ann"))).await?;
    fixture.advance(secs(1));
    let all = RunFilter::default;
    for filter in [all(), all().of_agent(agent("planner")), all().in_session(session("ann"))] {
        check_eq!(listed(&fixture, &filter).await?, ["2"]);
    }
    Ok(())
}

async fn all_services_list_the_same_runs(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    check!(fixture.other_state.runs().create(&new("2"), ACCEPTED).await?.value.done().is_some());
    for state in [&fixture.state, &fixture.other_state, &fixture.shared_state] {
        check_eq!(ids(&state.runs().list(&RunFilter::default(), PageRequest::default()).await?), ["2", "1"]);
    }
    Ok(())
}

async fn a_cursor_of_another_listing_is_refused(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for text in ["x", "-1", "(1", "1 2"] {
        let request = PageRequest::first(2).with_cursor(Cursor::new(text));
        let refused = fixture.state.runs().list(&RunFilter::default(), request).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::RunList, .. }));
        let refused = fixture.state.runs().clear("", Some(Cursor::new(text))).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::RunClear, .. }));
    }
    Ok(())
}
