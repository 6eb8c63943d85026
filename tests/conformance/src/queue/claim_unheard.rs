//! Deliveries of which no worker ever heard: their claim's reply was lost.

use store_core::{ClaimedJob, JobId, JobState, NewJob, Op, Outcome, Pushed, RetryPolicy, Settled};

use super::queue_fixture::{LEASE, QueueFixture, attempts, job, retry};
use crate::case::cases;
use crate::fixture::secs;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::QueueClaim;
    a_delivery_that_was_never_heard_is_no_attempt,
    from_the_fourth_on_an_unheard_delivery_is_an_attempt,
    from_the_fourth_on_an_unheard_delivery_of_jobs_that_were_pushed_together_is_an_attempt,
    unheard_deliveries_of_some_jobs_of_a_push_count_as_those_of_a_single_job,
    a_job_takes_the_count_of_its_unheard_deliveries_along,
    unheard_deliveries_of_other_jobs_of_its_push_do_not_count_for_a_job,
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

async fn from_the_fourth_on_an_unheard_delivery_of_jobs_that_were_pushed_together_is_an_attempt(
    queue: QueueFixture,
) -> Verdict {
    queue.push(&vec![NewJob::new("x"); 2]).await?;
    for attempt in [1, 1, 1, 1, 2, 3] {
        check_eq!(attempts_of(&queue.claim(2).await?.jobs), [attempt; 2]);
        queue.fixture.advance(LEASE);
    }
    Ok(())
}

fn attempts_of(jobs: &[ClaimedJob]) -> Vec<u32> {
    jobs.iter().map(|job| job.attempt).collect()
}

/// Two of three plain jobs of a push are never heard; the third one is held meanwhile.
async fn unheard_deliveries_of_some_jobs_of_a_push_count_as_those_of_a_single_job(queue: QueueFixture) -> Verdict {
    queue.push(&vec![NewJob::new("x"); 3]).await?;
    check_eq!(queue.claim(2).await?.jobs.len(), 2);
    check_eq!(queue.claim_for(1, 100 * LEASE).await?.jobs.len(), 1);
    for attempt in [1, 1, 1, 2, 3] {
        queue.fixture.advance(LEASE);
        check_eq!(attempts_of(&queue.claim(3).await?.jobs), [attempt; 2]);
    }
    Ok(())
}

/// All jobs of a push are unheard twice, then one of them alone.
async fn a_job_takes_the_count_of_its_unheard_deliveries_along(queue: QueueFixture) -> Verdict {
    queue.push(&vec![NewJob::new("x"); 3]).await?;
    for _ in 0..2 {
        check_eq!(queue.claim(3).await?.jobs.len(), 3);
        queue.fixture.advance(LEASE);
    }
    let released = queue.claim(3).await?.jobs.swap_remove(1).lease;
    queue.settle(&released, Outcome::Release).await?;
    for attempt in [1, 1, 2, 3] {
        let claimed = queue.claim_for(1, secs(1)).await?.jobs;
        check_eq!((&claimed[0].lease.job, claimed[0].attempt), (&released.job, attempt));
        queue.fixture.advance(secs(1));
    }
    Ok(())
}

async fn unheard_deliveries_of_other_jobs_of_its_push_do_not_count_for_a_job(queue: QueueFixture) -> Verdict {
    queue.push(&vec![NewJob::new("x").with_retry(RetryPolicy::never()); 8]).await?;
    for lease in 1..=4 {
        check_eq!(queue.claim_for(2, LEASE * lease).await?.jobs.len(), 2);
    }
    // The leases end one after the other, each in a claim that holds its jobs.
    for _ in 0..4 {
        queue.fixture.advance(LEASE);
        let jobs = queue.claim_for(8, secs(3600)).await?.jobs;
        check_eq!(attempts_of(&jobs), [1; 2]);
    }
    check_eq!(queue.counts().await?.dead, 0);
    Ok(())
}

async fn a_job_that_is_never_heard_dies(queue: QueueFixture) -> Verdict {
    for jobs in [vec![job("a")], vec![NewJob::new("x"); 2]] {
        let jobs: Vec<_> = jobs.into_iter().map(|job| job.with_retry(attempts(2))).collect();
        let pushed = queue.push(&jobs).await?;
        for _ in 0..5 {
            check_eq!(queue.claim(2).await?.jobs.len(), jobs.len());
            queue.fixture.advance(LEASE);
        }
        check_eq!(queue.claim(2).await?.jobs, []);
        for id in pushed.iter().filter_map(Pushed::id) {
            let info = queue.info(id.as_str()).await?;
            check_eq!((info.state, info.attempts), (JobState::Dead, 2));
        }
    }
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
