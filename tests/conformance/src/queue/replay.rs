//! Replaying dead jobs.

use store_core::{Counts, Error, JobState, NewJob, Op, Outcome, Pushed, Replayed, Settled, Unique, UniqueUntil};

use super::queue_fixture::{QueueFixture, attempts, dead, job, job_id, kept, retry};
use crate::case::cases;
use crate::fixture::{secs, unique_key};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::QueueReplay;
    a_dead_job_is_ready_again,
    a_replayed_job_has_all_its_attempts,
    a_replayed_job_goes_behind_the_others: OneOrder,
    a_replayed_job_has_no_deadline_any_more,
    a_replayed_job_lives_a_whole_life,
    only_dead_jobs_are_replayed,
    jobs_are_answered_in_order,
    replaying_twice_finds_what_the_first_made,
    batches_outside_their_bounds_are_refused,
    a_replayed_job_takes_its_unique_key_again,
    a_job_whose_unique_key_is_held_is_not_replayed,
    of_two_dead_jobs_with_one_unique_key_one_is_replayed: OneOrder,
    a_replayed_job_gives_a_key_until_the_claim_back_when_it_is_claimed,
    a_unique_key_for_a_time_is_not_taken_again,
}

fn unique(id: &str, until: UniqueUntil) -> NewJob {
    job(id).with_unique(Unique::new(unique_key("key"), until))
}

/// Pushes a job with a unique key and makes it dead.
async fn bury(queue: &QueueFixture, id: &str, until: UniqueUntil) -> Verdict {
    check!(queue.push_one(unique(id, until)).await?.is_new());
    let claimed = queue.claim_one().await?;
    check_eq!(queue.settle(&claimed.lease, dead("broken")).await?, Settled::Done);
    Ok(())
}

/// Which job holds the key: pushes a job that is refused.
async fn holder(queue: &QueueFixture) -> Result<Pushed, BrokenPromise> {
    queue.push_one(unique("other", UniqueUntil::Finished)).await
}

async fn a_replayed_job_takes_its_unique_key_again(queue: QueueFixture) -> Verdict {
    bury(&queue, "a", UniqueUntil::Finished).await?;
    check_eq!(queue.replay("a").await?, Replayed::Replayed);
    check_eq!(holder(&queue).await?, Pushed::Held { by: job_id("a") });
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.lease.job.as_str(), claimed.attempt, claimed.last_error.as_deref()), ("a", 1, None));
    check_eq!(holder(&queue).await?, Pushed::Held { by: job_id("a") });
    check_eq!(queue.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Done);
    check!(holder(&queue).await?.is_new());
    Ok(())
}

async fn a_job_whose_unique_key_is_held_is_not_replayed(queue: QueueFixture) -> Verdict {
    bury(&queue, "a", UniqueUntil::Finished).await?;
    queue.push_one(unique("b", UniqueUntil::Finished)).await?;
    for _ in 0..2 {
        check_eq!(queue.replay("a").await?, Replayed::Held { by: job_id("b") });
        let info = queue.info("a").await?;
        check_eq!((info.state, info.last_error.as_deref()), (JobState::Dead, Some("broken")));
    }
    check_eq!(queue.claim_ids(10).await?, ["b"]);
    check_eq!(queue.replay("a").await?, Replayed::Held { by: job_id("b") });
    queue.cancel("b").await?;
    queue.fixture.advance(secs(3600));
    check_eq!(queue.claim_ids(10).await?, Vec::<String>::new());
    check_eq!(queue.replay("a").await?, Replayed::Replayed);
    check_eq!(holder(&queue).await?, Pushed::Held { by: job_id("a") });
    Ok(())
}

async fn of_two_dead_jobs_with_one_unique_key_one_is_replayed(queue: QueueFixture) -> Verdict {
    bury(&queue, "a", UniqueUntil::Finished).await?;
    bury(&queue, "b", UniqueUntil::Claimed).await?;
    let replayed = queue.fixture.state.replay(&queue.name, &["b", "a", "b"].map(job_id)).await?;
    check_eq!(replayed, [Replayed::Replayed, Replayed::Held { by: job_id("b") }, Replayed::NotDead]);
    check_eq!(queue.claim_ids(10).await?, ["b"]);
    Ok(())
}

async fn a_replayed_job_gives_a_key_until_the_claim_back_when_it_is_claimed(queue: QueueFixture) -> Verdict {
    bury(&queue, "a", UniqueUntil::Claimed).await?;
    check_eq!(queue.replay("a").await?, Replayed::Replayed);
    check_eq!(holder(&queue).await?, Pushed::Held { by: job_id("a") });
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.attempt, claimed.last_error.as_deref()), (1, None));
    check!(holder(&queue).await?.is_new());
    check_eq!(queue.settle(&claimed.lease, retry(secs(0))).await?, Settled::Done);
    check_eq!(queue.claim_ids(10).await?, ["other", "a"]);
    bury(
        &QueueFixture { name: queue.fixture.queue("cancelled"), fixture: queue.fixture.share() },
        "a",
        UniqueUntil::Claimed,
    )
    .await?;
    let queue = QueueFixture { name: queue.fixture.queue("cancelled"), fixture: queue.fixture };
    queue.replay("a").await?;
    queue.cancel("a").await?;
    check!(holder(&queue).await?.is_new());
    Ok(())
}

