//! Deleting what is recorded.

use store_core::{Op, RetryDecision, RetryFailed};

use super::{LASTING, TTL, fail, info, started, succeed};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::RetryClear;
    a_cleared_operation_begins_again_under_a_higher_fence,
    an_attempt_at_a_cleared_operation_cannot_write,
    an_operation_without_a_record_is_not_cleared,
}

async fn a_cleared_operation_begins_again_under_a_higher_fence(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fail(&fixture, &first, "no such address", RetryDecision::Fail).await?;
    check!(fixture.state.retries().clear(&mail).await?);
    check_eq!(fixture.state.retries().get(&mail).await?, None);
    // At the same time of the clock.
    let again = started(&fixture, &mail).await?;
    check!(again.number == 1 && again.fence > first.fence, "{again:?} after {first:?}");
    check_eq!(info(&fixture, &mail).await?.last_error, None);
    Ok(())
}

async fn an_attempt_at_a_cleared_operation_cannot_write(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    check!(fixture.state.retries().clear(&mail).await?);
    for begins_again in [false, true] {
        if begins_again {
            started(&fixture, &mail).await?;
        }
        check_eq!(fail(&fixture, &first, "late", RetryDecision::Retry).await?, RetryFailed::Superseded);
        check!(!succeed(&fixture, &first).await?);
    }
    Ok(())
}

async fn an_operation_without_a_record_is_not_cleared(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    check!(!fixture.state.retries().clear(&mail).await?);
    started(&fixture, &mail).await?;
    fixture.advance(LASTING + TTL.as_duration());
    check!(!fixture.state.retries().clear(&mail).await?);
    Ok(())
}
