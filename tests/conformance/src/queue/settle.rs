//! The effect of each outcome on a job.

use store_core::{Counts, Error, JobInfo, JobState, Kept, NewJob, Op, Outcome, Priority, Settled, Settlement};

use super::queue_fixture::{QueueFixture, attempts, dead, job, kept, retry};
use crate::case::cases;
use crate::fixture::{ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::QueueSettle;
    completion_forgets_the_job,
    completion_keeps_a_result_for_a_time,
    a_result_kept_for_no_time_is_not_kept,
    an_empty_result_is_a_result,
    a_failed_job_waits_for_its_next_attempt,
    a_failed_job_that_need_not_wait_goes_behind_the_others: OneOrder,
    the_failure_of_the_last_attempt_is_the_death_of_the_job,
    a_snoozed_job_does_not_count_the_attempt,
    a_snoozed_job_that_need_not_wait_goes_behind_the_others: OneOrder,
    a_snoozed_job_keeps_the_error_of_its_last_attempt,
    a_released_job_goes_before_the_others_of_its_priority: OneOrder,
    a_released_job_does_not_count_the_attempt,
    a_dead_job_is_kept_with_its_reason,
    a_cancelled_job_is_forgotten,
    a_job_that_is_to_be_cancelled_may_be_completed,
    a_wait_is_rounded_up_to_a_millisecond,
    long_reasons_are_cut_at_a_character,
    a_batch_is_answered_in_order,
    a_bad_settlement_refuses_the_batch,
    batches_outside_their_bounds_are_refused,
    the_largest_batch_is_settled,
}

/// Pushes and claims the job `a`.
async fn claimed(queue: &QueueFixture) -> Result<store_core::ClaimedJob, crate::BrokenPromise> {
    queue.push_ids(&["a"]).await?;
    queue.claim_one().await
}

async fn completion_forgets_the_job(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    check_eq!(queue.settle(&job.lease, Outcome::Complete(None)).await?, Settled::Done);
    check_eq!(queue.get("a").await?, None);
    check_eq!(queue.counts().await?, Counts::default());
    Ok(())
}

async fn completion_keeps_a_result_for_a_time(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    check_eq!(queue.settle(&job.lease, kept("result", secs(60))).await?, Settled::Done);
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts), (JobState::Completed, 1));
    check_eq!(info.at, Some(queue.fixture.now().after(secs(60))));
    check_eq!((info.result.as_deref(), info.payload.as_ref()), (Some(b"result".as_slice()), b"a".as_slice()));
    check_eq!(queue.counts().await?, Counts::new(0, 0, 0, 1, 0));
    queue.fixture.advance(secs(60) - ms(1));
    check!(queue.get("a").await?.is_some());
    queue.fixture.advance(ms(1));
    check_eq!(queue.get("a").await?, None);
    Ok(())
}

async fn a_result_kept_for_no_time_is_not_kept(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    check_eq!(queue.settle(&job.lease, kept("result", ms(0))).await?, Settled::Done);
    check_eq!(queue.get("a").await?, None);
    check_eq!(queue.counts().await?, Counts::default());
    Ok(())
}

async fn an_empty_result_is_a_result(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    queue.settle(&job.lease, kept("", secs(60))).await?;
    check_eq!(queue.info("a").await?.result.as_deref(), Some(b"".as_slice()));
    Ok(())
}

async fn a_failed_job_waits_for_its_next_attempt(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    check_eq!(queue.settle(&job.lease, retry(secs(5))).await?, Settled::Done);
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.at), (JobState::Scheduled, 1, Some(queue.fixture.now().after(secs(5)))));
    check_eq!((info.last_error.as_deref(), info.worker), (Some("broken"), None));
    queue.fixture.advance(secs(5));
    check_eq!(queue.claim_one().await?.attempt, 2);
    Ok(())
}

async fn a_failed_job_that_need_not_wait_goes_behind_the_others(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    queue.push_ids(&["b"]).await?;
    queue.settle(&job.lease, retry(ms(0))).await?;
    check_eq!(queue.info("a").await?.state, JobState::Ready);
    check_eq!(queue.claim_ids(10).await?, ["b", "a"]);
    Ok(())
}

