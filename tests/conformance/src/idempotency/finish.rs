//! Keeping the responses of idempotent requests.

use bytes::Bytes;
use store_core::{Begun, Error, Finished, IdempotentRequest, Op};

use super::{KEEP, WORKING, attempt};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::IdempotencyFinish;
    the_response_is_kept,
    finishing_twice_keeps_the_first_response,
    a_request_that_took_too_long_is_kept_if_nobody_took_the_key,
    a_request_that_took_too_long_is_lost_if_somebody_took_the_key,
    a_request_that_took_too_long_is_lost_if_somebody_finished,
    a_request_that_was_never_begun_is_kept,
    any_bytes_are_a_response,
    a_response_above_its_bound_is_refused,
}

async fn the_response_is_kept(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        check_eq!(store.finish(&one, &Bytes::from("response"), KEEP).await?, Finished::Stored);
        let told = store.begin(&attempt(&one.key, 1), WORKING).await?;
        check_eq!(told, Begun::Finished(Bytes::from("response")));
    }
    Ok(())
}

async fn finishing_twice_keeps_the_first_response(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        for response in ["first", "second"] {
            check_eq!(store.finish(&one, &Bytes::from(response), KEEP).await?, Finished::Stored);
        }
        check_eq!(store.begin(&one, WORKING).await?, Begun::Finished(Bytes::from("first")));
    }
    Ok(())
}

async fn a_request_that_took_too_long_is_kept_if_nobody_took_the_key(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        fixture.advance(secs(20));
        check_eq!(store.finish(&one, &Bytes::from("late"), KEEP).await?, Finished::Stored);
        check_eq!(store.begin(&attempt(&one.key, 1), WORKING).await?, Begun::Finished(Bytes::from("late")));
    }
    Ok(())
}

async fn a_request_that_took_too_long_is_lost_if_somebody_took_the_key(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        fixture.advance(secs(10));
        let two = attempt(&one.key, 1);
        store.begin(&two, WORKING).await?;
        check_eq!(store.finish(&one, &Bytes::from("late"), KEEP).await?, Finished::Lost);
        check_eq!(store.finish(&two, &Bytes::from("right"), KEEP).await?, Finished::Stored);
        check_eq!(store.begin(&one, WORKING).await?, Begun::Finished(Bytes::from("right")));
    }
    Ok(())
}

async fn a_request_that_took_too_long_is_lost_if_somebody_finished(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        fixture.advance(secs(10));
        let two = attempt(&one.key, 1);
        store.begin(&two, WORKING).await?;
        store.finish(&two, &Bytes::from("right"), KEEP).await?;
        check_eq!(store.finish(&one, &Bytes::from("late"), KEEP).await?, Finished::Lost);
        check_eq!(store.begin(&one, WORKING).await?, Begun::Finished(Bytes::from("right")));
    }
    Ok(())
}

async fn a_request_that_was_never_begun_is_kept(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        check_eq!(store.finish(&one, &Bytes::from("response"), KEEP).await?, Finished::Stored);
        check_eq!(store.begin(&attempt(&one.key, 1), WORKING).await?, Begun::Finished(Bytes::from("response")));
    }
    Ok(())
}

async fn any_bytes_are_a_response(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let responses: [Vec<u8>; 3] = [Vec::new(), (0..=255).collect(), vec![7; IdempotentRequest::MAX_RESPONSE_BYTES]];
        for (number, response) in responses.into_iter().map(Bytes::from).enumerate() {
            let one = attempt(&fixture.key(&number.to_string()), 1);
            store.begin(&one, WORKING).await?;
            store.finish(&one, &response, KEEP).await?;
            check!(store.begin(&one, WORKING).await? == Begun::Finished(response), "another response came back");
        }
    }
    Ok(())
}

async fn a_response_above_its_bound_is_refused(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        let too_large = Bytes::from(vec![0; IdempotentRequest::MAX_RESPONSE_BYTES + 1]);
        let refused = store.finish(&one, &too_large, KEEP).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::IdempotencyFinish, .. }));
        check_matches!(store.begin(&attempt(&one.key, 1), WORKING).await?, Begun::InProgress { .. });
    }
    Ok(())
}
