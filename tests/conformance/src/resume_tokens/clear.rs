//! Deleting resume tokens.

use store_core::{Op, TokenOutcome, TokenVersion};

use super::{EARLIER, LATER, request, save, saved, stored};
use crate::case::cases;
use crate::fixture::{Fixture, secs, ttl_ms};
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::ResumeTokenClear;
    a_holder_deletes_its_token,
    a_stale_instance_does_not_delete,
    a_stale_instance_does_not_save_after_a_deletion,
    an_operator_deletes_without_a_fence,
    another_version_is_a_conflict,
    an_unknown_stream_is_a_conflict,
    a_deleted_version_is_deleted_again,
    a_deletion_does_not_touch_a_later_token,
    an_expired_token_is_deleted,
}

async fn a_holder_deletes_its_token(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    check_eq!(fixture.state.clear(&stream, first.version, Some(EARLIER)).await?, TokenOutcome::Done(()));
    check_eq!(fixture.state.load(&stream).await?, None);
    saved(&fixture, &request(&stream, "from the beginning", EARLIER, None)).await?;
    Ok(())
}

async fn a_stale_instance_does_not_delete(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", LATER, None)).await?;
    let outcome = fixture.state.clear(&stream, first.version, Some(EARLIER)).await?;
    check_eq!((outcome, stored(&fixture, &stream).await?.token), (TokenOutcome::Superseded(LATER), "1".into()));
    Ok(())
}

async fn a_stale_instance_does_not_save_after_a_deletion(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    check_eq!(fixture.state.clear(&stream, first.version, Some(LATER)).await?, TokenOutcome::Done(()));
    fixture.advance(secs(29 * 86400));
    let late = save(&fixture, &request(&stream, "late", EARLIER, None)).await?;
    check_eq!((late, fixture.state.load(&stream).await?), (TokenOutcome::Superseded(LATER), None));
    Ok(())
}

async fn an_operator_deletes_without_a_fence(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", LATER, None)).await?;
    check_eq!(fixture.state.clear(&stream, first.version, None).await?, TokenOutcome::Done(()));
    // the holder notices with its next save
    let next = save(&fixture, &request(&stream, "2", LATER, Some(first.version))).await?;
    check_eq!((next, fixture.state.load(&stream).await?), (TokenOutcome::Conflict(None), None));
    // the fence is still known
    let late = save(&fixture, &request(&stream, "late", EARLIER, None)).await?;
    check_eq!(late, TokenOutcome::Superseded(LATER));
    Ok(())
}

async fn another_version_is_a_conflict(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    saved(&fixture, &request(&stream, "2", EARLIER, Some(first.version))).await?;
    for fence in [Some(EARLIER), Some(LATER), None] {
        let outcome = fixture.state.clear(&stream, first.version, fence).await?;
        check_matches!(outcome, TokenOutcome::Conflict(Some(current)) if current.token == "2");
    }
    Ok(())
}

async fn an_unknown_stream_is_a_conflict(fixture: Fixture) -> Verdict {
    let outcome = fixture.state.clear(&fixture.stream("unknown"), TokenVersion::new(7), None).await?;
    check_eq!(outcome, TokenOutcome::Conflict(None));
    Ok(())
}

async fn a_deleted_version_is_deleted_again(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    for _ in 0..2 {
        check_eq!(fixture.state.clear(&stream, first.version, Some(EARLIER)).await?, TokenOutcome::Done(()));
    }
    Ok(())
}

async fn a_deletion_does_not_touch_a_later_token(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None)).await?;
    check_eq!(fixture.state.clear(&stream, first.version, None).await?, TokenOutcome::Done(()));
    saved(&fixture, &request(&stream, "2", EARLIER, None)).await?;
    let again = fixture.state.clear(&stream, first.version, None).await?;
    check_matches!(again, TokenOutcome::Conflict(Some(current)) if current.token == "2");
    check_eq!(stored(&fixture, &stream).await?.token, "2");
    Ok(())
}

async fn an_expired_token_is_deleted(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let first = saved(&fixture, &request(&stream, "1", EARLIER, None).with_ttl(ttl_ms(1000))).await?;
    fixture.advance(secs(1));
    check_eq!(fixture.state.clear(&stream, first.version, None).await?, TokenOutcome::Done(()));
    check_eq!(fixture.state.load(&stream).await?, None);
    Ok(())
}