async fn the_failure_of_the_last_attempt_is_the_death_of_the_job(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_retry(attempts(2))).await?;
    for _ in 0..2 {
        let claimed = queue.claim_one().await?;
        check_eq!(queue.settle(&claimed.lease, retry(ms(0))).await?, Settled::Done);
    }
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.last_error.as_deref()), (JobState::Dead, 2, Some("broken")));
    check_eq!(info.at, Some(queue.fixture.now()));
    Ok(())
}

async fn a_snoozed_job_does_not_count_the_attempt(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_retry(attempts(1))).await?;
    for _ in 0..3 {
        let claimed = queue.claim_one().await?;
        check_eq!(claimed.attempt, 1);
        check_eq!(queue.settle(&claimed.lease, Outcome::Snooze { after: secs(5) }).await?, Settled::Done);
        let info = queue.info("a").await?;
        check_eq!((info.state, info.attempts), (JobState::Scheduled, 0));
        check_eq!(info.at, Some(queue.fixture.now().after(secs(5))));
        queue.fixture.advance(secs(5));
    }
    Ok(())
}

async fn a_snoozed_job_that_need_not_wait_goes_behind_the_others(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    queue.push_ids(&["b"]).await?;
    queue.settle(&job.lease, Outcome::Snooze { after: ms(0) }).await?;
    check_eq!(queue.claim_ids(10).await?, ["b", "a"]);
    Ok(())
}

async fn a_snoozed_job_keeps_the_error_of_its_last_attempt(queue: QueueFixture) -> Verdict {
    let first = claimed(&queue).await?;
    queue.settle(&first.lease, retry(ms(0))).await?;
    let second = queue.claim_one().await?;
    queue.settle(&second.lease, Outcome::Snooze { after: ms(0) }).await?;
    check_eq!(queue.info("a").await?.last_error.as_deref(), Some("broken"));
    let third = queue.claim_one().await?;
    check_eq!((third.attempt, third.last_error.as_deref()), (2, Some("broken")));
    Ok(())
}

async fn a_released_job_goes_before_the_others_of_its_priority(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_priority(Priority::Low)).await?;
    queue.push(&["b", "c"].map(|id| job(id).with_priority(Priority::Low))).await?;
    let released = queue.claim_one().await?;
    queue.push_ids(&["normal"]).await?;
    check_eq!(queue.settle(&released.lease, Outcome::Release).await?, Settled::Done);
    check_eq!(queue.listed(JobState::Ready).await?, ["normal", "a", "b", "c"]);
    check_eq!(queue.claim_ids(10).await?, ["normal", "a", "b", "c"]);
    Ok(())
}

async fn a_released_job_does_not_count_the_attempt(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_retry(attempts(1))).await?;
    for _ in 0..3 {
        let claimed = queue.claim_one().await?;
        check_eq!(claimed.attempt, 1);
        queue.settle(&claimed.lease, Outcome::Release).await?;
        check_eq!(queue.info("a").await?.attempts, 0);
    }
    Ok(())
}

async fn a_dead_job_is_kept_with_its_reason(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    queue.fixture.advance(secs(1));
    check_eq!(queue.settle(&job.lease, dead("no such customer")).await?, Settled::Done);
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.at), (JobState::Dead, 1, Some(queue.fixture.now())));
    check_eq!((info.last_error.as_deref(), info.payload.as_ref()), (Some("no such customer"), b"a".as_slice()));
    queue.fixture.advance(secs(86400));
    check_eq!(queue.claim(1).await?.jobs, []);
    Ok(())
}

async fn a_cancelled_job_is_forgotten(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    queue.cancel("a").await?;
    check_eq!(queue.settle(&job.lease, Outcome::Cancelled).await?, Settled::Done);
    check_eq!(queue.get("a").await?, None);
    check_eq!(queue.counts().await?, Counts::default());
    Ok(())
}

async fn a_job_that_is_to_be_cancelled_may_be_completed(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    queue.cancel("a").await?;
    check_eq!(queue.settle(&job.lease, kept("result", secs(60))).await?, Settled::Done);
    let info = queue.info("a").await?;
    check_eq!((info.state, info.cancel_requested), (JobState::Completed, false));
    Ok(())
}

