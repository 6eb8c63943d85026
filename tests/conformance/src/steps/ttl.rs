//! The time to live of a run.

use store_core::{Op, PageRequest, StepBegun, Ttl};

use super::{TTL, attempt, begin, both, carried_out, fail, finish, finished, get, named, started};
use crate::case::cases;
use crate::fixture::{Fixture, ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::StepFinish;
    all_steps_of_a_run_expire_together,
    a_write_prolongs_the_run_and_a_read_does_not,
    an_attempt_cannot_end_a_step_of_an_expired_run,
    after_the_expiry_every_attempt_begins_again,
    a_shorter_time_does_not_shorten_the_run,
}

async fn all_steps_of_a_run_expire_together(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        carried_out(&fixture, &attempt(&run, "charge", 1), "paid").await?;
        fixture.advance(TTL.as_duration() - ms(1));
        started(&fixture, &attempt(&run, "ship", 1)).await?;
        fixture.advance(TTL.as_duration() - ms(1));
        check_eq!(fixture.state.steps().list(&run, PageRequest::default()).await?.items.len(), 2);
        check_eq!(begin(&fixture, &attempt(&run, "charge", 2)).await?, finished("paid"));
        fixture.advance(ms(1));
        check_eq!(fixture.state.steps().list(&run, PageRequest::default()).await?.items.len(), 0);
        check_eq!(get(&fixture, &attempt(&run, "charge", 2)).await?, None);
    }
    Ok(())
}

async fn a_write_prolongs_the_run_and_a_read_does_not(fixture: Fixture) -> Verdict {
    let (run, third) = (named(&fixture), TTL.as_duration() / 3);
    let charge = attempt(&run, "charge", 1);
    started(&fixture, &charge).await?;
    fixture.advance(third);
    started(&fixture, &charge).await?;
    fixture.advance(third);
    check!(fail(&fixture, &charge, "closed").await?);
    fixture.advance(third);
    started(&fixture, &charge).await?;
    check!(finish(&fixture, &charge, "paid").await?);
    for _ in 0..2 {
        fixture.advance(third);
        check!(get(&fixture, &charge).await?.is_some());
        check_eq!(begin(&fixture, &charge).await?, finished("paid"));
        fixture.state.steps().list(&run, PageRequest::default()).await?;
    }
    fixture.advance(third);
    check_eq!(get(&fixture, &charge).await?, None);
    Ok(())
}

async fn an_attempt_cannot_end_a_step_of_an_expired_run(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let charge = attempt(&run, "charge", 1);
        started(&fixture, &charge).await?;
        fixture.advance(TTL.as_duration());
        check!(!finish(&fixture, &charge, "late").await? && !fail(&fixture, &charge, "late").await?);
        check_eq!(get(&fixture, &charge).await?, None);
    }
    Ok(())
}

async fn after_the_expiry_every_attempt_begins_again(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        carried_out(&fixture, &attempt(&run, "charge", 9), "paid").await?;
        started(&fixture, &attempt(&run, "ship", 9)).await?;
        fixture.advance(TTL.as_duration());
        started(&fixture, &attempt(&run, "ship", 2)).await?;
        let listed = fixture.state.steps().list(&run, PageRequest::default()).await?.items;
        check_eq!(listed.iter().map(|info| (info.step.as_str(), info.attempts)).collect::<Vec<_>>(), [("ship", 1)]);
        check_eq!(begin(&fixture, &attempt(&run, "charge", 2)).await?, StepBegun::Started);
        check_eq!(get(&fixture, &attempt(&run, "charge", 2)).await?.and_then(|info| info.output), None);
    }
    Ok(())
}

async fn a_shorter_time_does_not_shorten_the_run(fixture: Fixture) -> Verdict {
    let run = named(&fixture);
    carried_out(&fixture, &attempt(&run, "charge", 1), "paid").await?;
    carried_out(&fixture, &attempt(&run, "ship", 1).with_ttl(Ttl::from_secs(1)), "shipped").await?;
    fixture.advance(secs(2));
    for (name, output) in [("charge", "paid"), ("ship", "shipped")] {
        check_eq!(begin(&fixture, &attempt(&run, name, 2)).await?, finished(output));
    }
    Ok(())
}
