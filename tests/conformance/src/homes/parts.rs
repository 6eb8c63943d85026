//! Commits of one part beside the settlement.

use store_core::{Op, RunEvent, RunWrite};

use super::{AtHome, Stored, charge, keyed, token};
use crate::case::cases;
use crate::fixture::Fixture;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::HomeCommit;
    can_have_a_settlement_alone,
    can_have_a_job_alone,
    can_have_a_step_alone,
    can_have_an_event_alone,
    can_have_a_token_alone,
}

/// Everything but the queue.
fn rest(stored: Stored) -> Stored {
    Stored { counts: store_core::Counts::default(), ..stored }
}

async fn can_have_a_settlement_alone(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let before = at.stored().await?;
    let parts = at.done(&at.bare()).await?;
    check!(parts.pushed.is_empty() && parts.step.is_none() && parts.run.is_none() && parts.token.is_none());
    check_eq!(at.queue.counts().await?.pending(), 0);
    check_eq!(rest(at.stored().await?), rest(before));
    Ok(())
}

async fn can_have_a_job_alone(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let before = at.stored().await?;
    check!(at.done(&at.bare().with_job(keyed("2"))).await?.pushed[0].is_new());
    let after = at.stored().await?;
    check_eq!((after.counts.ready, after.counts.running), (1, 0));
    check_eq!(rest(after), rest(before));
    Ok(())
}

async fn can_have_a_step_alone(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let before = at.stored().await?;
    check_eq!(at.done(&at.bare().with_step(charge(), "paid")).await?.step, Some(true));
    let after = at.stored().await?;
    check_eq!(after.step.as_ref().and_then(|step| step.output.as_deref()), Some(&b"paid"[..]));
    check_eq!(rest(Stored { step: before.step.clone(), ..after }), rest(before));
    Ok(())
}

async fn can_have_an_event_alone(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let before = at.stored().await?;
    let append = RunWrite::new(at.run.run.clone()).at_sequence(1).with_event(RunEvent::new("page", "1"));
    check!(at.done(&at.bare().with_run(append)).await?.run.is_some());
    check_eq!(at.events().await?, ["run.created", "page"]);
    let after = at.stored().await?;
    check_eq!(after.run.as_ref().map(|run| run.version), Some(at.run.version));
    check_eq!(rest(Stored { run: before.run.clone(), ..after }), rest(before));
    Ok(())
}

async fn can_have_a_token_alone(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let before = at.stored().await?;
    check!(at.done(&at.bare().with_token(token(1))).await?.token.is_some());
    let after = at.stored().await?;
    check_eq!(after.token.as_ref().map(|token| &token.token[..]), Some(&b"page 1"[..]));
    check_eq!(rest(Stored { token: None, ..after }), rest(before));
    Ok(())
}
