//! The leases of claimed jobs: their fences, their end, and what happens after it.

use std::time::Duration;

use store_core::{Counts, Fence, JobState, NewJob, Op, Outcome, Settled};

use super::queue_fixture::{LEASE, QueueFixture, attempts, job, retry};
use crate::case::cases;
use crate::fixture::{look_again, ms, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::QueueClaim;
    a_lease_lasts_as_long_as_asked,
    the_end_of_a_lease_is_rounded_up_to_a_millisecond,
    the_jobs_of_one_claim_share_a_token,
    tokens_rise_while_the_clock_stands_still: OneOrder,
    tokens_are_not_behind_the_clock,
    tokens_rise_across_jobs_and_empty_queues,
    a_lease_that_ran_out_gives_the_job_back,
    leases_run_out_in_the_order_of_their_ends: OneOrder,
    each_lease_of_jobs_that_were_pushed_together_runs_out_at_its_own_end,
    what_was_given_back_goes_behind_what_is_ready: OneOrder,
    the_last_lease_that_runs_out_is_the_death_of_the_job,
    a_lease_that_ran_out_after_a_cancellation_forgets_the_job,
    a_lease_that_ran_out_does_not_keep_progress,
    the_next_delivery_learns_why_the_last_one_failed,
    a_worker_that_never_settles_uses_up_all_attempts,
    a_lease_runs_out_by_the_clock_of_the_store,
    tokens_rise_across_a_restart: Reopen OneOrder,
}

async fn a_lease_lasts_as_long_as_asked(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    check_eq!(claimed.lease.until, queue.fixture.now().after(LEASE));
    check_eq!(queue.info("a").await?.at, Some(claimed.lease.until));
    Ok(())
}

async fn the_end_of_a_lease_is_rounded_up_to_a_millisecond(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claim = queue.claim_for(1, Duration::from_micros(10_001)).await?;
    check_eq!(claim.jobs[0].lease.until, queue.fixture.now().after(ms(11)));
    Ok(())
}

async fn the_jobs_of_one_claim_share_a_token(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    let fences: Vec<Fence> = queue.claim(3).await?.jobs.iter().map(|job| job.lease.fence).collect();
    check_eq!(fences, [fences[0]; 3]);
    Ok(())
}

async fn tokens_rise_while_the_clock_stands_still(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    let fences =
        [queue.claim_one().await?, queue.claim_one().await?, queue.claim_one().await?].map(|job| job.lease.fence);
    check!(fences[0] < fences[1] && fences[1] < fences[2], "{fences:?} do not rise");
    Ok(())
}

async fn tokens_are_not_behind_the_clock(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    for _ in 0..2 {
        queue.fixture.advance(secs(3600));
        let fence = queue.claim_one().await?.lease.fence;
        let micros = Fence::new(queue.fixture.now().as_millis() * 1000);
        check!(fence >= micros, "{fence} is behind {micros} µs");
    }
    Ok(())
}

async fn tokens_rise_across_jobs_and_empty_queues(queue: QueueFixture) -> Verdict {
    let mut last = Fence::new(0);
    for _ in 0..5 {
        queue.push_ids(&["a"]).await?;
        let claimed = queue.claim_one().await?;
        check!(claimed.lease.fence > last);
        last = claimed.lease.fence;
        queue.settle(&claimed.lease, Outcome::Complete(None)).await?;
    }
    Ok(())
}

async fn a_lease_that_ran_out_gives_the_job_back(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let lost = queue.claim_heard().await?;
    queue.fixture.advance(LEASE);
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.attempt, claimed.last_error.as_deref()), (2, Some("lease ran out")));
    check!(claimed.lease.fence > lost.lease.fence);
    Ok(())
}

async fn leases_run_out_in_the_order_of_their_ends(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    for lease in [secs(30), secs(10), secs(20)] {
        queue.claim_for(1, lease).await?;
    }
    queue.fixture.advance(secs(30));
    check_eq!(queue.claim_ids(10).await?, ["b", "c", "a"]);
    Ok(())
}

