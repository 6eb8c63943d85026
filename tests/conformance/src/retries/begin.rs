//! Beginning attempts.

use std::time::Duration;

use store_core::{Backoff, Durability, Error, Op, RetryBegun, RetryDecision, RetryInfo, RetryPolicy, RetryState, Ttl};

use super::{LASTING, TTL, WAIT, begin, fail, info, request, started, succeed};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::RetryBegin;
    the_first_attempt_begins_immediately,
    one_attempt_runs_at_a_time,
    of_concurrent_requests_one_begins,
    a_repeated_request_gets_its_attempt,
    a_repeated_request_is_not_carried_out_again_after_its_success,
    a_repeated_request_begins_again_after_a_failure,
    the_next_attempt_waits_for_its_time,
    an_attempt_that_did_not_end_in_time_counts,
    the_last_attempt_that_did_not_end_in_time_exhausts_the_operation,
    an_exhausted_operation_does_not_begin,
    a_policy_with_fewer_attempts_exhausts_the_operation,
    after_a_success_attempts_count_from_one,
    a_later_attempt_does_not_shorten_the_record,
    the_fence_rises_with_each_attempt,
    a_record_expires_after_its_last_write,
    services_have_operations_of_their_own,
    a_time_or_a_policy_out_of_range_is_refused,
}

async fn the_first_attempt_begins_immediately(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let attempt = started(&fixture, &mail).await?;
    check_eq!((attempt.number, &attempt.operation), (1, &mail));
    check_eq!(attempt.policy, request(&mail).policy);
    Ok(())
}

async fn one_attempt_runs_at_a_time(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    started(&fixture, &mail).await?;
    let until = fixture.now().after(LASTING);
    check_eq!(begin(&fixture, &request(&mail)).await?, RetryBegun::Wait { until, remaining: LASTING });
    fixture.advance(LASTING - ms(1));
    check_eq!(begin(&fixture, &request(&mail)).await?, RetryBegun::Wait { until, remaining: ms(1) });
    started(&fixture, &fixture.key("other")).await?;
    Ok(())
}

async fn of_concurrent_requests_one_begins(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let mut beginning = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (fixture, request) = (fixture.share(), request(&mail));
        beginning.spawn(async move { begin(&fixture, &request).await });
    }
    let mut count = 0;
    while let Some(begun) = beginning.join_next().await {
        count += usize::from(begun??.attempt().is_some());
    }
    check_eq!(count, 1);
    Ok(())
}

async fn a_repeated_request_gets_its_attempt(fixture: Fixture) -> Verdict {
    let asked = request(&fixture.key("mail"));
    let first = begin(&fixture, &asked).await?;
    let recorded = info(&fixture, &asked.operation).await?;
    fixture.advance(LASTING);
    check_eq!(begin(&fixture, &asked).await?, first);
    check_eq!(info(&fixture, &asked.operation).await?, recorded);
    Ok(())
}

async fn a_repeated_request_is_not_carried_out_again_after_its_success(fixture: Fixture) -> Verdict {
    let asked = request(&fixture.key("mail"));
    let first = begin(&fixture, &asked).await?.attempt().ok_or_else(|| BrokenPromise::new("no attempt has begun"))?;
    check!(succeed(&fixture, &first).await?);
    let recorded = info(&fixture, &asked.operation).await?;
    fixture.advance(secs(1));
    check_eq!(begin(&fixture, &asked).await?, RetryBegun::Succeeded);
    check_eq!(info(&fixture, &asked.operation).await?, recorded);
    // a new request begins
    check_eq!(started(&fixture, &asked.operation).await?.number, 1);
    Ok(())
}

async fn a_repeated_request_begins_again_after_a_failure(fixture: Fixture) -> Verdict {
    let asked = request(&fixture.key("mail"));
    let first = begin(&fixture, &asked).await?.attempt().ok_or_else(|| BrokenPromise::new("no attempt has begun"))?;
    fail(&fixture, &first, "offline", RetryDecision::Retry).await?;
    check_matches!(begin(&fixture, &asked).await?, RetryBegun::Wait { .. });
    fixture.advance(WAIT);
    let second = begin(&fixture, &asked).await?;
    check!(matches!(&second, RetryBegun::Started(attempt) if attempt.number == 2 && attempt.fence > first.fence));
    check_eq!(begin(&fixture, &asked).await?, second);
    Ok(())
}

async fn the_next_attempt_waits_for_its_time(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fail(&fixture, &first, "offline", RetryDecision::Retry).await?;
    let until = fixture.now().after(WAIT);
    check_eq!(begin(&fixture, &request(&mail)).await?, RetryBegun::Wait { until, remaining: WAIT });
    fixture.advance(WAIT);
    check_eq!(started(&fixture, &mail).await?.number, 2);
    check_eq!(info(&fixture, &mail).await?.last_error.as_deref(), Some("offline"));
    Ok(())
}

async fn an_attempt_that_did_not_end_in_time_counts(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fixture.advance(LASTING);
    check_eq!(started(&fixture, &mail).await?.number, 2);
    check_eq!(info(&fixture, &mail).await?.last_error.as_deref(), Some(RetryInfo::TIMED_OUT));
    check!(!succeed(&fixture, &first).await?);
    Ok(())
}

