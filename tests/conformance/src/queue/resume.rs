//! Resuming paused queues.

use store_core::{Counts, Op};

use super::queue_fixture::{LEASE, QueueFixture, job};
use crate::case::cases;
use crate::fixture::secs;
use crate::verdict::{Verdict, check, check_eq};

cases! { Op::QueueResume;
    a_resumed_queue_gives_what_has_gathered,
    a_queue_that_is_not_paused_can_be_resumed,
    what_has_run_out_meanwhile_comes_back,
}

async fn a_resumed_queue_gives_what_has_gathered(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.pause().await?;
    queue.push_ids(&["b"]).await?;
    queue.push_one(job("c").with_delay(secs(1))).await?;
    queue.fixture.advance(secs(1));
    queue.resume().await?;
    check_eq!(queue.counts().await?, Counts::new(2, 1, 0, 0, 0));
    let claim = queue.claim(10).await?;
    check!(!claim.paused);
    let mut ids: Vec<&str> = claim.jobs.iter().map(|job| job.id().as_str()).collect();
    ids.sort_unstable();
    check_eq!(ids, ["a", "b", "c"]);
    Ok(())
}

async fn a_queue_that_is_not_paused_can_be_resumed(queue: QueueFixture) -> Verdict {
    queue.resume().await?;
    queue.push_ids(&["a"]).await?;
    queue.resume().await?;
    check_eq!(queue.claim_ids(10).await?, ["a"]);
    Ok(())
}

async fn what_has_run_out_meanwhile_comes_back(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.claim_heard().await?;
    queue.pause().await?;
    queue.fixture.advance(LEASE);
    queue.resume().await?;
    check_eq!(queue.claim_one().await?.attempt, 2);
    Ok(())
}
