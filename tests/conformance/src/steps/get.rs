//! Reading steps.

use store_core::Op;

use super::{attempt, carried_out, get, named, of_temporal};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::StepGet;
    a_step_is_shown_with_its_output,
    an_unknown_step_is_not_shown,
    no_output_and_no_error_appear_in_debug_and_json,
}

async fn a_step_is_shown_with_its_output(fixture: Fixture) -> Verdict {
    let charge = attempt(&of_temporal(&fixture, "run-1"), "charge", 3);
    carried_out(&fixture, &charge, "paid").await?;
    let info = get(&fixture, &charge).await?.unwrap_or_else(|| unreachable!("it was begun"));
    check_eq!((&info.step, info.attempt), (&charge.step, charge.attempt));
    check_eq!(info.output.as_deref(), Some(&b"paid"[..]));
    Ok(())
}

async fn an_unknown_step_is_not_shown(fixture: Fixture) -> Verdict {
    let run = named(&fixture);
    check_eq!(get(&fixture, &attempt(&run, "charge", 1)).await?, None);
    carried_out(&fixture, &attempt(&run, "ship", 1), "shipped").await?;
    check_eq!(get(&fixture, &attempt(&run, "charge", 1)).await?, None);
    Ok(())
}

async fn no_output_and_no_error_appear_in_debug_and_json(fixture: Fixture) -> Verdict {
    let charge = attempt(&named(&fixture), "charge", 1);
    carried_out(&fixture, &charge, "canary").await?;
    let info = get(&fixture, &charge).await?.unwrap_or_else(|| unreachable!("it was begun"));
    let begun = super::begin(&fixture, &charge).await?;
    for text in [format!("{info:?}"), format!("{begun:?}")] {
        check!(!text.contains("canary"), "{text}");
    }
    Ok(())
}
