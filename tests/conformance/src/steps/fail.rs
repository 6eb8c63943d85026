//! Failing steps.

use store_core::{JobInfo, Op, StepState};

use super::{attempt, both, carried_out, fail, get, named, started};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::StepFail;
    its_error_and_times_are_recorded,
    the_first_error_of_an_attempt_stays,
    another_attempt_cannot_fail_it,
    a_finished_step_cannot_fail,
    a_step_that_was_not_begun_cannot_fail,
    a_long_error_is_truncated,
}

async fn its_error_and_times_are_recorded(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let charge = attempt(&run, "charge", 1);
        started(&fixture, &charge).await?;
        fixture.advance(secs(3));
        check!(fail(&fixture, &charge, "the bank is closed: größer").await?);
        let info = get(&fixture, &charge).await?.unwrap_or_else(|| unreachable!("it was begun"));
        check_eq!((info.state, info.ended, info.output), (StepState::Failed, Some(fixture.now()), None));
        check_eq!(info.last_error.as_deref(), Some("the bank is closed: größer"));
        started(&fixture, &attempt(&run, "charge", 2)).await?;
    }
    Ok(())
}

async fn the_first_error_of_an_attempt_stays(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let charge = attempt(&run, "charge", 1);
        started(&fixture, &charge).await?;
        check!(fail(&fixture, &charge, "first").await?);
        let first = get(&fixture, &charge).await?;
        fixture.advance(secs(1));
        check!(fail(&fixture, &charge, "second").await?);
        check_eq!(get(&fixture, &charge).await?, first);
    }
    Ok(())
}

async fn another_attempt_cannot_fail_it(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        started(&fixture, &attempt(&run, "charge", 5)).await?;
        let before = get(&fixture, &attempt(&run, "charge", 5)).await?;
        for number in [4, 6] {
            check!(!fail(&fixture, &attempt(&run, "charge", number), "late").await?);
        }
        check_eq!(get(&fixture, &attempt(&run, "charge", 5)).await?, before);
    }
    Ok(())
}

async fn a_finished_step_cannot_fail(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let charge = attempt(&run, "charge", 1);
        carried_out(&fixture, &charge, "paid").await?;
        check!(!fail(&fixture, &charge, "late").await?);
        check_eq!(get(&fixture, &charge).await?.map(|info| info.state), Some(StepState::Finished));
    }
    Ok(())
}

async fn a_step_that_was_not_begun_cannot_fail(fixture: Fixture) -> Verdict {
    let charge = attempt(&named(&fixture), "charge", 1);
    check!(!fail(&fixture, &charge, "an error").await?);
    check_eq!(get(&fixture, &charge).await?, None);
    Ok(())
}

async fn a_long_error_is_truncated(fixture: Fixture) -> Verdict {
    let charge = attempt(&named(&fixture), "charge", 1);
    started(&fixture, &charge).await?;
    check!(fail(&fixture, &charge, &"é".repeat(JobInfo::MAX_REASON_BYTES)).await?);
    let error = get(&fixture, &charge).await?.and_then(|info| info.last_error);
    check_eq!(error, Some("é".repeat(JobInfo::MAX_REASON_BYTES / 2)));
    Ok(())
}
