//! Abandoning idempotent requests.

use bytes::Bytes;
use store_core::{Begun, Op};

use super::{KEEP, WORKING, attempt};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::IdempotencyAbandon;
    a_request_gives_its_key_back,
    a_key_of_another_request_stays,
    a_finished_request_stays,
    an_unknown_key_was_nobodys,
}

async fn a_request_gives_its_key_back(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        check!(store.abandon(&one).await?);
        check_eq!(store.begin(&attempt(&one.key, 1), WORKING).await?, Begun::Started);
    }
    Ok(())
}

async fn a_key_of_another_request_stays(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        fixture.advance(secs(10));
        let two = attempt(&one.key, 1);
        store.begin(&two, WORKING).await?;
        check!(!store.abandon(&one).await?);
        check_matches!(store.begin(&one, WORKING).await?, Begun::InProgress { .. });
    }
    Ok(())
}

async fn a_finished_request_stays(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        let one = attempt(&fixture.key("key"), 1);
        store.begin(&one, WORKING).await?;
        store.finish(&one, &Bytes::from("response"), KEEP).await?;
        check!(!store.abandon(&one).await?);
        check_eq!(store.begin(&one, WORKING).await?, Begun::Finished(Bytes::from("response")));
    }
    Ok(())
}

async fn an_unknown_key_was_nobodys(fixture: Fixture) -> Verdict {
    for store in fixture.idempotency() {
        check!(!store.abandon(&attempt(&fixture.key("key"), 1)).await?);
    }
    Ok(())
}
