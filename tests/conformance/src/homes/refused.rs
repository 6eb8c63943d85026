//! Commits with a part that is refused: nothing is written.

use store_core::{
    Commit, CommitParts, Committed, Error, Fence, NewJob, Op, Outcome, Pushed, RunEvent, RunOutcome, RunState,
    RunWrite, Settled, StepAttempt, StepName, TokenOutcome, UniqueUntil,
};

use super::{ACCEPTED, AtHome, charge, keyed, token, workflow};
use crate::case::cases;
use crate::fixture::{Fixture, secs, unique_key};
use crate::queue::queue_fixture::{LEASE, job, job_id};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::HomeCommit;
    is_refused_because_of_a_lease_that_has_expired,
    is_refused_because_of_a_job_that_is_settled,
    is_refused_because_of_a_job_with_an_id_that_is_taken,
    is_refused_because_of_a_job_with_the_id_that_an_earlier_commit_has_given_to_its_own,
    is_refused_because_of_a_job_with_a_key_that_is_held,
    is_refused_because_of_a_job_with_a_key_that_is_held_for_a_time: OneOrder,
    is_refused_because_of_a_job_whose_key_another_one_has_taken,
    is_refused_because_of_a_step_that_another_attempt_has_begun,
    is_refused_because_of_a_run_of_another_version,
    is_refused_because_of_a_run_at_another_event,
    is_refused_because_of_a_run_under_an_outdated_fence,
    is_refused_because_of_an_illegal_transition,
    is_refused_because_of_a_run_that_does_not_exist,
    is_refused_because_of_a_token_of_another_version,
    is_refused_because_of_a_token_under_an_outdated_fence,
    is_refused_because_of_a_saved_token_under_an_outdated_fence,
    is_refused_because_of_all_parts,
    is_refused_in_the_home_of_another_queue,
}

/// A commit that is refused and writes nothing; the same without the refused part would be done.
async fn refused(at: &AtHome, commit: &Commit) -> Result<CommitParts, BrokenPromise> {
    let before = at.stored().await?;
    let parts = at.refused(commit).await?;
    let after = at.stored().await?;
    if before != after {
        return Err(BrokenPromise::new(format!("the refused commit changed {before:?} to {after:?}")));
    }
    Ok(parts)
}

/// Checks all answers but the one that the case is about, which `accept` replaces.
fn others_are_accepted(mut parts: CommitParts, accept: impl Fn(&mut CommitParts)) -> Verdict {
    accept(&mut parts);
    check_eq!(parts.settled, Settled::Done);
    check!(parts.pushed.iter().all(Pushed::is_new));
    check!(parts.step != Some(false));
    check_matches!(parts.run, None | Some(RunOutcome::Done(_)));
    check_matches!(parts.token, None | Some(TokenOutcome::Done(_)));
    Ok(())
}

async fn is_refused_because_of_a_lease_that_has_expired(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.queue.fixture.advance(LEASE);
    let parts = refused(&at, &at.whole()).await?;
    check_eq!(parts.settled, Settled::Lost);
    // The job that has lost its lease keeps its key.
    check_eq!(parts.pushed, [Pushed::Held { by: at.lease.job.clone() }]);
    others_are_accepted(parts, |parts| (parts.settled, parts.pushed) = (Settled::Done, Vec::new()))
}

async fn is_refused_because_of_a_job_that_is_settled(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.queue.settle(&at.lease, Outcome::Snooze { after: secs(60) }).await?;
    check_eq!(refused(&at, &at.whole().with_token(token(1))).await?.settled, Settled::Lost);
    Ok(())
}

async fn is_refused_because_of_a_job_with_an_id_that_is_taken(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let unique = |id| job(id).with_unique(store_core::Unique::new(unique_key(super::KEY), UniqueUntil::Claimed));
    // It holds the key until then.
    at.queue.settle(&at.lease, Outcome::Complete(None)).await?;
    at.queue.push_one(unique("taken")).await?;
    let first = at.queue.claim_one().await?;
    let (run, home) = (at.run.clone(), at.home.clone());
    at.queue.push_one(unique("other")).await?;
    let at = AtHome { lease: first.lease, run, home, queue: at.queue };
    let commit = at.bare().with_step(charge(), "paid").with_token(token(1)).with_job(NewJob::new("new"));
    // By another job, or by the job that is settled.
    for id in ["other", "taken"] {
        let parts = refused(&at, &commit.clone().with_job(unique(id))).await?;
        check_eq!((parts.pushed[0].is_new(), &parts.pushed[1]), (true, &Pushed::Duplicate));
        others_are_accepted(parts, |parts| parts.pushed.clear())?;
    }
    at.done(&commit).await?;
    Ok(())
}

