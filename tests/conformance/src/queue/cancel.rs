//! Cancelling jobs.

use store_core::{Cancelled, Counts, Extended, Extension, JobState, Op, Outcome, Settled};

use super::queue_fixture::{LEASE, QueueFixture, job, job_id, only, retry};
use crate::case::cases;
use crate::fixture::secs;
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::QueueCancel;
    a_ready_job_is_removed,
    a_scheduled_job_is_removed,
    a_job_that_waits_for_its_retry_is_removed,
    the_worker_of_a_running_job_is_asked,
    another_service_cancels_a_job_that_is_running,
    a_running_job_whose_lease_ran_out_is_asked_for,
    a_job_that_was_asked_for_does_not_come_back,
    a_finished_job_is_left_alone,
    an_unknown_job_is_unknown,
    asking_twice_finds_what_the_first_made,
}

async fn a_ready_job_is_removed(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    check_eq!(queue.cancel("a").await?, Cancelled::Removed);
    check_eq!(queue.get("a").await?, None);
    check_eq!(queue.claim_ids(10).await?, ["b"]);
    Ok(())
}

async fn a_scheduled_job_is_removed(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5))).await?;
    check_eq!(queue.cancel("a").await?, Cancelled::Removed);
    queue.fixture.advance(secs(5));
    check!(queue.claim(10).await?.jobs.is_empty());
    check_eq!(queue.counts().await?, Counts::default());
    Ok(())
}

async fn a_job_that_waits_for_its_retry_is_removed(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, retry(secs(5))).await?;
    check_eq!(queue.cancel("a").await?, Cancelled::Removed);
    queue.push_ids(&["a"]).await?;
    let again = queue.claim_one().await?;
    check_eq!((again.attempt, again.last_error), (1, None));
    Ok(())
}

async fn the_worker_of_a_running_job_is_asked(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    check_eq!(queue.cancel("a").await?, Cancelled::Requested);
    check_matches!(queue.extend(&claimed.lease, LEASE).await?, Extended::CancelRequested(_));
    check_eq!(queue.settle(&claimed.lease, Outcome::Cancelled).await?, Settled::Done);
    check_eq!(queue.get("a").await?, None);
    Ok(())
}

async fn a_running_job_whose_lease_ran_out_is_asked_for(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.claim_one().await?;
    queue.fixture.advance(LEASE);
    check_eq!(queue.cancel("a").await?, Cancelled::Requested);
    check!(queue.claim(1).await?.jobs.is_empty());
    check_eq!(queue.get("a").await?, None);
    Ok(())
}

async fn a_job_that_was_asked_for_does_not_come_back(queue: QueueFixture) -> Verdict {
    let ends = [retry(secs(5)), retry(secs(0)), Outcome::Snooze { after: secs(5) }, Outcome::Release];
    for outcome in ends {
        queue.push_ids(&["a"]).await?;
        let claimed = queue.claim_one().await?;
        check_eq!(queue.cancel("a").await?, Cancelled::Requested);
        check_eq!(queue.settle(&claimed.lease, outcome.clone()).await?, Settled::Done);
        check_eq!(queue.get("a").await?, None);
        check_eq!(queue.settle(&claimed.lease, outcome).await?, Settled::Lost);
        check_eq!(queue.counts().await?, Counts::default());
    }
    Ok(())
}

async fn a_finished_job_is_left_alone(queue: QueueFixture) -> Verdict {
    queue.finish("completed").await?;
    queue.bury("dead").await?;
    for id in ["completed", "dead"] {
        check_eq!(queue.cancel(id).await?, Cancelled::Finished);
    }
    check_eq!(queue.counts().await?, Counts::new(0, 0, 0, 1, 1));
    Ok(())
}

async fn an_unknown_job_is_unknown(queue: QueueFixture) -> Verdict {
    check_eq!(queue.cancel("a").await?, Cancelled::Unknown);
    Ok(())
}

async fn asking_twice_finds_what_the_first_made(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.claim_one().await?;
    queue.push_ids(&["b"]).await?;
    let answers = [queue.cancel("a").await?, queue.cancel("a").await?];
    check_eq!(answers, [Cancelled::Requested; 2]);
    check_eq!([queue.cancel("b").await?, queue.cancel("b").await?], [Cancelled::Removed, Cancelled::Unknown]);
    check_eq!(queue.info("a").await?.state, JobState::Running);
    Ok(())
}

async fn another_service_cancels_a_job_that_is_running(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    let theirs = &queue.fixture.other_state;
    check_eq!(theirs.cancel(&queue.name, &job_id("a")).await?, Cancelled::Requested);
    check_matches!(queue.extend(&claimed.lease, LEASE).await?, Extended::CancelRequested(_));
    // The next renewal of the lease returns the request.
    let extensions = [Extension::new(claimed.lease.clone())];
    let extended = only(theirs.extend(&queue.name, &extensions, LEASE).await?)?;
    check_matches!(extended, Extended::CancelRequested(_));
    check_eq!(queue.settle(&claimed.lease, Outcome::Cancelled).await?, Settled::Done);
    check_eq!(theirs.get(&queue.name, &job_id("a")).await?, None);
    Ok(())
}