async fn a_wait_is_rounded_up_to_a_millisecond(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    queue.settle(&job.lease, retry(std::time::Duration::from_nanos(1))).await?;
    check_eq!(queue.info("a").await?.at, Some(queue.fixture.now().after(ms(1))));
    Ok(())
}

async fn long_reasons_are_cut_at_a_character(queue: QueueFixture) -> Verdict {
    let reason = format!("x{}", "ß".repeat(JobInfo::MAX_REASON_BYTES));
    let cut = format!("x{}", "ß".repeat((JobInfo::MAX_REASON_BYTES - 1) / 2));
    let job = claimed(&queue).await?;
    queue.settle(&job.lease, Outcome::Retry { after: ms(0), error: reason.clone() }).await?;
    check_eq!(queue.info("a").await?.last_error.as_deref(), Some(cut.as_str()));
    let job = queue.claim_one().await?;
    queue.settle(&job.lease, dead(&reason)).await?;
    check_eq!(queue.info("a").await?.last_error, Some(cut));
    Ok(())
}

async fn a_batch_is_answered_in_order(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c", "d", "e", "f"]).await?;
    let jobs = queue.claim_by_id(6).await?;
    let mut stale = jobs[2].lease.clone();
    stale.fence = store_core::Fence::new(stale.fence.get() - 1);
    let outcomes = [
        (&jobs[0].lease, Outcome::Complete(None)),
        (&jobs[1].lease, retry(secs(5))),
        (&stale, dead("stale")),
        (&jobs[3].lease, dead("broken")),
        (&jobs[4].lease, Outcome::Release),
        (&jobs[5].lease, kept("result", secs(60))),
    ];
    let batch = outcomes.map(|(lease, outcome)| Settlement::new(lease.clone(), outcome));
    let mut expected = [Settled::Done; 6];
    expected[2] = Settled::Lost;
    check_eq!(queue.settle_all(&batch).await?, expected);
    check_eq!(queue.counts().await?, Counts::new(1, 1, 1, 1, 1));
    check_eq!(queue.listed(JobState::Running).await?, ["c"]);
    Ok(())
}

async fn a_bad_settlement_refuses_the_batch(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    let jobs = queue.claim(2).await?.jobs;
    let too_large = Outcome::Complete(Some(Kept::new(vec![0; JobInfo::MAX_RESULT_BYTES + 1], secs(1))));
    for bad in [too_large, retry(secs(400 * 86400))] {
        let batch = [
            Settlement::new(jobs[0].lease.clone(), Outcome::Complete(None)),
            Settlement::new(jobs[1].lease.clone(), bad),
        ];
        check_matches!(queue.settle_all(&batch).await, Err(Error::InvalidArgument { op: Op::QueueSettle, .. }));
    }
    check_eq!(queue.counts().await?, Counts::new(0, 0, 2, 0, 0));
    Ok(())
}

async fn batches_outside_their_bounds_are_refused(queue: QueueFixture) -> Verdict {
    let job = claimed(&queue).await?;
    let one = Settlement::new(job.lease, Outcome::Release);
    for count in [0, NewJob::MAX_BATCH + 1] {
        let refused = queue.settle_all(&vec![one.clone(); count]).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::QueueSettle, .. }));
    }
    Ok(())
}

async fn the_largest_batch_is_settled(queue: QueueFixture) -> Verdict {
    let jobs: Vec<_> = (0..NewJob::MAX_BATCH).map(|id| job(&id.to_string())).collect();
    queue.push(&jobs).await?;
    let claimed = queue.claim(NewJob::MAX_BATCH).await?.jobs;
    let batch: Vec<_> = claimed.into_iter().map(|job| Settlement::new(job.lease, dead("broken"))).collect();
    check_eq!(queue.settle_all(&batch).await?, vec![Settled::Done; NewJob::MAX_BATCH]);
    check_eq!(queue.counts().await?, Counts::new(0, 0, 0, 0, NewJob::MAX_BATCH as u64));
    Ok(())
}