async fn each_lease_of_jobs_that_were_pushed_together_runs_out_at_its_own_end(queue: QueueFixture) -> Verdict {
    queue.push(&vec![NewJob::new("x"); 4]).await?;
    let first = queue.claim(2).await?.jobs;
    queue.fixture.advance(LEASE / 2);
    check_eq!(queue.claim(10).await?.jobs.len(), 2);
    queue.fixture.advance(LEASE / 2);
    let again = queue.claim(10).await?.jobs;
    check_eq!(again.len(), 2);
    check!(again.iter().all(|job| first.iter().any(|lost| lost.id() == job.id())), "{again:?} is not {first:?}");
    Ok(())
}

async fn what_was_given_back_goes_behind_what_is_ready(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    queue.claim_one().await?;
    queue.push_one(job("due").with_delay(secs(1))).await?;
    queue.fixture.advance(LEASE);
    check_eq!(queue.claim_ids(10).await?, ["b", "due", "a"]);
    Ok(())
}

async fn the_last_lease_that_runs_out_is_the_death_of_the_job(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_retry(attempts(1))).await?;
    let lost = queue.claim_heard().await?;
    queue.fixture.advance(LEASE + secs(1));
    check_eq!(queue.claim(1).await?.jobs, []);
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.at), (JobState::Dead, 1, Some(queue.fixture.now())));
    check_eq!(info.last_error.as_deref(), Some("lease ran out on the last attempt"));
    check_eq!(queue.settle(&lost.lease, Outcome::Complete(None)).await?, Settled::Lost);
    Ok(())
}

async fn a_lease_that_ran_out_after_a_cancellation_forgets_the_job(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.claim_one().await?;
    queue.cancel("a").await?;
    queue.fixture.advance(LEASE);
    check_eq!(queue.claim(1).await?.jobs, []);
    check_eq!(queue.get("a").await?, None);
    check_eq!(queue.counts().await?, Counts::default());
    Ok(())
}

async fn a_lease_that_ran_out_does_not_keep_progress(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let lost = queue.claim_one().await?;
    queue.report(&lost.lease, "half way").await?;
    queue.fixture.advance(LEASE);
    queue.claim_one().await?;
    check_eq!(queue.info("a").await?.progress, None);
    Ok(())
}

async fn the_next_delivery_learns_why_the_last_one_failed(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    check_eq!(claimed.last_error, None);
    queue.settle(&claimed.lease, retry(ms(0))).await?;
    let claimed = queue.claim_one().await?;
    check_eq!(claimed.last_error.as_deref(), Some("broken"));
    check_eq!(queue.info("a").await?.last_error.as_deref(), Some("broken"));
    Ok(())
}

async fn a_worker_that_never_settles_uses_up_all_attempts(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_retry(attempts(3))).await?;
    for attempt in 1..=3 {
        check_eq!(queue.claim_heard().await?.attempt, attempt);
        queue.fixture.advance(LEASE);
    }
    check_eq!(queue.claim(1).await?.jobs, []);
    check_eq!(queue.counts().await?, Counts::new(0, 0, 0, 0, 1));
    Ok(())
}

async fn a_lease_runs_out_by_the_clock_of_the_store(queue: QueueFixture) -> Verdict {
    let queue = QueueFixture::from(queue.fixture.on_server_clock().await?);
    queue.push_ids(&["a"]).await?;
    let lost = queue.claim_for(1, ms(50)).await?.jobs.remove(0);
    let again = loop {
        if let Some(job) = queue.claim_for(1, secs(600)).await?.jobs.pop() {
            break job;
        }
        look_again().await;
    };
    check!(again.lease.fence > lost.lease.fence);
    check!(again.claimed_at >= lost.lease.until);
    check_eq!(queue.settle(&lost.lease, Outcome::Complete(None)).await?, Settled::Lost);
    check_eq!(queue.settle(&again.lease, Outcome::Complete(None)).await?, Settled::Done);
    Ok(())
}

async fn tokens_rise_across_a_restart(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    let before = queue.claim_one().await?.lease.fence;
    let again = QueueFixture { fixture: queue.fixture.reopen().await?, name: queue.name };
    check!(again.claim_one().await?.lease.fence > before);
    Ok(())
}
