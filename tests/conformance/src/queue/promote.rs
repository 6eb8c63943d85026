//! Making scheduled jobs ready immediately.

use store_core::{Counts, Error, JobState, NewJob, Op, Priority};

use super::queue_fixture::{QueueFixture, job, job_id, retry};
use crate::case::cases;
use crate::fixture::secs;
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::QueuePromote;
    a_scheduled_job_is_ready_at_once,
    a_promoted_job_goes_behind_the_others_of_its_priority: OneOrder,
    a_job_that_waits_for_its_retry_is_ready_at_once,
    only_scheduled_jobs_are_promoted,
    jobs_are_answered_in_order,
    promoting_twice_finds_what_the_first_made,
    batches_outside_their_bounds_are_refused,
}

async fn a_scheduled_job_is_ready_at_once(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5))).await?;
    check_eq!(queue.promote("a").await?, true);
    check_eq!((queue.info("a").await?.state, queue.info("a").await?.at), (JobState::Ready, None));
    let claim = queue.claim(1).await?;
    check_eq!(claim.jobs.len(), 1);
    queue.fixture.advance(secs(5));
    check_eq!(queue.claim_ids(1).await?, [""; 0]);
    Ok(())
}

async fn a_promoted_job_goes_behind_the_others_of_its_priority(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5)).with_priority(Priority::High)).await?;
    queue.push_ids(&["normal"]).await?;
    queue.push_one(job("high").with_priority(Priority::High)).await?;
    queue.promote("a").await?;
    check_eq!(queue.claim_ids(10).await?, ["high", "a", "normal"]);
    Ok(())
}

async fn a_job_that_waits_for_its_retry_is_ready_at_once(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, retry(secs(60))).await?;
    check_eq!(queue.promote("a").await?, true);
    let again = queue.claim_one().await?;
    check_eq!((again.attempt, again.last_error.as_deref()), (2, Some("broken")));
    Ok(())
}

async fn only_scheduled_jobs_are_promoted(queue: QueueFixture) -> Verdict {
    queue.bury("dead").await?;
    queue.finish("completed").await?;
    queue.push_ids(&["running"]).await?;
    queue.claim_one().await?;
    queue.push_ids(&["ready"]).await?;
    for id in ["dead", "completed", "running", "ready", "unknown"] {
        check_eq!(queue.promote(id).await?, false);
    }
    check_eq!(queue.counts().await?, Counts::new(1, 0, 1, 1, 1));
    Ok(())
}

async fn jobs_are_answered_in_order(queue: QueueFixture) -> Verdict {
    queue.push(&["a", "b"].map(|id| job(id).with_delay(secs(5)))).await?;
    let ids = ["b", "unknown", "a", "b"].map(job_id);
    check_eq!(queue.fixture.state.promote(&queue.name, &ids).await?, [true, false, true, false]);
    check_eq!(queue.claim_sorted(10).await?, ["a", "b"]);
    Ok(())
}

async fn promoting_twice_finds_what_the_first_made(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5))).await?;
    check_eq!([queue.promote("a").await?, queue.promote("a").await?], [true, false]);
    check_eq!(queue.counts().await?, Counts::new(1, 0, 0, 0, 0));
    Ok(())
}

async fn batches_outside_their_bounds_are_refused(queue: QueueFixture) -> Verdict {
    for count in [0, NewJob::MAX_BATCH + 1] {
        let refused = queue.fixture.state.promote(&queue.name, &vec![job_id("a"); count]).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::QueuePromote, .. }));
    }
    Ok(())
}