async fn a_unique_key_for_a_time_is_not_taken_again(queue: QueueFixture) -> Verdict {
    bury(&queue, "a", UniqueUntil::Elapsed(secs(60))).await?;
    check_eq!(queue.replay("a").await?, Replayed::Replayed);
    check_eq!(holder(&queue).await?, Pushed::Held { by: job_id("a") });
    queue.fixture.advance(secs(60));
    check!(holder(&queue).await?.is_new());
    Ok(())
}

async fn a_dead_job_is_ready_again(queue: QueueFixture) -> Verdict {
    queue.bury("a").await?;
    check_eq!(queue.replay("a").await?, Replayed::Replayed);
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.at), (JobState::Ready, 0, None));
    check_eq!((info.worker, info.last_error), (None, None));
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.attempt, claimed.last_error, claimed.payload.as_ref()), (1, None, b"a".as_slice()));
    Ok(())
}

async fn a_replayed_job_has_all_its_attempts(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_retry(attempts(2))).await?;
    for _ in 0..2 {
        for attempt in 1..=2 {
            let claimed = queue.claim_one().await?;
            check_eq!(claimed.attempt, attempt);
            queue.settle(&claimed.lease, retry(secs(0))).await?;
        }
        check_eq!(queue.info("a").await?.state, JobState::Dead);
        check_eq!(queue.replay("a").await?, Replayed::Replayed);
    }
    Ok(())
}

async fn a_replayed_job_goes_behind_the_others(queue: QueueFixture) -> Verdict {
    queue.bury("a").await?;
    queue.push_ids(&["b"]).await?;
    queue.replay("a").await?;
    check_eq!(queue.claim_ids(10).await?, ["b", "a"]);
    Ok(())
}

async fn a_replayed_job_has_no_deadline_any_more(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_start_within(secs(1))).await?;
    queue.fixture.advance(secs(1));
    queue.claim(1).await?;
    check_eq!(queue.info("a").await?.state, JobState::Dead);
    check_eq!(queue.replay("a").await?, Replayed::Replayed);
    queue.fixture.advance(secs(60));
    check_eq!(queue.claim_one().await?.attempt, 1);
    Ok(())
}

async fn a_replayed_job_lives_a_whole_life(queue: QueueFixture) -> Verdict {
    queue.bury("a").await?;
    queue.replay("a").await?;
    let claimed = queue.claim_one().await?;
    check_eq!(queue.settle(&claimed.lease, dead("again")).await?, Settled::Done);
    check_eq!(queue.info("a").await?.last_error.as_deref(), Some("again"));
    queue.replay("a").await?;
    let claimed = queue.claim_one().await?;
    check_eq!(queue.settle(&claimed.lease, kept("result", secs(60))).await?, Settled::Done);
    check_eq!(queue.info("a").await?.result.as_deref(), Some(b"result".as_slice()));
    Ok(())
}

async fn only_dead_jobs_are_replayed(queue: QueueFixture) -> Verdict {
    queue.finish("completed").await?;
    queue.push_ids(&["running"]).await?;
    queue.claim_one().await?;
    queue.push_ids(&["ready"]).await?;
    queue.push_one(job("scheduled").with_delay(secs(5))).await?;
    for id in ["completed", "running", "ready", "scheduled", "unknown"] {
        check_eq!(queue.replay(id).await?, Replayed::NotDead);
    }
    check_eq!(queue.counts().await?, Counts::new(1, 1, 1, 1, 0));
    Ok(())
}

async fn jobs_are_answered_in_order(queue: QueueFixture) -> Verdict {
    queue.bury("a").await?;
    queue.bury("b").await?;
    let ids = ["b", "unknown", "a", "b"].map(job_id);
    check_eq!(
        queue.fixture.state.replay(&queue.name, &ids).await?,
        [Replayed::Replayed, Replayed::NotDead, Replayed::Replayed, Replayed::NotDead]
    );
    check_eq!(queue.claim_sorted(10).await?, ["a", "b"]);
    Ok(())
}

async fn replaying_twice_finds_what_the_first_made(queue: QueueFixture) -> Verdict {
    queue.bury("a").await?;
    check_eq!([queue.replay("a").await?, queue.replay("a").await?], [Replayed::Replayed, Replayed::NotDead]);
    check_eq!(queue.counts().await?, Counts::new(1, 0, 0, 0, 0));
    Ok(())
}

async fn batches_outside_their_bounds_are_refused(queue: QueueFixture) -> Verdict {
    for count in [0, NewJob::MAX_BATCH + 1] {
        let refused = queue.fixture.state.replay(&queue.name, &vec![job_id("a"); count]).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::QueueReplay, .. }));
    }
    Ok(())
}
