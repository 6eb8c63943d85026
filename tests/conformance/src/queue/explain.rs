//! Why a job does not run.

use store_core::{Explanation, Op, Outcome, Priority};

use super::queue_fixture::{LEASE, QueueFixture, job, kept, retry};
use crate::case::cases;
use crate::fixture::{holder, secs};
use crate::verdict::{Verdict, check_eq};

cases! { Op::QueueExplain;
    an_unknown_job_is_unknown,
    a_ready_job_waits_for_a_worker,
    the_jobs_ahead_are_those_of_its_priority_and_higher_ones: OneOrder,
    a_ready_job_of_a_paused_queue_is_paused,
    a_delayed_job_is_scheduled,
    a_failed_job_is_scheduled_with_its_error,
    a_scheduled_job_of_a_paused_queue_is_scheduled,
    a_running_job_runs,
    a_request_to_cancel_is_told,
    a_lease_that_ran_out_is_told,
    a_completed_job_is_completed_while_it_is_kept,
    a_dead_job_tells_its_reason,
    a_finished_job_is_unknown,
}

async fn an_unknown_job_is_unknown(queue: QueueFixture) -> Verdict {
    check_eq!(queue.explain("a").await?, Explanation::Unknown);
    Ok(())
}

async fn a_ready_job_waits_for_a_worker(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    check_eq!(queue.explain("a").await?, Explanation::WaitsForWorker { ahead_at_most: 0 });
    Ok(())
}

async fn the_jobs_ahead_are_those_of_its_priority_and_higher_ones(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    queue.push(&["d", "e"].map(|id| job(id).with_priority(Priority::High))).await?;
    queue.push_one(job("f").with_priority(Priority::Low)).await?;
    for (id, ahead_at_most) in [("a", 4), ("c", 4), ("d", 1), ("f", 5)] {
        check_eq!(queue.explain(id).await?, Explanation::WaitsForWorker { ahead_at_most });
    }
    Ok(())
}

async fn a_ready_job_of_a_paused_queue_is_paused(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.pause().await?;
    check_eq!(queue.explain("a").await?, Explanation::Paused);
    Ok(())
}

async fn a_delayed_job_is_scheduled(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5))).await?;
    let due = queue.fixture.now().after(secs(5));
    check_eq!(queue.explain("a").await?, Explanation::Scheduled { due, last_error: None });
    queue.fixture.advance(secs(6));
    check_eq!(queue.explain("a").await?, Explanation::Scheduled { due, last_error: None });
    Ok(())
}

async fn a_failed_job_is_scheduled_with_its_error(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, retry(secs(5))).await?;
    let due = queue.fixture.now().after(secs(5));
    check_eq!(queue.explain("a").await?, Explanation::Scheduled { due, last_error: Some("broken".to_owned()) });
    Ok(())
}

async fn a_scheduled_job_of_a_paused_queue_is_scheduled(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5))).await?;
    queue.pause().await?;
    let due = queue.fixture.now().after(secs(5));
    check_eq!(queue.explain("a").await?, Explanation::Scheduled { due, last_error: None });
    Ok(())
}

async fn a_running_job_runs(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let until = queue.claim_one().await?.lease.until;
    let running = Explanation::Running { worker: holder("worker"), until, cancel_requested: false };
    check_eq!(queue.explain("a").await?, running);
    queue.pause().await?;
    check_eq!(queue.explain("a").await?, running);
    Ok(())
}

async fn a_request_to_cancel_is_told(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let until = queue.claim_one().await?.lease.until;
    queue.cancel("a").await?;
    let running = Explanation::Running { worker: holder("worker"), until, cancel_requested: true };
    check_eq!(queue.explain("a").await?, running);
    Ok(())
}

async fn a_lease_that_ran_out_is_told(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let at = queue.claim_one().await?.lease.until;
    queue.fixture.advance(LEASE);
    check_eq!(queue.explain("a").await?, Explanation::LeaseRanOut { worker: holder("worker"), at });
    Ok(())
}

async fn a_completed_job_is_completed_while_it_is_kept(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, kept("result", secs(60))).await?;
    check_eq!(queue.explain("a").await?, Explanation::Completed);
    queue.fixture.advance(secs(60));
    check_eq!(queue.explain("a").await?, Explanation::Unknown);
    Ok(())
}

async fn a_dead_job_tells_its_reason(queue: QueueFixture) -> Verdict {
    queue.bury("a").await?;
    check_eq!(queue.explain("a").await?, Explanation::Dead { reason: "broken".to_owned() });
    Ok(())
}

async fn a_finished_job_is_unknown(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, Outcome::Complete(None)).await?;
    check_eq!(queue.explain("a").await?, Explanation::Unknown);
    Ok(())
}
