//! Deleting the runs whose ids begin with a prefix.

use store_core::{Op, RunFilter};

use super::{create_many, created, id, listed, new, totals};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check_eq};

cases! { Op::RunClear;
    only_runs_with_the_prefix_are_deleted,
    each_call_is_bounded_and_reports_what_is_left,
}

async fn only_runs_with_the_prefix_are_deleted(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    // A prefix is no pattern, and no part of another one.
    for name in ["a/1", "a/2", "ab", "b/a/1", "A/1"] {
        created(&fixture, &new(name)).await?;
    }
    for pattern in ["*", "[a]", "a/?"] {
        check_eq!(fixture.state.runs().clear(pattern, None).await?.removed, 0);
    }
    let cleared = fixture.state.runs().clear("a/", None).await?;
    check_eq!((cleared.removed, cleared.left, cleared.next), (2, 0, None));
    check_eq!(listed(&fixture, &RunFilter::default()).await?, ["A/1", "b/a/1", "ab"]);
    check_eq!(fixture.state.runs().events(&id("a/1"), 0, 10).await?, None);
    check_eq!(fixture.state.runs().clear("", None).await?.removed, 3);
    check_eq!(totals(&fixture).await?, [0; 4]);
    Ok(())
}

async fn each_call_is_bounded_and_reports_what_is_left(fixture: Fixture) -> Verdict {
    let fixture = fixture.in_own_namespace().await?;
    create_many(&fixture, "a/", 20).await?;
    create_many(&fixture, "b/", 1030).await?;
    let first = fixture.state.runs().clear("a/", None).await?;
    check_eq!((first.removed, first.left, first.next.is_some()), (0, 50, true));
    let second = fixture.state.runs().clear("a/", first.next).await?;
    check_eq!((second.removed, second.left, second.next), (20, 0, None));
    check_eq!(totals(&fixture).await?, [1030; 4]);
    Ok(())
}
