//! Hostile texts as operations and errors.

use store_core::{Durability, Key, RetryBegun, RetryDecision, RetryPolicy, RetryRequest};

use super::Texts;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq, check_matches};

/// Every operation on retries.
pub(super) async fn play(fixture: &Fixture, texts: &Texts) -> Verdict {
    let (retries, durability) = (fixture.state.retries(), Durability::Accepted);
    let operation = Key::new(fixture.text(&texts.own(0)))?;
    for index in 0..4 {
        let request = RetryRequest::new(operation.clone(), RetryPolicy::default());
        let begun = retries.begin(&request, durability).await?.value;
        check_matches!(begun, RetryBegun::Started(_));
        let Some(attempt) = begun.attempt() else { return Ok(()) };
        let error = texts.word(index);
        let now = RetryDecision::Snooze(std::time::Duration::ZERO);
        let _ = retries.fail(&attempt, error, now, durability).await?;
        let shown = retries.get(&operation).await?.and_then(|info| info.last_error);
        check_eq!(shown.as_deref(), Some(error));
    }
    let mut found = None;
    let mut after = None;
    loop {
        let page = retries.list(after).await?;
        found = found.or(page.items.into_iter().find(|info| info.operation == operation));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    check_eq!(found, retries.get(&operation).await?);
    check!(retries.clear(&operation).await?);
    Ok(())
}