async fn the_last_attempt_that_did_not_end_in_time_exhausts_the_operation(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    for _ in 0..3 {
        started(&fixture, &mail).await?;
        fixture.advance(LASTING);
    }
    for _ in 0..2 {
        let exhausted = RetryBegun::Exhausted { attempts: 3, last_error: Some(RetryInfo::TIMED_OUT.to_owned()) };
        check_eq!(begin(&fixture, &request(&mail)).await?, exhausted);
    }
    check_eq!(info(&fixture, &mail).await?.state, RetryState::Exhausted);
    Ok(())
}

async fn an_exhausted_operation_does_not_begin(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fail(&fixture, &first, "no such address", RetryDecision::Fail).await?;
    fixture.advance(TTL.as_duration() - ms(1));
    let exhausted = RetryBegun::Exhausted { attempts: 1, last_error: Some("no such address".to_owned()) };
    check_eq!(begin(&fixture, &request(&mail)).await?, exhausted);
    Ok(())
}

async fn a_policy_with_fewer_attempts_exhausts_the_operation(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fail(&fixture, &first, "", RetryDecision::Retry).await?;
    fixture.advance(WAIT);
    let mut once = request(&mail);
    once.policy = RetryPolicy::never();
    check_eq!(begin(&fixture, &once).await?, RetryBegun::Exhausted { attempts: 1, last_error: None });
    Ok(())
}

async fn after_a_success_attempts_count_from_one(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    fail(&fixture, &first, "offline", RetryDecision::Retry).await?;
    fixture.advance(WAIT);
    check!(succeed(&fixture, &started(&fixture, &mail).await?).await?);
    fixture.advance(secs(1));
    check_eq!(started(&fixture, &mail).await?.number, 1);
    let recorded = info(&fixture, &mail).await?;
    check_eq!((recorded.first_began, recorded.last_error), (fixture.now(), None));
    Ok(())
}

async fn a_later_attempt_does_not_shorten_the_record(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let long = begin(&fixture, &request(&mail).with_ttl(Ttl::from_secs(30 * 24 * 3600))).await?.attempt();
    let long = long.ok_or_else(|| BrokenPromise::new("no attempt has begun"))?;
    check!(succeed(&fixture, &long).await?);
    let until = info(&fixture, &mail).await?.until;
    begin(&fixture, &request(&mail).with_ttl(Ttl::from_secs(3600))).await?;
    let recorded = info(&fixture, &mail).await?;
    check_eq!((recorded.state, recorded.until), (RetryState::Running, until));
    Ok(())
}

async fn the_fence_rises_with_each_attempt(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let mut last = started(&fixture, &mail).await?;
    for round in 0..4 {
        if round % 2 == 0 {
            check!(succeed(&fixture, &last).await?);
        } else {
            fail(&fixture, &last, "offline", RetryDecision::Snooze(Duration::ZERO)).await?;
        }
        let next = started(&fixture, &mail).await?;
        check!(next.fence > last.fence, "{} after {}", next.fence, last.fence);
        last = next;
    }
    Ok(())
}

async fn a_record_expires_after_its_last_write(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    let first = started(&fixture, &mail).await?;
    check_eq!(info(&fixture, &mail).await?.until, fixture.now().after(LASTING + TTL.as_duration()));
    fixture.advance(LASTING + TTL.as_duration() - ms(1));
    check!(fixture.state.retries().get(&mail).await?.is_some());
    fixture.advance(ms(1));
    check_eq!(fixture.state.retries().get(&mail).await?, None);
    check!(!succeed(&fixture, &first).await?);
    let again = started(&fixture, &mail).await?;
    check!(again.number == 1 && again.fence > first.fence, "{again:?}");
    Ok(())
}

async fn services_have_operations_of_their_own(fixture: Fixture) -> Verdict {
    let mail = fixture.key("mail");
    for store in [&fixture.state, &fixture.other_state, &fixture.shared_state] {
        let begun = store.retries().begin(&request(&mail), Durability::Accepted).await?.value;
        check_matches!(begun, RetryBegun::Started(_));
    }
    Ok(())
}

async fn a_time_or_a_policy_out_of_range_is_refused(fixture: Fixture) -> Verdict {
    let asked = || request(&fixture.key("mail"));
    let with_policy = |policy| {
        let mut asked = asked();
        asked.policy = policy;
        asked
    };
    let too_long = Ttl::MAX + ms(1);
    let refused = [
        asked().with_lasting(too_long),
        asked().with_lasting(Duration::ZERO),
        with_policy(RetryPolicy::new(0, Backoff::Fixed(WAIT))),
        with_policy(RetryPolicy::new(2, Backoff::Linear { step: WAIT, max: too_long })),
    ];
    for request in refused {
        check_matches!(begin(&fixture, &request).await, Err(Error::InvalidArgument { .. }));
    }
    check!(begin(&fixture, &asked().with_lasting(Ttl::MAX)).await?.attempt().is_some());
    Ok(())
}
