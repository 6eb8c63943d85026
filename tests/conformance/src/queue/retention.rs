//! The bounds on the finished jobs that a queue keeps.

use store_core::{Counts, JobState, NewJob, Op, Outcome, Retention};

use super::queue_fixture::{QueueFixture, attempts, dead, job, job_id, kept};
use crate::case::cases;
use crate::fixture::{ms, secs};
use crate::verdict::{Verdict, check_eq};

cases! { Op::QueueSettle;
    the_oldest_dead_are_forgotten_above_their_number: OneOrder,
    the_oldest_dead_are_forgotten_above_their_bytes: OneOrder,
    the_dead_are_forgotten_after_their_time: OneOrder,
    jobs_that_die_in_a_claim_are_bounded_too: OneOrder,
    the_first_to_end_of_the_completed_are_forgotten_above_their_number: OneOrder,
    the_first_to_end_of_the_completed_are_forgotten_above_their_bytes: OneOrder,
    small_results_count_more_than_their_bytes: OneOrder,
    completed_jobs_are_collected_after_their_time: OneOrder,
    the_id_of_a_forgotten_job_is_free: OneOrder,
    what_was_replayed_or_deleted_does_not_count_any_more: OneOrder,
}

async fn bounded(queue: QueueFixture, retention: Retention) -> Result<QueueFixture, crate::BrokenPromise> {
    Ok(QueueFixture::from(queue.fixture.with_retention(retention).await?))
}

/// Lets jobs die one after the other, a second apart.
async fn bury_all(queue: &QueueFixture, ids: &[&str]) -> Verdict {
    for id in ids {
        queue.bury(id).await?;
        queue.fixture.advance(secs(1));
    }
    Ok(())
}

async fn the_oldest_dead_are_forgotten_above_their_number(queue: QueueFixture) -> Verdict {
    let queue = bounded(queue, Retention::default().with_dead_count(2)).await?;
    bury_all(&queue, &["a", "b", "c"]).await?;
    check_eq!(queue.listed(JobState::Dead).await?, ["b", "c"]);
    check_eq!(queue.get("a").await?, None);
    check_eq!(queue.counts().await?, Counts::new(0, 0, 0, 0, 2));
    Ok(())
}

/// Lets jobs of 1000 bytes die one after the other, a second apart.
async fn bury_large(queue: &QueueFixture, ids: &[&str]) -> Verdict {
    for id in ids {
        queue.push_one(NewJob::new(vec![0; 1000]).with_id(job_id(id))).await?;
        let claimed = queue.claim_one().await?;
        queue.settle(&claimed.lease, dead("broken")).await?;
        queue.fixture.advance(secs(1));
    }
    Ok(())
}

async fn the_oldest_dead_are_forgotten_above_their_bytes(queue: QueueFixture) -> Verdict {
    let queue = bounded(queue, Retention::default().with_dead_bytes(3000)).await?;
    bury_large(&queue, &["a", "b", "c"]).await?;
    check_eq!(queue.listed(JobState::Dead).await?, ["b", "c"]);
    Ok(())
}

async fn the_dead_are_forgotten_after_their_time(queue: QueueFixture) -> Verdict {
    let queue = bounded(queue, Retention::default().with_dead_for(secs(60))).await?;
    bury_all(&queue, &["a", "b"]).await?;
    queue.fixture.advance(secs(58));
    queue.bury("c").await?;
    check_eq!(queue.listed(JobState::Dead).await?, ["b", "c"]);
    Ok(())
}

async fn jobs_that_die_in_a_claim_are_bounded_too(queue: QueueFixture) -> Verdict {
    let queue = bounded(queue, Retention::default().with_dead_count(2)).await?;
    for id in ["a", "b", "c", "d"] {
        queue.push_one(job(id).with_retry(attempts(1))).await?;
        queue.claim_heard().await?;
        queue.fixture.advance(secs(60));
        queue.claim(1).await?;
    }
    check_eq!(queue.listed(JobState::Dead).await?, ["c", "d"]);
    for id in ["e", "f"] {
        queue.push_one(job(id).with_start_within(ms(1))).await?;
        queue.fixture.advance(ms(1));
        queue.claim(1).await?;
    }
    check_eq!(queue.listed(JobState::Dead).await?, ["e", "f"]);
    Ok(())
}

