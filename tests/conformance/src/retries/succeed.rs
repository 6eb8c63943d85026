//! Succeeding.

use store_core::{Op, RetryDecision, RetryState};

use super::{LASTING, TTL, fail, info, started, succeed};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::RetrySucceed;
    a_success_is_recorded,
    a_repetition_gets_the_first_answer,
    an_older_attempt_cannot_succeed,
    an_attempt_that_has_failed_cannot_succeed,
    an_operation_that_was_not_begun_cannot_succeed,
}

async fn a_success_is_recorded(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fixture.advance(secs(1));
    check!(succeed(&fixture, &first).await?);
    let recorded = info(&fixture, &mail).await?;
    check_eq!((recorded.state, recorded.attempts, recorded.next), (RetryState::Succeeded, 1, None));
    Ok(())
}

async fn a_repetition_gets_the_first_answer(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    check!(succeed(&fixture, &first).await? && succeed(&fixture, &first).await?);
    check_eq!(info(&fixture, &mail).await?.state, RetryState::Succeeded);
    Ok(())
}

async fn an_older_attempt_cannot_succeed(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fixture.advance(LASTING);
    let second = started(&fixture, &mail).await?;
    check!(!succeed(&fixture, &first).await?);
    check!(succeed(&fixture, &second).await?);
    started(&fixture, &mail).await?;
    check!(!succeed(&fixture, &second).await?);
    Ok(())
}

async fn an_attempt_that_has_failed_cannot_succeed(fixture: Fixture) -> Verdict {
    for (name, decision) in [("retry", RetryDecision::Retry), ("fail", RetryDecision::Fail)] {
        let mail = fixture.key(name);
        let first = started(&fixture, &mail).await?;
        fail(&fixture, &first, "offline", decision).await?;
        let recorded = info(&fixture, &mail).await?;
        check!(!succeed(&fixture, &first).await?);
        check_eq!(info(&fixture, &mail).await?, recorded);
    }
    Ok(())
}

async fn an_operation_that_was_not_begun_cannot_succeed(fixture: Fixture) -> Verdict {
    let mut first = started(&fixture, &fixture.key("mail")).await?;
    first.operation = fixture.key("other");
    check!(!succeed(&fixture, &first).await?);
    fixture.advance(TTL.as_duration());
    check_eq!(fixture.state.retries().get(&first.operation).await?, None);
    Ok(())
}
