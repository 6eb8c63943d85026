//! Failing attempts.

use store_core::{
    Backoff, Error, ErrorKind, JobInfo, Op, RequestId, RetryDecision, RetryFailed, RetryPolicy, RetryState, Ttl,
};

use super::{LASTING, TTL, WAIT, begin, fail, info, request, started, succeed};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::RetryFail;
    a_retry_waits_as_the_policy_says,
    a_linear_wait_grows_with_each_attempt,
    an_exponential_wait_has_full_jitter,
    the_kind_of_an_error_decides_whether_it_is_retried,
    the_last_attempt_exhausts_the_operation,
    a_failure_for_good_exhausts_the_operation,
    a_snooze_does_not_count,
    a_repetition_gets_the_first_answer,
    an_older_attempt_cannot_fail,
    an_attempt_that_has_succeeded_cannot_fail,
    an_attempt_that_took_too_long_can_fail_until_another_begins,
    a_record_outlives_the_wait,
    a_long_error_is_truncated,
    a_snooze_that_is_too_long_is_refused,
}

async fn a_retry_waits_as_the_policy_says(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fixture.advance(secs(1));
    let at = fixture.now().after(WAIT);
    check_eq!(fail(&fixture, &first, "offline: größer", RetryDecision::Retry).await?, RetryFailed::Again { at });
    let recorded = info(&fixture, &mail).await?;
    check_eq!((recorded.state, recorded.attempts, recorded.next), (RetryState::Waiting, 1, Some(at)));
    check_eq!(recorded.last_error.as_deref(), Some("offline: größer"));
    Ok(())
}

/// The wait is between half and all of what the policy names.
async fn a_linear_wait_grows_with_each_attempt(fixture: Fixture) -> Verdict {
    let mut asked = request(&fixture.key("mail"));
    asked.policy = RetryPolicy::new(10, Backoff::Linear { step: secs(100), max: secs(1000) });
    for (number, longest) in [(1, secs(100)), (2, secs(200)), (3, secs(300)), (4, secs(400))] {
        let attempt = begin(&fixture, &asked.clone().with_request(RequestId::generate())).await?.attempt();
        let attempt = attempt.ok_or_else(|| BrokenPromise::new("no attempt has begun"))?;
        check_eq!(attempt.number, number);
        let RetryFailed::Again { at } = fail(&fixture, &attempt, "offline", RetryDecision::Retry).await? else {
            return Err(BrokenPromise::new("the operation is exhausted"));
        };
        let wait = at.since(fixture.now());
        check!(wait >= longest / 2 && wait <= longest, "attempt {number} is followed by {wait:?}");
        fixture.advance(wait);
    }
    Ok(())
}

async fn the_kind_of_an_error_decides_whether_it_is_retried(fixture: Fixture) -> Verdict {
    for (kind, is_retried) in [
        (ErrorKind::Unavailable, true),
        (ErrorKind::Indeterminate, true),
        (ErrorKind::Limit, true),
        (ErrorKind::NotDurable, true),
        (ErrorKind::Unexpected, true),
        (ErrorKind::InvalidArgument, false),
        (ErrorKind::Unauthenticated, false),
        (ErrorKind::Forbidden, false),
        (ErrorKind::Tls, false),
        (ErrorKind::Corrupt, false),
        (ErrorKind::Unsupported, false),
    ] {
        let operation = fixture.key(&format!("{kind:?}"));
        let attempt = started(&fixture, &operation).await?;
        let failed = fail(&fixture, &attempt, "", RetryDecision::of(kind)).await?;
        check_eq!((kind, failed != RetryFailed::Exhausted), (kind, is_retried));
    }
    Ok(())
}

async fn an_exponential_wait_has_full_jitter(fixture: Fixture) -> Verdict {
    let backoff = Backoff::Exponential { first: secs(100), max: secs(200) };
    let mut waits = Vec::new();
    for number in 0..40 {
        let mut asked = request(&fixture.key(&number.to_string()));
        asked.policy = RetryPolicy::new(3, backoff);
        let attempt = begin(&fixture, &asked).await?.attempt();
        let attempt = attempt.ok_or_else(|| BrokenPromise::new("no attempt has begun"))?;
        match fail(&fixture, &attempt, "offline", RetryDecision::Retry).await? {
            RetryFailed::Again { at } => waits.push(at.since(fixture.now())),
            other => return Err(BrokenPromise::new(format!("{other:?}"))),
        }
    }
    check!(waits.iter().all(|wait| *wait <= secs(100)), "{waits:?}");
    // a fair wait misses a half 40 times with a probability of 2^-40
    for is_short in [true, false] {
        check!(waits.iter().any(|wait| (*wait < secs(50)) == is_short), "{waits:?}");
    }
    Ok(())
}

