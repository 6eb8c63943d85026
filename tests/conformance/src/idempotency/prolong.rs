//! Keeping requests in progress.

use bytes::Bytes;
use store_core::{Begun, Finished, Op};

use super::{KEEP, WORKING, attempt};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs, ttl_ms};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::IdempotencyProlong;
    a_prolonged_request_is_in_progress_from_then_on,
    a_prolonged_request_is_finished_as_any_other,
    a_request_may_be_prolonged_for_less,
    a_request_whose_time_is_over_is_not_prolonged,
    a_request_of_another_attempt_is_not_prolonged,
    a_finished_request_is_not_prolonged,
    an_abandoned_request_is_not_prolonged,
}

async fn a_prolonged_request_is_in_progress_from_then_on(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let (one, since) = (attempt(&fixture.key("key"), 1), fixture.now());
        store.begin(&one, WORKING).await?;
        for _ in 0..3 {
            fixture.advance(secs(10) - ms(1));
            check!(store.prolong(&one, WORKING).await?);
        }
        fixture.advance(secs(10) - ms(1));
        let told = store.begin(&attempt(&one.key, 1), WORKING).await?;
        check_eq!(told, Begun::InProgress { since, retry_after: ms(1) });
        check_eq!(store.begin(&one, WORKING).await?, Begun::Started);
        check_eq!(store.begin(&attempt(&one.key, 2), WORKING).await?, Begun::Mismatch);
        fixture.advance(ms(1));
        check_eq!(store.begin(&attempt(&one.key, 2), WORKING).await?, Begun::Started);
    }
    Ok(())
}

async fn a_prolonged_request_is_finished_as_any_other(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        fixture.advance(secs(9));
        check!(store.prolong(&one, WORKING).await?);
        fixture.advance(secs(9));
        check_eq!(store.finish(&one, &Bytes::from("response"), KEEP).await?, Finished::Stored);
        check_eq!(store.begin(&attempt(&one.key, 1), WORKING).await?, Begun::Finished(Bytes::from("response")));
    }
    Ok(())
}

async fn a_request_may_be_prolonged_for_less(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        check!(store.prolong(&one, ttl_ms(5)).await?);
        fixture.advance(ms(5));
        check_eq!(store.begin(&attempt(&one.key, 1), WORKING).await?, Begun::Started);
    }
    Ok(())
}

async fn a_request_whose_time_is_over_is_not_prolonged(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        check!(!store.prolong(&one, WORKING).await?, "nobody has begun it");
        store.begin(&one, WORKING).await?;
        fixture.advance(secs(10));
        check!(!store.prolong(&one, WORKING).await?);
        check_eq!(store.begin(&attempt(&one.key, 2), WORKING).await?, Begun::Started);
    }
    Ok(())
}

async fn a_request_of_another_attempt_is_not_prolonged(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let (one, since) = (attempt(&fixture.key("key"), 1), fixture.now());
        store.begin(&one, WORKING).await?;
        let two = attempt(&one.key, 1);
        check!(!store.prolong(&two, KEEP).await?);
        check_eq!(store.begin(&two, WORKING).await?, Begun::InProgress { since, retry_after: secs(10) });
        fixture.advance(secs(10));
        store.begin(&two, WORKING).await?;
        check!(!store.prolong(&one, KEEP).await?);
        check!(store.prolong(&two, KEEP).await?);
    }
    Ok(())
}

async fn a_finished_request_is_not_prolonged(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        store.finish(&one, &Bytes::from("response"), KEEP).await?;
        check!(!store.prolong(&one, ttl_ms(1)).await?);
        fixture.advance(secs(60) - ms(1));
        check_eq!(store.begin(&one, WORKING).await?, Begun::Finished(Bytes::from("response")));
    }
    Ok(())
}

async fn an_abandoned_request_is_not_prolonged(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        store.abandon(&one).await?;
        check!(!store.prolong(&one, WORKING).await?);
        check_eq!(store.begin(&attempt(&one.key, 2), WORKING).await?, Begun::Started);
    }
    Ok(())
}
