//! Commits that are done.

use bytes::Bytes;
use store_core::{
    Backoff, Cancelled, Commit, Durability, Error, JobState, Kept, NewJob, Op, Outcome, Pushed, RetryPolicy, Settled,
    StepInfo, StepState, Unique, UniqueUntil,
};

use super::{AtHome, charge, keyed, token};
use crate::case::cases;
use crate::fixture::{Fixture, secs, unique_key};
use crate::queue::queue_fixture::{LEASE, QueueFixture, attempts, job, job_id};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::HomeCommit;
    all_parts_are_written,
    every_outcome_settles_the_job,
    a_repetition_gets_the_first_answer_and_writes_nothing,
    the_next_job_gets_the_key_of_the_settled_one,
    a_job_that_does_not_come_back_leaves_its_key_to_the_next_one,
    the_next_job_reaches_a_waiter,
    a_job_may_have_any_form,
    a_key_whose_time_is_over_can_be_taken_for_a_time,
    a_part_above_its_limit_is_refused,
    a_later_delivery_can_commit,
    it_can_wait_for_the_disk: Fsync,
    everything_is_there_when_the_store_is_opened_again: Reopen,
}

async fn all_parts_are_written(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let parts = at.done(&at.whole()).await?;
    check_eq!((parts.settled, parts.step), (Settled::Done, Some(true)));
    let stored = at.stored().await?;
    check_eq!(stored.step.and_then(|step| step.output), Some(Bytes::from_static(b"paid")));
    check_eq!(at.events().await?, ["run.created", "page", "run.in-progress"]);
    let run = parts.run.and_then(store_core::RunOutcome::done);
    check_eq!(run.map(|run| (run.version, run.next_event)), stored.run.map(|run| (run.version, run.next_event)));
    let saved = parts.token.and_then(store_core::TokenOutcome::done);
    check_eq!(saved, stored.token.map(|token| token.info));
    check_eq!((stored.counts.ready, stored.counts.pending()), (1, 1));
    let next = at.queue.claim_one().await?;
    check_eq!((Some(next.id()), &next.payload[..]), (parts.pushed[0].id(), &b"2"[..]));
    Ok(())
}

async fn a_key_whose_time_is_over_can_be_taken_for_a_time(fixture: Fixture) -> Verdict {
    let for_a_time =
        |job: NewJob, time| job.with_unique(Unique::new(unique_key(super::KEY), UniqueUntil::Elapsed(time)));
    let at = AtHome::with(fixture, for_a_time(NewJob::new("1"), secs(1))).await?;
    at.queue.fixture.advance(secs(2));
    let parts = at.done(&at.bare().with_job(for_a_time(NewJob::new("2"), secs(60)))).await?;
    let holder = parts.pushed[0].id().cloned();
    let other = at.queue.push_one(for_a_time(NewJob::new("3"), secs(60))).await?;
    check_matches!(other, Pushed::Held { by } if Some(by) == holder.as_ref());
    Ok(())
}

async fn every_outcome_settles_the_job(fixture: Fixture) -> Verdict {
    let wait = secs(60);
    let outcomes = [
        (Outcome::Complete(None), None),
        (Outcome::Complete(Some(Kept::new("result", wait))), Some(JobState::Completed)),
        (Outcome::Retry { after: wait, error: "broken".to_owned() }, Some(JobState::Scheduled)),
        (Outcome::Snooze { after: wait }, Some(JobState::Scheduled)),
        (Outcome::Dead { reason: "broken".to_owned() }, Some(JobState::Dead)),
        (Outcome::Cancelled, None),
        (Outcome::Release, Some(JobState::Ready)),
    ];
    let mut at = AtHome::new(fixture).await?;
    at.done(&at.bare()).await?;
    let mut version = None;
    for (index, (outcome, state)) in outcomes.into_iter().enumerate() {
        let id = format!("job-{index}");
        at.queue.push_one(job(&id).with_unique(Unique::new(unique_key(super::KEY), UniqueUntil::Claimed))).await?;
        at.lease = at.queue.claim_one().await?.lease;
        let mut save = token(1);
        save.expected = version;
        let parts = at.done(&at.ending(outcome).with_token(save)).await?;
        check_eq!(at.queue.get(&id).await?.map(|info| info.state), state);
        version = parts.token.and_then(store_core::TokenOutcome::done).map(|saved| saved.version);
        check!(version.is_some());
    }
    Ok(())
}

async fn a_repetition_gets_the_first_answer_and_writes_nothing(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let commit = at.whole().with_job(NewJob::new("3"));
    let first = at.done(&commit).await?;
    let stored = at.stored().await?;
    check_eq!(at.done(&commit).await?, first);
    check_eq!(at.stored().await?, stored);
    check_eq!(at.events().await?.len(), 3);
    // Another commit of the same job is none.
    check!(at.refused(&at.whole()).await?.settled.is_lost());
    check_eq!(at.stored().await?, stored);
    Ok(())
}

async fn the_next_job_gets_the_key_of_the_settled_one(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let parts = at.done(&at.bare().with_job(keyed("2"))).await?;
    let next = parts.pushed[0].id().cloned();
    check_matches!(at.queue.push_one(keyed("3")).await?, Pushed::Held { by } if Some(by) == next.as_ref());
    let claimed = at.queue.claim_one().await?;
    check_eq!(at.queue.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Done);
    check!(at.queue.push_one(keyed("3")).await?.is_new(), "the key is free");

    // One that waits keeps its key.
    let claimed = at.queue.claim_one().await?;
    let snooze = Commit::new(claimed.lease.clone(), Outcome::Snooze { after: secs(60) }).with_job(keyed("4"));
    let parts = at.refused(&snooze).await?;
    check_eq!(parts.pushed, [Pushed::Held { by: claimed.id().clone() }]);
    Ok(())
}

