//! The scope of a run: one service, or all services.

use bytes::Bytes;
use store_core::{Durability, Op, PageRequest, StepBegun};

use super::{attempt, carried_out, finished, named, of_temporal};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::StepBegin;
    two_services_have_a_run_of_one_name,
    a_run_of_temporal_is_one_for_all_services,
}

async fn two_services_have_a_run_of_one_name(fixture: Fixture) -> Verdict {
    let charge = attempt(&named(&fixture), "charge", 1);
    for (store, output) in
        [(&fixture.state, "ours"), (&fixture.other_state, "theirs"), (&fixture.shared_state, "shared")]
    {
        check_eq!(store.steps().begin(&charge, Durability::Accepted).await?.value, StepBegun::Started);
        let output = Bytes::from_static(output.as_bytes());
        check!(store.steps().finish(&charge, &output, Durability::Accepted).await?.value);
        check_eq!(store.steps().get(&charge.run, &charge.step).await?.and_then(|info| info.output), Some(output));
    }
    Ok(())
}

async fn a_run_of_temporal_is_one_for_all_services(fixture: Fixture) -> Verdict {
    let charge = attempt(&of_temporal(&fixture, "run-1"), "charge", 1);
    carried_out(&fixture, &charge, "paid").await?;
    for store in [&fixture.state, &fixture.other_state, &fixture.shared_state] {
        check_eq!(store.steps().begin(&charge, Durability::Accepted).await?.value, finished("paid"));
        check_eq!(store.steps().list(&charge.run, PageRequest::default()).await?.items.len(), 1);
    }
    Ok(())
}
