//! Listing resume tokens.

use std::collections::BTreeMap;
use std::time::Duration;

use store_core::{Cursor, Op, ResumeTokenInfo, StreamName};

use super::{EARLIER, LATER, request, saved, stored};
use crate::case::cases;
use crate::fixture::{Fixture, secs, ttl_ms};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::ResumeTokenTokens;
    each_token_is_listed_with_its_times_and_size,
    a_deleted_token_and_a_stream_that_was_only_resumed_are_not_listed,
    those_that_expire_soon_and_expired_ones_are_found,
    tokens_of_all_services_are_listed,
    many_tokens_are_listed_in_pages,
    a_foreign_cursor_is_refused,
}

/// How many streams take more than one step to list.
const MANY: usize = 1100;

/// All tokens of the listing.
async fn listed(
    fixture: &Fixture,
    within: Option<Duration>,
) -> Result<BTreeMap<StreamName, ResumeTokenInfo>, BrokenPromise> {
    let (mut found, mut after) = (BTreeMap::new(), None);
    for _ in 0..100_000 {
        let page = fixture.state.tokens(within, after).await?;
        found.extend(page.items.into_iter().map(|info| (info.stream.clone(), info)));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
    Err(BrokenPromise::new("the listing has no end"))
}

async fn each_token_is_listed_with_its_times_and_size(fixture: Fixture) -> Verdict {
    let (lasting, endless) = (fixture.stream("lasting"), fixture.stream("endless *$ 1"));
    saved(&fixture, &request(&lasting, "seven", EARLIER, None).with_ttl(ttl_ms(60_000))).await?;
    saved(&fixture, &request(&endless, "", LATER, None)).await?;
    fixture.advance(secs(20));
    let found = listed(&fixture, None).await?;
    for stream in [&lasting, &endless] {
        check_eq!(found.get(stream), Some(&stored(&fixture, stream).await?.info));
    }
    check_eq!(found.get(&lasting).map(|info| (info.bytes, info.left())), Some((5, Some(secs(40)))));
    Ok(())
}

async fn a_deleted_token_and_a_stream_that_was_only_resumed_are_not_listed(fixture: Fixture) -> Verdict {
    let (deleted, resumed) = (fixture.stream("deleted"), fixture.stream("resumed"));
    let first = saved(&fixture, &request(&deleted, "1", EARLIER, None)).await?;
    check!(fixture.state.clear(&deleted, first.version, None).await?.done().is_some());
    check!(fixture.state.take_over(&resumed, EARLIER).await?.done().is_some());
    let found = listed(&fixture, None).await?;
    check!(!found.contains_key(&deleted) && !found.contains_key(&resumed), "{found:?}");
    Ok(())
}

async fn those_that_expire_soon_and_expired_ones_are_found(fixture: Fixture) -> Verdict {
    let streams = ["expired", "soon", "later", "endless"].map(|name| fixture.stream(name));
    for (stream, ttl) in streams.iter().zip([10_000, 60_000, 60_001, 0]) {
        let mut asked = request(stream, "1", EARLIER, None);
        asked.ttl = (ttl > 0).then(|| ttl_ms(ttl));
        saved(&fixture, &asked).await?;
    }
    fixture.advance(secs(20));
    let found = listed(&fixture, Some(secs(40))).await?;
    let marks = streams.map(|stream| found.get(&stream).map(ResumeTokenInfo::is_expired));
    check_eq!(marks, [Some(true), Some(false), None, None]);
    Ok(())
}

async fn tokens_of_all_services_are_listed(fixture: Fixture) -> Verdict {
    let stream = fixture.stream("stream");
    let asked = request(&stream, "1", EARLIER, None);
    check!(fixture.other_state.save(&asked, Default::default()).await?.value.done().is_some());
    check!(listed(&fixture, None).await?.contains_key(&stream));
    Ok(())
}

async fn many_tokens_are_listed_in_pages(fixture: Fixture) -> Verdict {
    let streams: Vec<_> = (0..MANY).map(|number| fixture.stream(&format!("stream-{number}"))).collect();
    let mut saving = tokio::task::JoinSet::new();
    for stream in streams.clone() {
        let state = std::sync::Arc::clone(&fixture.state);
        saving.spawn(async move { state.save(&request(&stream, "1", EARLIER, None), Default::default()).await });
    }
    while let Some(answer) = saving.join_next().await {
        check!(answer??.value.done().is_some());
    }
    let found = listed(&fixture, None).await?;
    let missing = streams.iter().filter(|stream| !found.contains_key(*stream)).count();
    check_eq!(missing, 0);
    Ok(())
}

async fn a_foreign_cursor_is_refused(fixture: Fixture) -> Verdict {
    for text in ["", "-", "dead.17.61"] {
        check!(fixture.state.tokens(None, Some(Cursor::new(text))).await.is_err(), "{text:?} was accepted");
    }
    Ok(())
}