async fn a_job_that_does_not_come_back_leaves_its_key_to_the_next_one(fixture: Fixture) -> Verdict {
    let once = RetryPolicy::new(1, Backoff::Fixed(secs(1)));
    let at = AtHome::with(fixture, keyed("1").with_retry(once)).await?;
    let last_attempt = at.ending(Outcome::Retry { after: secs(60), error: "no".to_owned() });
    at.done(&last_attempt.with_job(keyed("2"))).await?;
    check_eq!(at.queue.counts().await?.dead, 1);

    let claimed = at.queue.claim_one().await?;
    check_eq!(at.queue.fixture.state.cancel(&at.queue.name, claimed.id()).await?, Cancelled::Requested);
    let cancelled = Commit::new(claimed.lease, Outcome::Snooze { after: secs(60) });
    at.done(&cancelled.with_job(keyed("3"))).await?;
    check_eq!(&at.queue.claim_one().await?.payload[..], b"3");
    Ok(())
}

async fn the_next_job_reaches_a_waiter(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let waiter = at.queue.waiter(1, 1).await?;
    at.done(&at.whole()).await?;
    let jobs = at.queue.served(waiter.as_ref(), 1, 1).await?;
    check_eq!(jobs.first().map(|job| &job.payload[..]), Some(&b"2"[..]));
    Ok(())
}

async fn a_job_may_have_any_form(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let plain = NewJob::new("plain").with_retry(attempts(3));
    let jobs = [plain.clone(), plain.clone().with_delay(secs(60)), plain.with_start_within(secs(60)), keyed("keyed")];
    let commit = jobs.into_iter().fold(at.bare(), Commit::with_job);
    let parts = at.done(&commit).await?;
    check!(parts.pushed.iter().all(Pushed::is_new));
    let counts = at.queue.counts().await?;
    check_eq!((counts.ready, counts.scheduled, counts.running), (3, 1, 0));
    let claimed = at.queue.claim(10).await?.jobs;
    check_eq!(claimed.len(), 3);
    for claimed in &claimed {
        check_eq!(at.queue.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Done);
    }
    check_eq!(at.queue.counts().await?.pending(), 1);
    Ok(())
}

async fn a_part_above_its_limit_is_refused(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let before = at.stored().await?;
    let output = vec![b'x'; StepInfo::MAX_OUTPUT_BYTES + 1];
    let many = (0..=Commit::MAX_JOBS).fold(at.whole(), |commit, _| commit.with_job(NewJob::new("")));
    let mut large_token = token(1);
    large_token.token = Bytes::from(vec![b'x'; store_core::ResumeToken::MAX_BYTES + 1]);
    let commits = [
        at.whole().with_step(charge(), output),
        many,
        at.whole().with_job(NewJob::new(vec![0; NewJob::MAX_PAYLOAD_BYTES + 1])),
        at.whole().with_token(large_token),
        at.ending(Outcome::Snooze { after: NewJob::MAX_DELAY + secs(1) }).with_token(token(1)),
    ];
    for commit in commits {
        check_matches!(at.commit(&commit).await, Err(Error::InvalidArgument { .. }));
        check_eq!(at.stored().await?, before);
    }
    // The limits themselves are no reason.
    let mut largest = token(1);
    largest.token = Bytes::from(vec![b'x'; store_core::ResumeToken::MAX_BYTES]);
    let commit = (1..Commit::MAX_JOBS).fold(at.whole().with_token(largest), |all, _| all.with_job(NewJob::new("")));
    at.done(&commit.with_step(charge(), vec![b'x'; StepInfo::MAX_OUTPUT_BYTES])).await?;
    check_eq!(at.queue.counts().await?.ready, Commit::MAX_JOBS as u64);
    Ok(())
}

async fn a_later_delivery_can_commit(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    at.queue.extend(&at.lease, LEASE).await?;
    at.queue.fixture.advance(LEASE);
    let second = at.queue.claim_one().await?;
    let first = at.refused(&at.whole()).await?;
    check!(first.settled.is_lost());
    let mut commit = at.whole();
    commit.settlement.lease = second.lease;
    at.done(&commit).await?;
    check_eq!(at.stored().await?.step.map(|step| step.state), Some(StepState::Finished));
    Ok(())
}

async fn it_can_wait_for_the_disk(fixture: Fixture) -> Verdict {
    let at = AtHome::new(fixture).await?;
    let (durability, commit) = (Durability::Fsynced { within: secs(10) }, at.whole());
    for _ in 0..2 {
        let receipt = at.home.commit(&commit, durability).await?;
        check!(receipt.reached.on_disk && receipt.value.done().is_some());
    }
    Ok(())
}

async fn everything_is_there_when_the_store_is_opened_again(fixture: Fixture) -> Verdict {
    let at = AtHome::with(fixture, keyed("1").with_id(job_id("first"))).await?;
    at.done(&at.whole()).await?;
    let stored = at.stored().await?;
    let AtHome { queue, run, lease, home } = at;
    drop(home);
    let fixture = queue.fixture.reopen().await?;
    let queue = QueueFixture::from(fixture);
    let home = queue.fixture.state.home(&queue.name, &unique_key(super::KEY));
    let at = AtHome { queue, run, lease, home };
    check_eq!(at.stored().await?, stored);
    check!(at.queue.get("first").await?.is_none());
    Ok(())
}
