//! Saving resume tokens.

use std::sync::Arc;

use bytes::Bytes;
use store_core::{
    AcquireRequest, Acquired, Durability, Error, Fence, Op, ResumeToken, SaveRequest, TokenOutcome, TokenVersion,
};

use super::{EARLIER, LATER, request, save, saved, stored};
use crate::case::cases;
use crate::fixture::{Fixture, holder, ms, secs, ttl_ms};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::ResumeTokenSave;
    the_first_token_expects_none,
    a_token_replaces_the_one_of_the_expected_version,
    versions_rise_and_are_not_behind_the_clock,
    a_wrong_version_is_a_conflict_that_shows_the_current_token,
    a_version_where_there_is_no_token_is_a_conflict,
    none_where_there_is_a_token_is_a_conflict,
    an_older_fence_is_superseded,
    an_older_fence_is_superseded_even_with_the_right_version,
    a_higher_fence_with_the_right_version_continues,
    a_higher_fence_with_a_wrong_version_is_a_conflict_and_is_not_recorded,
    the_same_request_again_is_answered_as_the_first,
    the_same_token_under_the_same_fence_is_answered_as_the_first,
    the_same_token_under_a_higher_fence_is_a_conflict,
    the_same_token_with_the_right_version_renews_it,
    a_repetition_does_not_renew_it,
    an_older_request_again_is_a_conflict,
    a_request_whose_token_was_deleted_does_not_bring_it_back,
    a_save_removes_the_ttl_of_the_save_before,
    a_ttl_below_a_second_is_kept_to_the_millisecond,
    any_bytes_are_a_token,
    the_largest_token_is_kept_and_a_larger_one_is_refused,
    a_fence_or_version_that_no_store_gives_out_is_refused,
    one_of_many_standbys_saves,
    streams_do_not_meet,
    two_services_share_a_stream,
    the_fence_of_a_lease_that_was_lost_is_superseded_by_the_next_one,
    it_can_wait_for_the_disk: Fsync,
    it_is_there_when_the_store_is_opened_again: Reopen,
}

async fn a_fence_or_version_that_no_store_gives_out_is_refused(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let tokens = &fixture.state;
    let info = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    for number in [1 << 53, u64::MAX] {
        let (fence, version) = (Fence::new(number), TokenVersion::new(number));
        let refusals = [
            tokens.save(&request(&stream, "2", fence, Some(info.version)), Durability::Accepted).await.map(drop),
            tokens.save(&request(&stream, "2", LATER, Some(version)), Durability::Accepted).await.map(drop),
            tokens.take_over(&stream, fence).await.map(drop),
            tokens.clear(&stream, info.version, Some(fence)).await.map(drop),
            tokens.clear(&stream, version, None).await.map(drop),
        ];
        for refusal in refusals {
            check_matches!(refusal, Err(Error::InvalidArgument { .. }));
        }
    }
    check_eq!(stored(&fixture, &stream).await?, ResumeToken::new(info, Bytes::from_static(b"1")));
    Ok(())
}

async fn the_first_token_expects_none(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let info = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    check_eq!((&info.stream, info.fence, info.bytes), (&stream, EARLIER, 1));
    check_eq!((info.saved, info.until, info.now), (fixture.now(), None, fixture.now()));
    check_eq!(stored(&fixture, &stream).await?, ResumeToken::new(info, Bytes::from_static(b"1")));
    Ok(())
}

async fn a_token_replaces_the_one_of_the_expected_version(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    fixture.advance(secs(1));
    let second = saved(&fixture, &request(&stream, "second", EARLIER, Some(first.version))).await?;
    check_eq!((second.saved, second.bytes), (fixture.now(), 6));
    check_eq!(stored(&fixture, &stream).await?.token, "second");
    Ok(())
}