async fn the_last_attempt_exhausts_the_operation(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    for number in 1..=3 {
        let attempt = started(&fixture, &mail).await?;
        let failed = fail(&fixture, &attempt, "offline", RetryDecision::Retry).await?;
        check_eq!((attempt.number, failed == RetryFailed::Exhausted), (number, number == 3));
        fixture.advance(WAIT);
    }
    let recorded = info(&fixture, &mail).await?;
    check_eq!((recorded.state, recorded.attempts, recorded.next), (RetryState::Exhausted, 3, None));
    Ok(())
}

async fn a_failure_for_good_exhausts_the_operation(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    check_eq!(fail(&fixture, &first, "no such address", RetryDecision::Fail).await?, RetryFailed::Exhausted);
    check_eq!(info(&fixture, &mail).await?.attempts, 1);
    Ok(())
}

async fn a_snooze_does_not_count(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    for _ in 0..5 {
        let attempt = started(&fixture, &mail).await?;
        check_eq!(attempt.number, 1);
        let at = fixture.now().after(secs(3));
        let snoozed = fail(&fixture, &attempt, "busy", RetryDecision::Snooze(secs(3))).await?;
        check_eq!(snoozed, RetryFailed::Again { at });
        check_eq!(info(&fixture, &mail).await?.attempts, 0);
        fixture.advance(secs(3));
    }
    Ok(())
}

async fn a_repetition_gets_the_first_answer(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    let again = fail(&fixture, &first, "first", RetryDecision::Retry).await?;
    let recorded = info(&fixture, &mail).await?;
    check_eq!(fail(&fixture, &first, "second", RetryDecision::Fail).await?, again);
    check_eq!(fail(&fixture, &first, "third", RetryDecision::Snooze(secs(1))).await?, again);
    check_eq!(info(&fixture, &mail).await?, recorded);
    Ok(())
}

async fn an_older_attempt_cannot_fail(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fixture.advance(LASTING);
    started(&fixture, &mail).await?;
    let recorded = info(&fixture, &mail).await?;
    check_eq!(fail(&fixture, &first, "late", RetryDecision::Fail).await?, RetryFailed::Superseded);
    check_eq!(info(&fixture, &mail).await?, recorded);
    Ok(())
}

async fn an_attempt_that_has_succeeded_cannot_fail(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    check!(succeed(&fixture, &first).await?);
    check_eq!(fail(&fixture, &first, "late", RetryDecision::Retry).await?, RetryFailed::Superseded);
    check_eq!(info(&fixture, &mail).await?.state, RetryState::Succeeded);
    Ok(())
}

async fn an_attempt_that_took_too_long_can_fail_until_another_begins(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fixture.advance(LASTING + secs(1));
    let at = fixture.now().after(WAIT);
    check_eq!(fail(&fixture, &first, "slow", RetryDecision::Retry).await?, RetryFailed::Again { at });
    check_eq!(info(&fixture, &mail).await?.last_error.as_deref(), Some("slow"));
    Ok(())
}

async fn a_record_outlives_the_wait(fixture: Fixture) -> Verdict {
    let (mail, hour) = (fixture.key("mail"), secs(3600));
    let first = started(&fixture, &mail).await?;
    fail(&fixture, &first, "busy", RetryDecision::Snooze(hour)).await?;
    check_eq!(info(&fixture, &mail).await?.until, fixture.now().after(hour + TTL.as_duration()));
    fixture.advance(hour);
    check_eq!(started(&fixture, &mail).await?.number, 1);
    check_eq!(info(&fixture, &mail).await?.last_error.as_deref(), Some("busy"));
    Ok(())
}

async fn a_long_error_is_truncated(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fail(&fixture, &first, &"é".repeat(JobInfo::MAX_REASON_BYTES), RetryDecision::Retry).await?;
    check_eq!(info(&fixture, &mail).await?.last_error, Some("é".repeat(JobInfo::MAX_REASON_BYTES / 2)));
    Ok(())
}

async fn a_snooze_that_is_too_long_is_refused(fixture: Fixture) -> Verdict {
    let first = started(&fixture, &fixture.key("mail")).await?;
    let refused = fail(&fixture, &first, "", RetryDecision::Snooze(Ttl::MAX + ms(1))).await;
    check_matches!(refused, Err(Error::InvalidArgument { .. }));
    Ok(())
}
