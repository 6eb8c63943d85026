//! Reading what is recorded.

use store_core::{Op, RetryDecision, RetryState};

use super::{LASTING, TTL, WAIT, fail, info, started};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check_eq};

cases! { Op::RetryGet;
    an_operation_shows_its_attempts_and_times,
    an_operation_that_was_not_begun_is_absent,
}

async fn an_operation_shows_its_attempts_and_times(fixture: Fixture) -> Verdict {
    let (mail, began) = (fixture.key("mail"), fixture.now());
    let first = started(&fixture, &mail).await?;
    let running = info(&fixture, &mail).await?;
    check_eq!((running.state, running.attempts, running.fence), (RetryState::Running, 1, first.fence));
    check_eq!((running.first_began, running.began, running.next), (began, began, Some(began.after(LASTING))));
    fixture.advance(secs(1));
    fail(&fixture, &first, "offline", RetryDecision::Retry).await?;
    fixture.advance(WAIT);
    let (second, now) = (started(&fixture, &mail).await?, fixture.now());
    let running = info(&fixture, &mail).await?;
    check_eq!((running.operation, running.attempts, running.fence), (mail, 2, second.fence));
    check_eq!((running.first_began, running.began, running.next), (began, now, Some(now.after(LASTING))));
    check_eq!(running.until, now.after(LASTING + TTL.as_duration()));
    Ok(())
}

async fn an_operation_that_was_not_begun_is_absent(fixture: Fixture) -> Verdict {
    check_eq!(fixture.state.retries().get(&fixture.key("mail")).await?, None);
    Ok(())
}
