//! Reading one job.

use store_core::{JobState, Op, Priority};

use super::queue_fixture::{LEASE, QueueFixture, attempts, job, kept, retry};
use crate::case::cases;
use crate::fixture::{holder, secs};
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::QueueGet;
    an_unknown_job_is_none,
    a_ready_job_is_shown,
    a_scheduled_job_is_shown,
    a_running_job_is_shown,
    a_lease_that_ran_out_is_shown_as_running,
    a_job_that_waits_for_its_retry_is_shown,
    a_request_to_cancel_is_shown_while_the_job_runs,
    looking_changes_nothing,
}

async fn an_unknown_job_is_none(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    check_eq!(queue.get("b").await?, None);
    Ok(())
}

async fn a_ready_job_is_shown(queue: QueueFixture) -> Verdict {
    let pushed_at = queue.fixture.now();
    queue.push_one(job("a").with_priority(Priority::High).with_retry(attempts(3))).await?;
    queue.fixture.advance(secs(1));
    let info = queue.info("a").await?;
    check_eq!((info.id.as_str(), info.state, info.priority), ("a", JobState::Ready, Priority::High));
    check_eq!((info.attempts, info.max_attempts), (0, 3));
    check_eq!((info.pushed_at, info.at, info.worker), (pushed_at, None, None));
    check_eq!((info.cancel_requested, info.last_error), (false, None));
    check_eq!((info.payload.as_ref(), info.progress, info.result), (b"a".as_slice(), None, None));
    Ok(())
}

async fn a_scheduled_job_is_shown(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5)).with_priority(Priority::Low)).await?;
    let info = queue.info("a").await?;
    check_eq!((info.state, info.at), (JobState::Scheduled, Some(queue.fixture.now().after(secs(5)))));
    check_eq!((info.priority, info.attempts, info.worker), (Priority::Low, 0, None));
    Ok(())
}

async fn a_running_job_is_shown(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.report(&claimed.lease, "half way").await?;
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.at), (JobState::Running, 1, Some(claimed.lease.until)));
    check_eq!((info.worker, info.cancel_requested), (Some(holder("worker")), false));
    check_eq!((info.payload.as_ref(), info.result), (b"a".as_slice(), None));
    check_eq!(info.progress.as_deref(), Some(b"half way".as_slice()));
    Ok(())
}

async fn a_lease_that_ran_out_is_shown_as_running(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.fixture.advance(LEASE + secs(5));
    let info = queue.info("a").await?;
    check_eq!((info.state, info.at), (JobState::Running, Some(claimed.lease.until)));
    Ok(())
}

async fn a_job_that_waits_for_its_retry_is_shown(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.report(&claimed.lease, "half way").await?;
    queue.settle(&claimed.lease, retry(secs(5))).await?;
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.worker), (JobState::Scheduled, 1, None));
    check_eq!(info.last_error.as_deref(), Some("broken"));
    Ok(())
}

async fn a_request_to_cancel_is_shown_while_the_job_runs(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.cancel("a").await?;
    check!(queue.info("a").await?.cancel_requested);
    queue.settle(&claimed.lease, kept("result", secs(5))).await?;
    check!(!queue.info("a").await?.cancel_requested);
    Ok(())
}

async fn looking_changes_nothing(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(1))).await?;
    queue.push_ids(&["b"]).await?;
    queue.claim_one().await?;
    queue.fixture.advance(secs(3600));
    let before = (queue.info("a").await?, queue.info("b").await?);
    queue.counts().await?;
    queue.explain("a").await?;
    queue.listed(JobState::Running).await?;
    check!((queue.info("a").await?, queue.info("b").await?) == before);
    Ok(())
}
