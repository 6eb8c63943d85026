//! The time to live of a run, its events and its entries in listings.

use store_core::{Op, PageRequest, RunFilter, RunState, RunWrite};

use super::{TTL, created, events, id, in_states, kinds, listed, new, note, session, totals, written};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::RunWrite;
    an_append_prolongs_the_run_and_a_change_prolongs_the_events,
    a_read_does_not_prolong_a_run,
    run_events_and_listings_expire_together,
}

async fn an_append_prolongs_the_run_and_a_change_prolongs_the_events(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    let run = in_states(&fixture, "1", &[]).await?;
    fixture.advance(TTL.as_duration() - ms(1));
    written(&fixture, &RunWrite::new(id("1")).with_event(note("one"))).await?;
    fixture.advance(TTL.as_duration() - ms(1));
    let begun = written(&fixture, &RunWrite::new(id("1")).to(RunState::InProgress, run.version)).await?;
    check_eq!(begun.until, fixture.now().after(TTL.as_duration()));
    fixture.advance(TTL.as_duration() - ms(1));
    check_eq!(kinds(&fixture, "1").await?, ["run.created", "note", "run.in-progress"]);
    check_eq!(listed(&fixture, &RunFilter::default()).await?, ["1"]);
    Ok(())
}

async fn a_read_does_not_prolong_a_run(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    for _ in 0..2 {
        fixture.advance(TTL.as_duration() / 2 - ms(1));
        check!(fixture.state.runs().get(&id("1")).await?.is_some());
        events(&fixture, "1", 0, 10).await?;
        fixture.state.runs().list(&RunFilter::default(), PageRequest::default()).await?;
        fixture.state.runs().sweep().await?;
    }
    fixture.advance(ms(2));
    check_eq!(fixture.state.runs().get(&id("1")).await?, None);
    Ok(())
}

async fn run_events_and_listings_expire_together(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1").in_session(session("ann"))).await?;
    written(&fixture, &RunWrite::new(id("1")).with_event(note("one"))).await?;
    fixture.advance(TTL.as_duration());
    check_eq!(fixture.state.runs().get(&id("1")).await?, None);
    check_eq!(fixture.state.runs().events(&id("1"), 0, 10).await?, None);
    check_eq!(listed(&fixture, &RunFilter::default()).await?, Vec::<String>::new());
    fixture.advance(secs(11));
    fixture.state.runs().sweep().await?;
    check_eq!(totals(&fixture).await?, [0; 4]);
    Ok(())
}