async fn versions_rise_and_are_not_behind_the_clock(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let (mut expected, mut last) = (None, TokenVersion::new(0));
    for _ in 0..5 {
        let version = saved(&fixture, &request(&stream, "1", EARLIER, expected)).await?.version;
        check!(version > last && version.get() >= fixture.now().as_millis() * 1000, "{version:?} after {last:?}");
        (expected, last) = (Some(version), version);
    }
    check!(fixture.state.clear(&stream, last, Some(EARLIER)).await?.done().is_some());
    let version = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?.version;
    check!(version > last, "{version:?} after {last:?}, which was deleted");
    Ok(())
}

async fn a_wrong_version_is_a_conflict_that_shows_the_current_token(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    saved(&fixture, &request(&stream, "2", EARLIER, Some(first.version))).await?;
    let current = stored(&fixture, &stream).await?;
    let outcome = save(&fixture, &request(&stream, "3", EARLIER, Some(first.version))).await?;
    check_eq!(outcome, TokenOutcome::Conflict(Some(current.clone())));
    check_eq!((stored(&fixture, &stream).await?, current.token.as_ref()), (current.clone(), b"2".as_slice()));
    Ok(())
}

async fn a_version_where_there_is_no_token_is_a_conflict(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let outcome = save(&fixture, &request(&stream, "1", EARLIER, Some(TokenVersion::new(7)))).await?;
    check_eq!((outcome, fixture.state.load(&stream).await?), (TokenOutcome::Conflict(None), None));
    Ok(())
}

async fn none_where_there_is_a_token_is_a_conflict(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    let current = stored(&fixture, &stream).await?;
    check_eq!(save(&fixture, &request(&stream, "2", LATER, None)).await?, TokenOutcome::Conflict(Some(current)));
    Ok(())
}

async fn an_older_fence_is_superseded(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    saved(&fixture, &request(&stream, "2", LATER, Some(first.version))).await?;
    let outcome = save(&fixture, &request(&stream, "late", EARLIER, Some(first.version))).await?;
    check_eq!(outcome, TokenOutcome::Superseded(LATER));
    check_eq!(stored(&fixture, &stream).await?.token, "2");
    Ok(())
}

async fn an_older_fence_is_superseded_even_with_the_right_version(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let current = saved(&fixture, &request(&stream, "1", LATER, None)).await?;
    let outcome = save(&fixture, &request(&stream, "late", EARLIER, Some(current.version))).await?;
    check_eq!(outcome, TokenOutcome::Superseded(LATER));
    check_eq!(stored(&fixture, &stream).await?.token, "1");
    Ok(())
}

async fn a_higher_fence_with_the_right_version_continues(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    let second = saved(&fixture, &request(&stream, "2", LATER, Some(first.version))).await?;
    check_eq!((second.fence, stored(&fixture, &stream).await?.info.fence), (LATER, LATER));
    Ok(())
}

async fn a_higher_fence_with_a_wrong_version_is_a_conflict_and_is_not_recorded(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    check_matches!(save(&fixture, &request(&stream, "2", LATER, None)).await?, TokenOutcome::Conflict(Some(_)));
    saved(&fixture, &request(&stream, "2", EARLIER, Some(first.version))).await?;
    Ok(())
}

async fn the_same_request_again_is_answered_as_the_first(fixture: Fixture) -> Verdict {
    let asked = request(&fixture.stream("stream"), "1", EARLIER, None);
    let first = saved(&fixture, &asked).await?;
    let again = saved(&fixture, &asked).await?;
    check_eq!(again, first);
    Ok(())
}

async fn the_same_token_under_the_same_fence_is_answered_as_the_first(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    let asked = request(&stream, "2", EARLIER, Some(first.version));
    let second = saved(&fixture, &asked).await?;
    // the caller did not get the reply and makes a new request
    let again = saved(&fixture, &request(&stream, "2", EARLIER, Some(first.version))).await?;
    check_eq!(again, second);
    Ok(())
}

async fn the_same_token_under_a_higher_fence_is_a_conflict(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    check_matches!(save(&fixture, &request(&stream, "1", LATER, None)).await?, TokenOutcome::Conflict(Some(_)));
    Ok(())
}

