//! Finishing steps.

use bytes::Bytes;
use store_core::{Durability, Error, Op, StepInfo, StepState};

use super::{attempt, begin, both, carried_out, fail, finish, finished, get, named, started};
use crate::case::cases;
use crate::fixture::{Fixture, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::StepFinish;
    its_output_and_times_are_recorded,
    the_first_output_of_an_attempt_stays,
    another_attempt_cannot_finish_it,
    a_step_that_was_not_begun_cannot_finish,
    an_attempt_that_has_failed_cannot_finish,
    an_output_is_any_bytes,
    an_output_above_256_kib_is_refused,
    it_can_wait_for_the_disk: Fsync,
    it_is_finished_when_the_store_is_opened_again: Reopen,
}

async fn its_output_and_times_are_recorded(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let (charge, began) = (attempt(&run, "charge", 1), fixture.now());
        started(&fixture, &charge).await?;
        fixture.advance(secs(3));
        check!(finish(&fixture, &charge, "paid").await?);
        let info = get(&fixture, &charge).await?.unwrap_or_else(|| unreachable!("it was begun"));
        check_eq!(
            (info.state, info.output.as_deref(), info.output_bytes),
            (StepState::Finished, Some(&b"paid"[..]), 4)
        );
        check_eq!((info.began, info.ended, info.last_error), (began, Some(fixture.now()), None));
    }
    Ok(())
}

async fn the_first_output_of_an_attempt_stays(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let charge = attempt(&run, "charge", 1);
        carried_out(&fixture, &charge, "paid").await?;
        let first = get(&fixture, &charge).await?;
        fixture.advance(secs(1));
        check!(finish(&fixture, &charge, "another output").await?);
        check!(!fail(&fixture, &charge, "an error").await?);
        check_eq!(get(&fixture, &charge).await?, first);
    }
    Ok(())
}

async fn another_attempt_cannot_finish_it(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        started(&fixture, &attempt(&run, "charge", 5)).await?;
        for number in [4, 6] {
            check!(!finish(&fixture, &attempt(&run, "charge", number), "late").await?, "by attempt {number}");
        }
        check!(finish(&fixture, &attempt(&run, "charge", 5), "paid").await?);
        check!(!finish(&fixture, &attempt(&run, "charge", 6), "late").await?);
        check_eq!(begin(&fixture, &attempt(&run, "charge", 7)).await?, finished("paid"));
    }
    Ok(())
}

async fn a_step_that_was_not_begun_cannot_finish(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        check!(!finish(&fixture, &attempt(&run, "charge", 1), "paid").await?);
        started(&fixture, &attempt(&run, "charge", 1)).await?;
        check!(!finish(&fixture, &attempt(&run, "ship", 1), "shipped").await?);
        check_eq!(get(&fixture, &attempt(&run, "ship", 1)).await?, None);
    }
    Ok(())
}

async fn an_attempt_that_has_failed_cannot_finish(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let charge = attempt(&run, "charge", 1);
        started(&fixture, &charge).await?;
        check!(fail(&fixture, &charge, "closed").await?);
        check!(!finish(&fixture, &charge, "paid").await?);
        check_eq!(get(&fixture, &charge).await?.map(|info| info.state), Some(StepState::Failed));
    }
    Ok(())
}

async fn an_output_is_any_bytes(fixture: Fixture) -> Verdict {
    let run = named(&fixture);
    for (name, output) in [("empty", vec![]), ("all", (0..=255).collect()), ("null", b"a\0\r\n".to_vec())] {
        let (attempt, output) = (attempt(&run, name, 1), Bytes::from(output));
        started(&fixture, &attempt).await?;
        check!(fixture.state.steps().finish(&attempt, &output, Durability::Accepted).await?.value);
        check_eq!(begin(&fixture, &attempt).await?, store_core::StepBegun::Finished(output.clone()));
        check_eq!(get(&fixture, &attempt).await?.and_then(|info| info.output), Some(output));
    }
    Ok(())
}

async fn an_output_above_256_kib_is_refused(fixture: Fixture) -> Verdict {
    let charge = attempt(&named(&fixture), "charge", 1);
    started(&fixture, &charge).await?;
    let most = Bytes::from(vec![b'x'; StepInfo::MAX_OUTPUT_BYTES]);
    let above = Bytes::from(vec![b'x'; StepInfo::MAX_OUTPUT_BYTES + 1]);
    let refused = fixture.state.steps().finish(&charge, &above, Durability::Accepted).await;
    check_matches!(&refused, Err(error @ Error::InvalidArgument { op: Op::StepFinish, .. }) if error.to_string().contains("262144"));
    check_eq!(get(&fixture, &charge).await?.map(|info| info.state), Some(StepState::Running));
    check!(fixture.state.steps().finish(&charge, &most, Durability::Accepted).await?.value);
    check_eq!(get(&fixture, &charge).await?.map(|info| info.output_bytes), Some(StepInfo::MAX_OUTPUT_BYTES));
    Ok(())
}

async fn it_can_wait_for_the_disk(fixture: Fixture) -> Verdict {
    let durability = Durability::Fsynced { within: secs(10) };
    let charge = attempt(&named(&fixture), "charge", 1);
    started(&fixture, &charge).await?;
    for _ in 0..2 {
        let receipt = fixture.state.steps().finish(&charge, &Bytes::from_static(b"paid"), durability).await?;
        check!(receipt.value && receipt.reached.on_disk);
    }
    Ok(())
}

async fn it_is_finished_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let runs = both(&fixture);
    for run in &runs {
        carried_out(&fixture, &attempt(run, "charge", 1), "paid").await?;
        started(&fixture, &attempt(run, "ship", 3)).await?;
    }
    let fixture = fixture.reopen().await?;
    for run in &runs {
        check_eq!(begin(&fixture, &attempt(run, "charge", 4)).await?, finished("paid"));
        check!(!begin(&fixture, &attempt(run, "ship", 2)).await?.is_started());
        check!(finish(&fixture, &attempt(run, "ship", 3), "shipped").await?);
    }
    Ok(())
}