async fn is_refused_because_of_a_job_with_the_id_that_an_earlier_commit_has_given_to_its_own(
    fixture: Fixture,
) -> Verdict {
    let mut at = AtHome::new(fixture).await?;
    let first = at.bare().with_job(NewJob::new("2"));
    at.done(&first).await?;
    at.lease = at.queue.claim_one().await?.lease;
    let second = at.bare().with_job(NewJob::new("3")).with_request(first.request);
    check_eq!(refused(&at, &second).await?.pushed, [Pushed::Duplicate]);
    at.done(&at.bare().with_job(NewJob::new("3"))).await?;
    Ok(())
}

/// By an earlier job with the id of the one that is settled.
async fn is_refused_because_of_a_job_with_a_key_that_is_held_for_a_time(fixture: Fixture) -> Verdict {
    let for_a_time = store_core::Unique::new(unique_key(super::KEY), UniqueUntil::Elapsed(6 * LEASE));
    let mut at = AtHome::with(fixture, job("report").with_unique(for_a_time)).await?;
    at.done(&at.bare()).await?;
    at.queue.push_one(job("report")).await?;
    at.lease = at.queue.claim_one().await?.lease;
    let parts = refused(&at, &at.bare().with_job(keyed("2"))).await?;
    check_eq!(parts.pushed, [Pushed::Held { by: job_id("report") }]);
    Ok(())
}

async fn is_refused_because_of_a_job_with_a_key_that_is_held(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let twice = at.whole().with_job(keyed("3"));
    let parts = refused(&at, &twice).await?;
    let [first, second] = &parts.pushed[..] else { return Err(BrokenPromise::new("two answers expected")) };
    check_matches!(second, Pushed::Held { by } if Some(by) == first.id());
    others_are_accepted(parts, |parts| parts.pushed.clear())?;
    at.done(&at.whole()).await?;
    Ok(())
}

async fn is_refused_because_of_a_job_whose_key_another_one_has_taken(fixture: Fixture) -> Verdict {
    let until_claimed = store_core::Unique::new(unique_key(super::KEY), UniqueUntil::Claimed);
    let at = AtHome::with(fixture, NewJob::new("1").with_unique(until_claimed)).await?;
    check!(at.queue.push_one(keyed("other").with_id(job_id("other"))).await?.is_new());
    let parts = refused(&at, &at.whole()).await?;
    check_eq!(parts.pushed, [Pushed::Held { by: job_id("other") }]);
    others_are_accepted(parts, |parts| parts.pushed.clear())?;
    at.queue.delete("other").await?;
    at.done(&at.whole()).await?;
    Ok(())
}

async fn is_refused_because_of_a_step_that_another_attempt_has_begun(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let step = StepName::new("charge")?;
    let later = StepAttempt::new(workflow(), step.clone(), Fence::new(super::ATTEMPT.get() + 1));
    check!(at.home.steps().begin(&later, ACCEPTED).await?.value.is_started());
    let parts = refused(&at, &at.whole()).await?;
    check_eq!(parts.step, Some(false));
    others_are_accepted(parts, |parts| parts.step = None)?;
    at.done(&at.whole().with_step(later, "paid")).await?;
    Ok(())
}

async fn is_refused_because_of_a_run_of_another_version(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let write = RunWrite::new(at.run.run.clone()).to(RunState::InProgress, at.run.version + 1);
    let parts = refused(&at, &at.whole().with_run(write)).await?;
    check_matches!(&parts.run, Some(RunOutcome::Conflict(run)) if run.version == at.run.version);
    others_are_accepted(parts, |parts| parts.run = None)?;
    at.done(&at.whole()).await?;
    Ok(())
}

async fn is_refused_because_of_a_run_at_another_event(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let next = at.run.next_event;
    let parts = refused(&at, &at.whole().with_run(at.write().at_sequence(next + 1))).await?;
    check_matches!(&parts.run, Some(RunOutcome::Conflict(run)) if run.next_event == next);
    others_are_accepted(parts, |parts| parts.run = None)?;
    at.done(&at.whole().with_run(at.write().at_sequence(next))).await?;
    Ok(())
}

