//! Deliveries of which no worker ever heard: their claim's reply was lost.

use store_core::{JobId, JobState, NewJob, Op, Settled};

use super::queue_fixture::{LEASE, QueueFixture, attempts, job, retry};
use crate::case::cases;
use crate::fixture::secs;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::QueueClaim;
    a_delivery_that_was_never_heard_is_no_attempt,
    from_the_fourth_on_an_unheard_delivery_is_an_attempt,
    a_job_that_is_never_heard_dies,
    unheard_jobs_that_were_pushed_together_come_back,
    an_extended_delivery_is_an_attempt,
    a_failed_delivery_is_an_attempt,
    an_unheard_lease_is_lost,
}

async fn a_delivery_that_was_never_heard_is_no_attempt(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_retry(attempts(1))).await?;
    queue.claim_one().await?;
    queue.fixture.advance(LEASE);
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.attempt, claimed.last_error), (1, None));
    check_eq!(queue.info("a").await?.attempts, 1);
    Ok(())
}

async fn from_the_fourth_on_an_unheard_delivery_is_an_attempt(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    for attempt in [1, 1, 1, 1, 2, 3] {
        check_eq!(queue.claim_one().await?.attempt, attempt);
        queue.fixture.advance(LEASE);
    }
    Ok(())
}

async fn a_job_that_is_never_heard_dies(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_retry(attempts(2))).await?;
    for _ in 0..5 {
        queue.claim_one().await?;
        queue.fixture.advance(LEASE);
    }
    check_eq!(queue.claim(1).await?.jobs, []);
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts), (JobState::Dead, 2));
    Ok(())
}

async fn unheard_jobs_that_were_pushed_together_come_back(queue: QueueFixture) -> Verdict {
    queue.push(&vec![NewJob::new("x"); 10]).await?;
    let ids = async |max| {
        let jobs = queue.claim(max).await?.jobs;
        check!(jobs.iter().all(|job| job.attempt == 1 && job.last_error.is_none()), "{jobs:?}");
        let mut ids: Vec<JobId> = jobs.into_iter().map(|job| job.lease.job).collect();
        ids.sort();
        Ok::<_, crate::verdict::BrokenPromise>(ids)
    };
    let lost = ids(4).await?;
    let others = ids(10).await?;
    check_eq!((lost.len(), others.len()), (4, 6));
    queue.fixture.advance(LEASE);
    let again = ids(10).await?;
    let mut all = [lost, others].concat();
    all.sort();
    check_eq!(again, all);
    Ok(())
}

async fn an_extended_delivery_is_an_attempt(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.claim_heard().await?;
    queue.fixture.advance(LEASE);
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.attempt, claimed.last_error.as_deref()), (2, Some("lease ran out")));
    queue.fixture.advance(LEASE);
    check_eq!(queue.claim_one().await?.attempt, 2);
    Ok(())
}

async fn a_failed_delivery_is_an_attempt(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, retry(secs(0))).await?;
    check_eq!(queue.claim_one().await?.attempt, 2);
    Ok(())
}

async fn an_unheard_lease_is_lost(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let lost = queue.claim_one().await?;
    queue.fixture.advance(LEASE);
    let claimed = queue.claim_one().await?;
    check!(claimed.lease.fence > lost.lease.fence);
    check_eq!(queue.settle(&lost.lease, retry(secs(0))).await?, Settled::Lost);
    check!(queue.extend(&lost.lease, LEASE).await?.is_lost());
    Ok(())
}
