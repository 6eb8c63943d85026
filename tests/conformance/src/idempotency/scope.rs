//! The scope of an idempotency key: one service, or all services.

use std::sync::Arc;

use bytes::Bytes;
use store_core::{Begun, Finished, Idempotency, Op};

use super::{KEEP, WORKING, attempt};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::IdempotencyBegin;
    a_service_gets_no_response_of_another,
    a_service_neither_finishes_nor_abandons_what_another_began,
    a_shared_request_is_finished_for_all_services,
}

/// The stores of two services, by role.
fn services(fixture: &Fixture) -> [[Arc<dyn Idempotency>; 2]; 2] {
    [[fixture.state.clone(), fixture.other_state.clone()], [fixture.cache.clone(), fixture.other.clone()]]
}

async fn a_service_gets_no_response_of_another(fixture: Fixture) -> Verdict {
    for [ours, theirs] in services(&fixture) {
        let request = attempt(&fixture.key("order"), 1);
        ours.begin(&request, WORKING).await?;
        check_eq!(theirs.begin(&attempt(&request.key, 2), WORKING).await?, Begun::Started);
        ours.finish(&request, &Bytes::from("ours"), KEEP).await?;
        let again = theirs.begin(&attempt(&request.key, 2), WORKING).await?;
        check!(matches!(again, Begun::InProgress { .. }), "another service's request decided: {again:?}");
    }
    let request = attempt(&fixture.key("order"), 1);
    check_eq!(fixture.shared_state.begin(&request, WORKING).await?, Begun::Started);
    Ok(())
}

async fn a_service_neither_finishes_nor_abandons_what_another_began(fixture: Fixture) -> Verdict {
    for [ours, theirs] in services(&fixture) {
        let request = attempt(&fixture.key("order"), 1);
        ours.begin(&request, WORKING).await?;
        check!(!theirs.abandon(&request).await?, "a service abandoned another's request");
        check_eq!(theirs.finish(&request, &Bytes::from("theirs"), KEEP).await?, Finished::Stored);
        check_eq!(ours.begin(&request, WORKING).await?, Begun::Started);
    }
    Ok(())
}

async fn a_shared_request_is_finished_for_all_services(fixture: Fixture) -> Verdict {
    let request = attempt(&fixture.key("order"), 1);
    fixture.shared_state.begin(&request, WORKING).await?;
    fixture.shared_state.finish(&request, &Bytes::from("once"), KEEP).await?;
    let again = fixture.shared_state.begin(&attempt(&request.key, 1), WORKING).await?;
    check_eq!(again, Begun::Finished(Bytes::from("once")));
    Ok(())
}
