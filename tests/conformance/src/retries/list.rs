//! Listing operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use store_core::{Cursor, Durability, Key, Op, RetryDecision, RetryInfo};

use super::{TTL, fail, info, request, started};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::RetryList;
    each_operation_of_the_service_is_listed,
    cleared_and_expired_operations_are_not_listed,
    many_operations_are_listed_in_pages,
    a_foreign_cursor_is_refused,
}

/// How many operations take more than one step to list.
const MANY: usize = 1100;

/// All operations of the listing.
async fn listed(fixture: &Fixture) -> Result<BTreeMap<Key, RetryInfo>, BrokenPromise> {
    let (mut found, mut after) = (BTreeMap::new(), None);
    for _ in 0..100_000 {
        let page = fixture.state.retries().list(after).await?;
        found.extend(page.items.into_iter().map(|info| (info.operation.clone(), info)));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
    Err(BrokenPromise::new("the listing has no end"))
}

async fn each_operation_of_the_service_is_listed(fixture: Fixture) -> Verdict {
    let (running, exhausted, other) = (fixture.key("running *$ 1"), fixture.key("exhausted"), fixture.key("other"));
    for store in [&fixture.other_state, &fixture.shared_state] {
        check!(store.retries().begin(&request(&other), Durability::Accepted).await?.value.attempt().is_some());
    }
    started(&fixture, &running).await?;
    let first = started(&fixture, &exhausted).await?;
    fail(&fixture, &first, "no such address", RetryDecision::Fail).await?;
    let found = listed(&fixture).await?;
    for operation in [&running, &exhausted] {
        check_eq!(found.get(operation), Some(&info(&fixture, operation).await?));
    }
    check!(!found.contains_key(&other), "{found:?}");
    Ok(())
}

async fn cleared_and_expired_operations_are_not_listed(fixture: Fixture) -> Verdict {
    let (cleared, expired, kept) = (fixture.key("cleared"), fixture.key("expired"), fixture.key("kept"));
    let first = started(&fixture, &expired).await?;
    fail(&fixture, &first, "offline", RetryDecision::Fail).await?;
    fixture.advance(TTL.as_duration() + super::LASTING);
    for operation in [&cleared, &kept] {
        started(&fixture, operation).await?;
    }
    check!(fixture.state.retries().clear(&cleared).await?);
    let found = listed(&fixture).await?;
    check_eq!([cleared, expired, kept].map(|operation| found.contains_key(&operation)), [false, false, true]);
    Ok(())
}

async fn many_operations_are_listed_in_pages(fixture: Fixture) -> Verdict {
    let operations: Vec<_> = (0..MANY).map(|number| fixture.key(&format!("mail-{number}"))).collect();
    let mut beginning = tokio::task::JoinSet::new();
    for operation in operations.clone() {
        let state = Arc::clone(&fixture.state);
        beginning.spawn(async move { state.retries().begin(&request(&operation), Durability::Accepted).await });
    }
    while let Some(answer) = beginning.join_next().await {
        check!(answer??.value.attempt().is_some());
    }
    let found = listed(&fixture).await?;
    let missing = operations.iter().filter(|operation| !found.contains_key(*operation)).count();
    check_eq!(missing, 0);
    Ok(())
}

async fn a_foreign_cursor_is_refused(fixture: Fixture) -> Verdict {
    for text in ["", "-", "dead.17.61"] {
        check!(fixture.state.retries().list(Some(Cursor::new(text))).await.is_err(), "{text:?} was accepted");
    }
    Ok(())
}