async fn is_refused_because_of_a_run_under_an_outdated_fence(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let fenced = RunWrite::new(at.run.run.clone()).with_event(RunEvent::new("taken", "")).with_fence(Fence::new(5));
    check!(at.home.runs().write(&fenced, ACCEPTED).await?.value.done().is_some());
    let parts = refused(&at, &at.whole().with_run(at.write().with_fence(Fence::new(4)))).await?;
    check_eq!(parts.run, Some(RunOutcome::Superseded { by: Fence::new(5) }));
    others_are_accepted(parts, |parts| parts.run = None)?;
    at.done(&at.whole().with_run(at.write().with_fence(Fence::new(5)))).await?;
    Ok(())
}

async fn is_refused_because_of_an_illegal_transition(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let write = RunWrite::new(at.run.run.clone()).to(RunState::Completed, at.run.version);
    check_matches!(refused(&at, &at.whole().with_run(write)).await?.run, Some(RunOutcome::Illegal(_)));
    at.done(&at.whole()).await?;
    Ok(())
}

async fn is_refused_because_of_a_run_that_does_not_exist(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    check!(at.home.runs().delete(&at.run.run).await?);
    check_eq!(refused(&at, &at.whole()).await?.run, Some(RunOutcome::Absent));
    Ok(())
}

async fn is_refused_because_of_a_token_of_another_version(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let mut other = token(1);
    other.token = "another page".into();
    let saved = at.home.resume_tokens().save(&other, ACCEPTED).await?.value.done();
    let parts = refused(&at, &at.whole()).await?;
    check_matches!(&parts.token, Some(TokenOutcome::Conflict(Some(token))) if token.token == "another page");
    others_are_accepted(parts, |parts| parts.token = None)?;
    let mut next = token(1);
    next.expected = saved.map(|saved| saved.version);
    at.done(&at.whole().with_token(next)).await?;
    Ok(())
}

async fn is_refused_because_of_a_token_under_an_outdated_fence(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let _ = at.home.resume_tokens().take_over(&super::stream(), Fence::new(2)).await?;
    check_eq!(refused(&at, &at.whole()).await?.token, Some(TokenOutcome::Superseded(Fence::new(2))));
    at.done(&at.whole().with_token(token(2))).await?;
    Ok(())
}

async fn is_refused_because_of_a_saved_token_under_an_outdated_fence(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let tokens = at.home.resume_tokens();
    let saved = tokens.save(&token(1), ACCEPTED).await?.value.done();
    let _ = tokens.take_over(&super::stream(), Fence::new(2)).await?;
    let next = |fence| {
        let mut next = token(fence);
        next.expected = saved.as_ref().map(|saved| saved.version);
        next.token = "page 2".into();
        next
    };
    check_eq!(
        refused(&at, &at.whole().with_token(next(1))).await?.token,
        Some(TokenOutcome::Superseded(Fence::new(2)))
    );
    at.done(&at.whole().with_token(next(2))).await?;
    Ok(())
}

async fn is_refused_because_of_all_parts(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let _ = at.home.resume_tokens().take_over(&super::stream(), Fence::new(2)).await?;
    check!(at.home.runs().delete(&at.run.run).await?);
    let unknown = StepAttempt::new(workflow(), StepName::new("unknown")?, super::ATTEMPT);
    at.queue.fixture.advance(LEASE);
    // Its key is held: the job that lost its lease is ready again.
    let parts = refused(&at, &at.whole().with_step(unknown, "")).await?;
    check_eq!((parts.settled, parts.step, parts.run), (Settled::Lost, Some(false), Some(RunOutcome::Absent)));
    check_eq!(parts.token, Some(TokenOutcome::Superseded(Fence::new(2))));
    check_eq!(parts.pushed, [Pushed::Held { by: at.lease.job.clone() }]);
    Ok(())
}

/// Of several partitions, it may be another one: that is an error.
async fn is_refused_in_the_home_of_another_queue(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let before = at.stored().await?;
    let other = at.queue.fixture.state.home(&at.other_queue(), &unique_key(super::KEY));
    match other.commit(&at.whole(), ACCEPTED).await {
        Ok(committed) => {
            check_matches!(committed.value, Committed::Refused(parts) if parts.settled.is_lost() && parts.step == Some(false));
        }
        Err(error) => check_matches!(&error, Error::InvalidArgument { op: Op::HomeCommit, .. }),
    }
    check_eq!(at.stored().await?, before);
    check_eq!(at.queue.fixture.state.counts(&at.other_queue()).await?.pending(), 0);
    Ok(())
}
