//! Resuming a stream under a fence.

use store_core::{Op, TokenOutcome};

use super::{EARLIER, LATER, request, save, saved, stored};
use crate::case::cases;
use crate::fixture::{Fixture, secs, ttl_ms};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::ResumeTokenTakeOver;
    a_stream_without_a_token_has_none,
    the_token_is_returned_under_the_new_fence,
    from_then_on_no_earlier_holder_saves,
    an_earlier_holder_does_not_save_the_first_token,
    an_earlier_holder_is_superseded,
    the_same_holder_resumes_again,
    the_token_and_its_times_stay,
    an_expired_token_is_returned_and_marked,
    the_fence_is_kept_when_the_store_is_opened_again: Reopen,
}

async fn a_stream_without_a_token_has_none(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    check_eq!(fixture.state.take_over(&stream, EARLIER).await?, TokenOutcome::Done(None));
    check_eq!(fixture.state.load(&stream).await?, None);
    saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    Ok(())
}

async fn the_token_is_returned_under_the_new_fence(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    let mut token = stored(&fixture, &stream).await?;
    token.info.fence = LATER;
    check_eq!(fixture.state.take_over(&stream, LATER).await?, TokenOutcome::Done(Some(token.clone())));
    check_eq!(stored(&fixture, &stream).await?, token);
    Ok(())
}

async fn from_then_on_no_earlier_holder_saves(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    check!(fixture.state.take_over(&stream, LATER).await?.done().is_some());
    let late = save(&fixture, &request(&stream, "late", EARLIER, Some(first.version))).await?;
    check_eq!(late, TokenOutcome::Superseded(LATER));
    saved(&fixture, &request(&stream, "2", LATER, Some(first.version))).await?;
    Ok(())
}

async fn an_earlier_holder_does_not_save_the_first_token(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    check_eq!(fixture.state.take_over(&stream, LATER).await?, TokenOutcome::Done(None));
    let late = save(&fixture, &request(&stream, "late", EARLIER, None)).await?;
    check_eq!((late, fixture.state.load(&stream).await?), (TokenOutcome::Superseded(LATER), None));
    Ok(())
}

async fn an_earlier_holder_is_superseded(fixture: Fixture) -> Verdict {
    for name in ["with a token", "without"] {
        let stream = fixture.stream(name);
        if name == "with a token" {
            saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
        }
        check!(fixture.state.take_over(&stream, LATER).await?.done().is_some());
        check_eq!(fixture.state.take_over(&stream, EARLIER).await?, TokenOutcome::Superseded(LATER));
    }
    Ok(())
}

async fn the_same_holder_resumes_again(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    for _ in 0..2 {
        check_eq!(fixture.state.take_over(&stream, EARLIER).await?, TokenOutcome::Done(None));
    }
    saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    let token = Some(stored(&fixture, &stream).await?);
    for _ in 0..2 {
        check_eq!(fixture.state.take_over(&stream, EARLIER).await?, TokenOutcome::Done(token.clone()));
    }
    Ok(())
}

async fn the_token_and_its_times_stay(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None).with_ttl(ttl_ms(60_000))).await?;
    fixture.advance(secs(50));
    let resumed = fixture.state.take_over(&stream, LATER).await?.done().flatten().map(|token| token.info);
    let shown = resumed.map(|info| (info.version, info.saved, info.until));
    check_eq!(shown, Some((first.version, first.saved, first.until)));
    Ok(())
}

async fn an_expired_token_is_returned_and_marked(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None).with_ttl(ttl_ms(1000))).await?;
    fixture.advance(secs(29 * 86400));
    let token = fixture.state.take_over(&stream, LATER).await?.done().flatten();
    check_eq!(token.map(|token| (token.info.is_expired(), token.token)), Some((true, "1".into())));
    saved(&fixture, &request(&stream, "2", LATER, Some(first.version))).await?;
    Ok(())
}

async fn the_fence_is_kept_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    check!(fixture.state.take_over(&stream, LATER).await?.done().is_some());
    let fixture = fixture.reopen().await?;
    let late = save(&fixture, &request(&stream, "late", EARLIER, None)).await?;
    check_eq!(late, TokenOutcome::Superseded(LATER));
    Ok(())
}