async fn the_same_token_with_the_right_version_renews_it(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None).with_ttl(ttl_ms(60_000))).await?;
    fixture.advance(secs(50));
    let again = request(&stream, "1", EARLIER, Some(first.version)).with_ttl(ttl_ms(60_000));
    let second = saved(&fixture, &again).await?;
    check!(second.version > first.version);
    check_eq!(second.until, Some(fixture.now().after(secs(60))));
    Ok(())
}

async fn a_repetition_does_not_renew_it(fixture: Fixture) -> Verdict {
    let asked = request(&fixture.stream("stream"), "1", EARLIER, None).with_ttl(ttl_ms(60_000));
    let first = saved(&fixture, &asked).await?;
    fixture.advance(secs(50));
    let again = saved(&fixture, &asked).await?;
    check_eq!((again.version, again.saved, again.until), (first.version, first.saved, first.until));
    check_eq!(again.age(), secs(50));
    Ok(())
}

async fn an_older_request_again_is_a_conflict(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let asked = request(&stream, "1", EARLIER, None);
    let first = saved(&fixture, &asked).await?;
    saved(&fixture, &request(&stream, "2", EARLIER, Some(first.version))).await?;
    check_matches!(save(&fixture, &asked).await?, TokenOutcome::Conflict(Some(current)) if current.token == "2");
    check_eq!(stored(&fixture, &stream).await?.token, "2");
    Ok(())
}

async fn a_request_whose_token_was_deleted_does_not_bring_it_back(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let asked = request(&stream, "1", EARLIER, None);
    let first = saved(&fixture, &asked).await?;
    check!(fixture.state.clear(&stream, first.version, None).await?.done().is_some());
    check_eq!(save(&fixture, &asked).await?, TokenOutcome::Conflict(None));
    check_eq!(fixture.state.load(&stream).await?, None);
    Ok(())
}

async fn a_save_removes_the_ttl_of_the_save_before(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None).with_ttl(ttl_ms(1000))).await?;
    let second = saved(&fixture, &request(&stream, "2", EARLIER, Some(first.version))).await?;
    check_eq!(second.until, None);
    fixture.advance(secs(400 * 86400));
    check!(!stored(&fixture, &stream).await?.info.is_expired());
    Ok(())
}

async fn a_ttl_below_a_second_is_kept_to_the_millisecond(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    saved(&fixture, &request(&stream, "1", EARLIER, None).with_ttl(ttl_ms(1))).await?;
    check_eq!(stored(&fixture, &stream).await?.info.left(), Some(ms(1)));
    fixture.advance(ms(1));
    check!(stored(&fixture, &stream).await?.info.is_expired());
    Ok(())
}

async fn any_bytes_are_a_token(fixture: Fixture) -> Verdict {
    let every: Vec<u8> = (0..=255).collect();
    for (name, bytes) in [("empty", Vec::new()), ("every", every), ("digits", vec![b'7'; 200])] {
        let stream = fixture.stream(name);
        let asked = SaveRequest::new(stream.clone(), bytes.clone(), EARLIER, None);
        saved(&fixture, &asked).await?;
        let token = stored(&fixture, &stream).await?;
        check_eq!((token.token.as_ref(), token.info.bytes), (bytes.as_slice(), bytes.len() as u64));
    }
    Ok(())
}

async fn the_largest_token_is_kept_and_a_larger_one_is_refused(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let largest = Bytes::from(vec![b'x'; ResumeToken::MAX_BYTES]);
    let first = saved(&fixture, &SaveRequest::new(stream.clone(), largest.clone(), EARLIER, None)).await?;
    let larger = vec![b'y'; ResumeToken::MAX_BYTES + 1];
    let refused = save(&fixture, &SaveRequest::new(stream.clone(), larger, EARLIER, Some(first.version))).await;
    check_matches!(&refused, Err(error @ Error::InvalidArgument { .. }) if error.to_string().contains("at most 65536"));
    check_eq!(stored(&fixture, &stream).await?.token, largest);
    Ok(())
}

