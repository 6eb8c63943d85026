//! Reading resume tokens.

use store_core::Op;

use super::{EARLIER, request, save, saved, stored};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs, ttl_ms};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::ResumeTokenLoad;
    an_unknown_stream_has_no_token,
    it_shows_the_age_and_what_is_left,
    a_read_does_not_renew_the_ttl,
    a_token_expires_at_its_very_end_and_is_still_returned,
    a_refused_save_does_not_change_it,
}

async fn an_unknown_stream_has_no_token(fixture: Fixture) -> Verdict {
    check_eq!(fixture.state.load(&fixture.stream("unknown")).await?, None);
    Ok(())
}

async fn it_shows_the_age_and_what_is_left(fixture: Fixture) -> Verdict {
    let (lasting, endless) = (fixture.stream("lasting"), fixture.stream("endless"));
    saved(&fixture, &request(&lasting, "1", EARLIER, None).with_ttl(ttl_ms(60_000))).await?;
    saved(&fixture, &request(&endless, "1", EARLIER, None)).await?;
    fixture.advance(secs(20));
    let info = stored(&fixture, &lasting).await?.info;
    check_eq!((info.age(), info.left(), info.is_expired()), (secs(20), Some(secs(40)), false));
    let info = stored(&fixture, &endless).await?.info;
    check_eq!((info.age(), info.left(), info.is_expired()), (secs(20), None, false));
    Ok(())
}

async fn a_read_does_not_renew_the_ttl(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None).with_ttl(ttl_ms(60_000))).await?;
    for _ in 0..3 {
        fixture.advance(secs(20));
        check_eq!(stored(&fixture, &stream).await?.info.until, first.until);
    }
    check!(stored(&fixture, &stream).await?.info.is_expired());
    Ok(())
}

async fn a_token_expires_at_its_very_end_and_is_still_returned(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    saved(&fixture, &request(&stream, "1", EARLIER, None).with_ttl(ttl_ms(1000))).await?;
    fixture.advance(ms(999));
    check!(!stored(&fixture, &stream).await?.info.is_expired());
    fixture.advance(ms(1));
    let token = stored(&fixture, &stream).await?;
    check_eq!((token.info.is_expired(), token.info.left(), token.token), (true, Some(ms(0)), "1".into()));
    Ok(())
}

async fn a_refused_save_does_not_change_it(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    saved(&fixture, &request(&stream, "1", EARLIER, None).with_ttl(ttl_ms(60_000))).await?;
    let before = stored(&fixture, &stream).await?;
    let outcome = save(&fixture, &request(&stream, "2", EARLIER, None)).await?;
    check_eq!((outcome.done(), stored(&fixture, &stream).await?), (None, before));
    Ok(())
}
