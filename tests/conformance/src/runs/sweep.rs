//! Sweeping expired runs.

use store_core::{Op, RunFilter, RunWrite};

use super::{TTL, create_many, created, id, listed, new, note, session, totals, written};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::RunSweep;
    expired_runs_leave_no_entry_after_bounded_sweeps,
    each_creation_sweeps_a_few,
    a_run_that_was_written_since_stays,
    what_has_not_expired_stays,
}

async fn expired_runs_leave_no_entry_after_bounded_sweeps(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    create_many(&fixture, "", 1050).await?;
    check_eq!(totals(&fixture).await?, [1050; 4]);
    fixture.advance(TTL.as_duration() + secs(11));
    let first = fixture.state.runs().sweep().await?;
    check_eq!((first.removed, first.left, first.next), (1000, 50, None));
    check_eq!(totals(&fixture).await?, [50; 4]);
    let second = fixture.state.runs().sweep().await?;
    check_eq!((second.removed, second.left), (50, 0));
    check_eq!(totals(&fixture).await?, [0; 4]);
    check_eq!(fixture.state.runs().sweep().await?.removed, 0);
    Ok(())
}

async fn each_creation_sweeps_a_few(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    create_many(&fixture, "", 25).await?;
    fixture.advance(TTL.as_duration() + secs(11));
    for (number, total) in [(1, 16), (2, 7), (3, 3)] {
        created(&fixture, &new(&format!("new-{number}")).in_session(session("ann"))).await?;
        check_eq!(totals(&fixture).await?, [total; 4]);
    }
    Ok(())
}

async fn a_run_that_was_written_since_stays(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    for name in ["1", "2"] {
        created(&fixture, &new(name).in_session(session("ann"))).await?;
    }
    fixture.advance(TTL.as_duration() / 2);
    written(&fixture, &RunWrite::new(id("1")).with_event(note("one"))).await?;
    fixture.advance(TTL.as_duration() / 2 + secs(11));
    check_eq!(fixture.state.runs().sweep().await?.removed, 1);
    check_eq!(listed(&fixture, &RunFilter::default()).await?, ["1"]);
    check_eq!(totals(&fixture).await?, [1; 4]);
    // It is swept when it has expired.
    fixture.advance(TTL.as_duration());
    check_eq!(fixture.state.runs().sweep().await?.removed, 1);
    check_eq!(totals(&fixture).await?, [0; 4]);
    Ok(())
}

async fn what_has_not_expired_stays(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    created(&fixture, &new("1")).await?;
    fixture.advance(TTL.as_duration() - secs(1));
    let swept = fixture.state.runs().sweep().await?;
    check_eq!((swept.removed, swept.left), (0, 0));
    check!(fixture.state.runs().get(&id("1")).await?.is_some());
    check_eq!(listed(&fixture, &RunFilter::default()).await?, ["1"]);
    Ok(())
}
