//! How many jobs are in each state.

use store_core::{Counts, Op, Outcome};

use super::queue_fixture::{LEASE, QueueFixture, job, retry};
use crate::case::cases;
use crate::fixture::{ms, secs};
use crate::verdict::{Verdict, check_eq};

cases! { Op::QueueCounts;
    an_unknown_queue_has_none,
    every_state_is_counted,
    what_is_due_still_counts_as_scheduled,
    a_lease_that_ran_out_still_counts_as_running,
    what_was_removed_does_not_count,
    a_job_is_counted_once_through_its_whole_life,
}

async fn an_unknown_queue_has_none(queue: QueueFixture) -> Verdict {
    check_eq!(queue.counts().await?, Counts::default());
    Ok(())
}

async fn every_state_is_counted(queue: QueueFixture) -> Verdict {
    queue.bury("dead").await?;
    queue.finish("completed").await?;
    queue.push_ids(&["running"]).await?;
    queue.claim_one().await?;
    queue.push_ids(&["ready"]).await?;
    queue.push_one(job("scheduled").with_delay(secs(5))).await?;
    let counts = queue.counts().await?;
    check_eq!(counts, Counts::new(1, 1, 1, 1, 1));
    check_eq!(counts.pending(), 3);
    Ok(())
}

async fn what_is_due_still_counts_as_scheduled(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(5))).await?;
    queue.fixture.advance(secs(60));
    check_eq!(queue.counts().await?, Counts::new(0, 1, 0, 0, 0));
    Ok(())
}

async fn a_lease_that_ran_out_still_counts_as_running(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.claim_one().await?;
    queue.fixture.advance(LEASE);
    check_eq!(queue.counts().await?, Counts::new(0, 0, 1, 0, 0));
    Ok(())
}

async fn what_was_removed_does_not_count(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    queue.push_one(job("d").with_delay(secs(5))).await?;
    for id in ["a", "d"] {
        queue.cancel(id).await?;
    }
    queue.delete("b").await?;
    check_eq!(queue.counts().await?, Counts::new(1, 0, 0, 0, 0));
    queue.push_ids(&["a"]).await?;
    check_eq!(queue.counts().await?, Counts::new(2, 0, 0, 0, 0));
    queue.claim(10).await?;
    check_eq!(queue.counts().await?, Counts::new(0, 0, 2, 0, 0));
    Ok(())
}

async fn a_job_is_counted_once_through_its_whole_life(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(1))).await?;
    for outcome in [retry(secs(1)), retry(ms(0)), Outcome::Snooze { after: secs(1) }, Outcome::Release] {
        queue.fixture.advance(secs(1));
        let claimed = queue.claim_one().await?;
        check_eq!(queue.counts().await?.pending(), 1);
        queue.settle(&claimed.lease, outcome).await?;
        check_eq!(queue.counts().await?.pending(), 1);
    }
    Ok(())
}
