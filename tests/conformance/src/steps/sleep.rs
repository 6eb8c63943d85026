//! Durable sleeps.

use std::time::Duration;

use store_core::{Durability, Error, Fence, Op, Result, StepAttempt, StepBegun, StepState, Timestamp, Ttl};

use super::{TTL, attempt, begin, both, carried_out, fail, finish, finished, get, named, started};
use crate::case::cases;
use crate::fixture::{Fixture, look_again, ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::StepSleep;
    its_end_is_recorded_once,
    a_sleep_is_over_at_its_very_end,
    every_attempt_reads_the_same_end,
    an_earlier_attempt_begins_no_sleep,
    a_sleep_has_no_output_and_no_error,
    an_ordinary_step_is_not_a_sleep,
    a_run_outlives_its_sleeps,
    a_sleep_lasts_at_most_366_days,
    it_is_over_by_the_clock_of_the_store,
    it_lasts_when_the_store_is_opened_again: Reopen,
}

async fn sleep(fixture: &Fixture, attempt: &StepAttempt, lasting: Duration) -> Result<StepBegun> {
    Ok(fixture.state.steps().sleep(attempt, lasting, Durability::Accepted).await?.value)
}

fn sleeping(until: Timestamp, remaining: Duration) -> StepBegun {
    StepBegun::Sleeping { until, remaining }
}

async fn its_end_is_recorded_once(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let (wait, until) = (attempt(&run, "wait", 1), fixture.now().after(secs(60)));
        check_eq!(sleep(&fixture, &wait, secs(60)).await?, sleeping(until, secs(60)));
        fixture.advance(secs(20));
        check_eq!(sleep(&fixture, &wait, secs(60)).await?, sleeping(until, secs(40)));
        check_eq!(sleep(&fixture, &wait, secs(1)).await?, sleeping(until, secs(40)));
        check_eq!(begin(&fixture, &wait).await?, sleeping(until, secs(40)));
        let info = get(&fixture, &wait).await?;
        check_eq!(info.map(|info| (info.state, info.ended, info.attempts)), Some((StepState::Sleep, Some(until), 1)));
    }
    Ok(())
}

async fn a_sleep_is_over_at_its_very_end(fixture: Fixture) -> Verdict {
    let wait = attempt(&named(&fixture), "wait", 1);
    let until = fixture.now().after(secs(60));
    sleep(&fixture, &wait, secs(60)).await?;
    fixture.advance(secs(60) - ms(1));
    check_eq!(sleep(&fixture, &wait, secs(60)).await?, sleeping(until, ms(1)));
    fixture.advance(ms(1));
    for _ in 0..2 {
        check_eq!(sleep(&fixture, &wait, secs(60)).await?, finished(""));
        check_eq!(begin(&fixture, &wait).await?, finished(""));
        fixture.advance(secs(1));
    }
    check_eq!(sleep(&fixture, &attempt(&named(&fixture), "no time", 1), secs(0)).await?, finished(""));
    Ok(())
}

async fn every_attempt_reads_the_same_end(fixture: Fixture) -> Verdict {
    for run in both(&fixture) {
        let until = fixture.now().after(secs(60));
        sleep(&fixture, &attempt(&run, "wait", 5), secs(60)).await?;
        for number in [4, 5, 6] {
            check_eq!(sleep(&fixture, &attempt(&run, "wait", number), secs(1)).await?, sleeping(until, secs(60)));
        }
    }
    Ok(())
}

async fn an_earlier_attempt_begins_no_sleep(fixture: Fixture) -> Verdict {
    let run = named(&fixture);
    started(&fixture, &attempt(&run, "charge", 5)).await?;
    let refused = sleep(&fixture, &attempt(&run, "wait", 4), secs(1)).await?;
    check_eq!(refused, StepBegun::Superseded { by: Fence::new(5) });
    check_eq!(get(&fixture, &attempt(&run, "wait", 4)).await?, None);
    sleep(&fixture, &attempt(&run, "wait", 6), secs(1)).await?;
    check!(!finish(&fixture, &attempt(&run, "charge", 5), "late").await?, "the sleep is of a later attempt");
    Ok(())
}