async fn complete(queue: &QueueFixture, id: &str, bytes: usize, lasting: u64) -> Verdict {
    queue.push_one(NewJob::new("").with_id(job_id(id))).await?;
    let claimed = queue.claim_one().await?;
    let result = store_core::Kept::new(vec![0; bytes], secs(lasting));
    queue.settle(&claimed.lease, Outcome::Complete(Some(result))).await?;
    Ok(())
}

async fn the_first_to_end_of_the_completed_are_forgotten_above_their_number(queue: QueueFixture) -> Verdict {
    let queue = bounded(queue, Retention::default().with_completed_count(2)).await?;
    for (id, lasting) in [("long", 90), ("short", 30), ("middle", 60)] {
        complete(&queue, id, 1, lasting).await?;
    }
    check_eq!(queue.listed(JobState::Completed).await?, ["middle", "long"]);
    check_eq!(queue.counts().await?, Counts::new(0, 0, 0, 2, 0));
    Ok(())
}

async fn the_first_to_end_of_the_completed_are_forgotten_above_their_bytes(queue: QueueFixture) -> Verdict {
    let queue = bounded(queue, Retention::default().with_completed_bytes(3000)).await?;
    for (id, lasting) in [("a", 30), ("b", 60), ("c", 90)] {
        complete(&queue, id, 1000, lasting).await?;
    }
    check_eq!(queue.listed(JobState::Completed).await?, ["b", "c"]);
    Ok(())
}

async fn small_results_count_more_than_their_bytes(queue: QueueFixture) -> Verdict {
    let queue = bounded(queue, Retention::default().with_completed_bytes(3 * Retention::ENTRY_BYTES)).await?;
    for (id, lasting) in [("a", 30), ("b", 60), ("c", 90), ("d", 120)] {
        complete(&queue, id, 1, lasting).await?;
    }
    check_eq!(queue.listed(JobState::Completed).await?, ["c", "d"]);
    Ok(())
}

async fn completed_jobs_are_collected_after_their_time(queue: QueueFixture) -> Verdict {
    complete(&queue, "a", 1, 30).await?;
    complete(&queue, "b", 1, 60).await?;
    queue.fixture.advance(secs(30));
    complete(&queue, "c", 1, 60).await?;
    check_eq!(queue.counts().await?, Counts::new(0, 0, 0, 2, 0));
    check_eq!(queue.listed(JobState::Completed).await?, ["b", "c"]);
    Ok(())
}

async fn the_id_of_a_forgotten_job_is_free(queue: QueueFixture) -> Verdict {
    let queue = bounded(queue, Retention::default().with_dead_count(1).with_completed_count(1)).await?;
    bury_all(&queue, &["a", "b"]).await?;
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.attempt, claimed.last_error), (1, None));
    queue.settle(&claimed.lease, kept("result", secs(10))).await?;
    complete(&queue, "c", 1, 60).await?;
    queue.push_ids(&["a"]).await?;
    check_eq!(queue.info("a").await?.result, None);
    Ok(())
}

async fn what_was_replayed_or_deleted_does_not_count_any_more(queue: QueueFixture) -> Verdict {
    let queue = bounded(queue, Retention::default().with_dead_count(2).with_dead_bytes(3000)).await?;
    bury_large(&queue, &["a", "b"]).await?;
    queue.replay("a").await?;
    queue.delete("b").await?;
    queue.delete("a").await?;
    bury_large(&queue, &["c", "d"]).await?;
    check_eq!(queue.listed(JobState::Dead).await?, ["c", "d"]);
    Ok(())
}