async fn one_of_many_standbys_saves(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "0", EARLIER, None)).await?;
    let mut saving = tokio::task::JoinSet::new();
    for number in 0..20 {
        let asked = request(&stream, &format!("of {number}"), LATER, Some(first.version));
        let state = Arc::clone(&fixture.state);
        saving.spawn(async move { (asked.token.clone(), state.save(&asked, Durability::Accepted).await) });
    }
    let (mut accepted, mut conflicts) = (Vec::new(), Vec::new());
    while let Some(answer) = saving.join_next().await {
        let (token, outcome) = answer?;
        match outcome?.value {
            TokenOutcome::Done(_) => accepted.push(token),
            TokenOutcome::Conflict(Some(current)) => conflicts.push(current.token),
            other => return Err(BrokenPromise::new(format!("{other:?}"))),
        }
    }
    check_eq!((accepted.len(), conflicts.len()), (1, 19));
    let current = stored(&fixture, &stream).await?.token;
    check!(accepted[0] == current && conflicts.iter().all(|token| *token == current));
    Ok(())
}

async fn streams_do_not_meet(fixture: Fixture) -> Verdict {
    let (one, two) = (fixture.stream("one"), fixture.stream("one-2"));
    saved(&fixture, &request(&one, "1", LATER, None)).await?;
    saved(&fixture, &request(&two, "2", EARLIER, None)).await?;
    check_eq!((stored(&fixture, &one).await?.token, stored(&fixture, &two).await?.token), ("1".into(), "2".into()));
    Ok(())
}

async fn two_services_share_a_stream(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    for store in [&fixture.other_state, &fixture.shared_state] {
        check_eq!(store.load(&stream).await?.map(|token| token.token), Some("1".into()));
    }
    let second = request(&stream, "2", LATER, Some(first.version));
    check!(fixture.other_state.save(&second, Durability::Accepted).await?.value.done().is_some());
    check_eq!(stored(&fixture, &stream).await?.token, "2");
    Ok(())
}

async fn the_fence_of_a_lease_that_was_lost_is_superseded_by_the_next_one(fixture: Fixture) -> Verdict {
    let (stream, name) = (fixture.stream("stream"), fixture.lease("lease"));
    let mut fences = Vec::new();
    for who in ["one", "two"] {
        let asked = AcquireRequest::new(name.clone(), holder(who), secs(10));
        let Acquired::Yes(lease) = fixture.state.acquire(&asked, Durability::Accepted).await?.value else {
            return Err(BrokenPromise::new("the lease is not free"));
        };
        fences.push(lease.fence);
        fixture.advance(secs(10)); // it expires, and its holder does not notice
    }
    let first = saved(&fixture, &request(&stream, "of the first", fences[0], None)).await?;
    let second = saved(&fixture, &request(&stream, "of the second", fences[1], Some(first.version))).await?;
    let late = save(&fixture, &request(&stream, "late", fences[0], Some(second.version))).await?;
    check_eq!(late, TokenOutcome::Superseded(fences[1]));
    Ok(())
}

async fn it_can_wait_for_the_disk(fixture: Fixture) -> Verdict {
    let asked = request(&fixture.stream("stream"), "1", EARLIER, None);
    for _ in 0..2 {
        let receipt = fixture.state.save(&asked, Durability::Fsynced { within: secs(10) }).await?;
        check!(receipt.reached.on_disk);
    }
    Ok(())
}

async fn it_is_there_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", LATER, None)).await?;
    let fixture = fixture.reopen().await?;
    check_eq!(stored(&fixture, &stream).await?.token, "1");
    let late = save(&fixture, &request(&stream, "late", EARLIER, Some(first.version))).await?;
    check_eq!(late, TokenOutcome::Superseded(LATER));
    saved(&fixture, &request(&stream, "2", LATER, Some(first.version))).await?;
    Ok(())
}