async fn a_sleep_has_no_output_and_no_error(fixture: Fixture) -> Verdict {
    let wait = attempt(&named(&fixture), "wait", 1);
    sleep(&fixture, &wait, secs(60)).await?;
    check!(!finish(&fixture, &wait, "an output").await? && !fail(&fixture, &wait, "an error").await?);
    let info = get(&fixture, &wait).await?.unwrap_or_else(|| unreachable!("it was begun"));
    check_eq!((info.state, info.output, info.last_error), (StepState::Sleep, None, None));
    Ok(())
}

async fn an_ordinary_step_is_not_a_sleep(fixture: Fixture) -> Verdict {
    let run = named(&fixture);
    started(&fixture, &attempt(&run, "running", 1)).await?;
    carried_out(&fixture, &attempt(&run, "finished", 1), "paid").await?;
    for name in ["running", "finished"] {
        let refused = sleep(&fixture, &attempt(&run, name, 1), secs(1)).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::StepSleep, .. }));
    }
    Ok(())
}

async fn a_run_outlives_its_sleeps(fixture: Fixture) -> Verdict {
    let (run, month) = (named(&fixture), secs(30 * 86400));
    carried_out(&fixture, &attempt(&run, "charge", 1), "paid").await?;
    sleep(&fixture, &attempt(&run, "wait", 1), month).await?;
    // A later write with a shorter time does not shorten the run.
    carried_out(&fixture, &attempt(&run, "mail", 1), "sent").await?;
    fixture.advance(month + TTL.as_duration() - ms(1));
    check_eq!(begin(&fixture, &attempt(&run, "charge", 2)).await?, finished("paid"));
    check_eq!(sleep(&fixture, &attempt(&run, "wait", 2), month).await?, finished(""));
    fixture.advance(ms(1));
    check_eq!(get(&fixture, &attempt(&run, "charge", 2)).await?, None);
    Ok(())
}

async fn a_sleep_lasts_at_most_366_days(fixture: Fixture) -> Verdict {
    let wait = attempt(&named(&fixture), "wait", 1);
    let refused = sleep(&fixture, &wait, Ttl::MAX + ms(1)).await;
    check_matches!(refused, Err(Error::InvalidArgument { op: Op::StepSleep, .. }));
    let until = fixture.now().after(Ttl::MAX);
    check_eq!(sleep(&fixture, &wait.with_ttl(Ttl::new(Ttl::MAX)?), Ttl::MAX).await?, sleeping(until, Ttl::MAX));
    Ok(())
}

async fn it_is_over_by_the_clock_of_the_store(fixture: Fixture) -> Verdict {
    let fixture = fixture.on_server_clock().await?;
    let wait = attempt(&named(&fixture), "wait", 1);
    let StepBegun::Sleeping { until, remaining } = sleep(&fixture, &wait, ms(50)).await? else {
        return Err(crate::BrokenPromise::new("the sleep does not last"));
    };
    check!(remaining <= ms(51), "{remaining:?}");
    while let StepBegun::Sleeping { until: same, remaining } = sleep(&fixture, &wait, secs(60)).await? {
        check!(same == until && remaining <= ms(51), "{remaining:?}");
        look_again().await;
    }
    Ok(())
}

async fn it_lasts_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let (wait, until) = (attempt(&named(&fixture), "wait", 1), fixture.now().after(secs(60)));
    sleep(&fixture, &wait, secs(60)).await?;
    let fixture = fixture.reopen().await?;
    fixture.advance(secs(59));
    check_eq!(sleep(&fixture, &wait, secs(60)).await?, sleeping(until, secs(1)));
    Ok(())
}
