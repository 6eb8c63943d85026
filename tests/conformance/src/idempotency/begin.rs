//! Beginning idempotent requests.

use bytes::Bytes;
use store_core::{Begun, Op};

use super::{KEEP, WORKING, attempt};
use crate::case::cases;
use crate::fixture::{Fixture, look_again, ms, secs, ttl_ms};
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::IdempotencyBegin;
    the_first_request_is_started,
    the_same_request_again_is_started_again,
    another_attempt_is_told_that_it_is_in_progress,
    another_content_is_a_mismatch_while_it_is_in_progress,
    another_content_is_a_mismatch_when_it_is_finished,
    a_finished_request_answers_with_its_response,
    the_key_of_a_crashed_owner_is_free_in_time,
    keys_are_free_by_the_clock_of_the_store,
    a_key_is_free_for_another_content_when_it_is_over,
    a_finished_key_is_free_when_its_response_is_no_longer_kept,
    an_abandoned_key_is_free,
    keys_do_not_meet,
    one_of_many_is_started,
    any_text_is_a_key,
}

async fn the_first_request_is_started(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        check_eq!(store.begin(&attempt(&fixture.key("key"), 1), WORKING).await?, Begun::Started);
    }
    Ok(())
}

async fn the_same_request_again_is_started_again(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let (since, one) = (fixture.now(), attempt(&fixture.key("key"), 1));
        check_eq!(store.begin(&one, WORKING).await?, Begun::Started);
        fixture.advance(secs(4));
        check_eq!(store.begin(&one, WORKING).await?, Begun::Started);
        let told = store.begin(&attempt(&one.key, 1), WORKING).await?;
        check_eq!(told, Begun::InProgress { since, retry_after: secs(6) });
    }
    Ok(())
}

async fn another_attempt_is_told_that_it_is_in_progress(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let (since, key) = (fixture.now(), fixture.key("key"));
        store.begin(&attempt(&key, 1), WORKING).await?;
        fixture.advance(secs(10) - ms(1));
        let told = store.begin(&attempt(&key, 1), KEEP).await?;
        check_eq!(told, Begun::InProgress { since, retry_after: ms(1) });
    }
    Ok(())
}

async fn another_content_is_a_mismatch_while_it_is_in_progress(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        check_eq!(store.begin(&attempt(&one.key, 2), WORKING).await?, Begun::Mismatch);
        check_eq!(store.begin(&attempt(&one.key, 2).with_request(one.request), WORKING).await?, Begun::Mismatch);
    }
    Ok(())
}

async fn another_content_is_a_mismatch_when_it_is_finished(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        store.finish(&one, &Bytes::from("response"), KEEP).await?;
        check_eq!(store.begin(&attempt(&one.key, 2), WORKING).await?, Begun::Mismatch);
    }
    Ok(())
}

async fn a_finished_request_answers_with_its_response(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        store.finish(&one, &Bytes::from("response"), KEEP).await?;
        fixture.advance(secs(60) - ms(1));
        for request in [&attempt(&one.key, 1), &one] {
            check_eq!(store.begin(request, WORKING).await?, Begun::Finished(Bytes::from("response")));
        }
    }
    Ok(())
}

async fn the_key_of_a_crashed_owner_is_free_in_time(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let key = fixture.key("key");
        store.begin(&attempt(&key, 1), WORKING).await?;
        fixture.advance(secs(10));
        check_eq!(store.begin(&attempt(&key, 1), WORKING).await?, Begun::Started);
    }
    Ok(())
}

async fn a_key_is_free_for_another_content_when_it_is_over(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let key = fixture.key("key");
        store.begin(&attempt(&key, 1), WORKING).await?;
        fixture.advance(secs(10));
        check_eq!(store.begin(&attempt(&key, 2), WORKING).await?, Begun::Started);
        check_eq!(store.begin(&attempt(&key, 1), WORKING).await?, Begun::Mismatch);
    }
    Ok(())
}

async fn a_finished_key_is_free_when_its_response_is_no_longer_kept(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        store.finish(&one, &Bytes::from("response"), KEEP).await?;
        fixture.advance(secs(60));
        check_eq!(store.begin(&attempt(&one.key, 2), WORKING).await?, Begun::Started);
    }
    Ok(())
}

async fn an_abandoned_key_is_free(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        store.abandon(&one).await?;
        check_eq!(store.begin(&attempt(&one.key, 2), WORKING).await?, Begun::Started);
    }
    Ok(())
}

async fn keys_do_not_meet(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        for key in ["key", "key:1", "key:2", "Key"] {
            check_eq!(store.begin(&attempt(&fixture.key(key), 1), WORKING).await?, Begun::Started);
        }
    }
    Ok(())
}

async fn one_of_many_is_started(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let mut attempts = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (store, request) = (std::sync::Arc::clone(&store), attempt(&fixture.key("key"), 1));
            attempts.spawn(async move { store.begin(&request, WORKING).await });
        }
        let mut started = 0;
        while let Some(begun) = attempts.join_next().await {
            started += usize::from(begun?? == Begun::Started);
        }
        check_eq!(started, 1);
    }
    Ok(())
}

async fn any_text_is_a_key(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let longest = "x".repeat(512 - fixture.text("").len());
        for key in ["größe / 42 ✓", "a b*?[c]:\"d\"", &longest] {
            let request = attempt(&fixture.key(key), 1);
            check_eq!(store.begin(&request, WORKING).await?, Begun::Started);
            store.finish(&request, &Bytes::from("response"), KEEP).await?;
            check_eq!(store.begin(&request, WORKING).await?, Begun::Finished(Bytes::from("response")));
        }
    }
    Ok(())
}

async fn keys_are_free_by_the_clock_of_the_store(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    for store in fixture.idempotency() {
        let (crashed, finished) = (fixture.key("crashed"), attempt(&fixture.key("finished"), 1));
        store.begin(&attempt(&crashed, 1), ttl_ms(30)).await?;
        store.begin(&finished, WORKING).await?;
        store.finish(&finished, &Bytes::from("response"), ttl_ms(30)).await?;
        for key in [&crashed, &finished.key] {
            while store.begin(&attempt(key, 2), KEEP).await? != Begun::Started {
                look_again().await;
            }
            let told = store.begin(&attempt(key, 2), KEEP).await?;
            check_matches!(told, Begun::InProgress { retry_after, .. } if *retry_after <= secs(60) + ms(1));
        }
    }
    Ok(())
}
