//! Pausing queues.

use store_core::{Counts, Extended, Op, Outcome, Replayed, Settled};

use super::queue_fixture::{LEASE, QueueFixture, job};
use crate::case::cases;
use crate::fixture::secs;
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::QueuePause;
    a_paused_queue_takes_pushes,
    the_jobs_of_a_paused_queue_go_on,
    leases_of_a_paused_queue_do_not_come_back,
    a_paused_queue_can_be_controlled,
    pausing_twice_is_pausing,
    another_queue_goes_on,
    another_service_pauses_and_resumes_a_queue,
}

async fn a_paused_queue_takes_pushes(queue: QueueFixture) -> Verdict {
    queue.pause().await?;
    queue.push_ids(&["a"]).await?;
    queue.push_one(job("b").with_delay(secs(5))).await?;
    check_eq!(queue.counts().await?, Counts::new(1, 1, 0, 0, 0).with_paused(true));
    Ok(())
}

async fn the_jobs_of_a_paused_queue_go_on(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.pause().await?;
    check_matches!(queue.extend(&claimed.lease, LEASE).await?, Extended::Until(_));
    check_eq!(queue.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Done);
    Ok(())
}

async fn leases_of_a_paused_queue_do_not_come_back(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.claim_one().await?;
    queue.pause().await?;
    queue.fixture.advance(LEASE);
    check!(queue.claim(1).await?.jobs.is_empty());
    check_eq!(queue.counts().await?, Counts::new(0, 0, 1, 0, 0).with_paused(true));
    Ok(())
}

async fn a_paused_queue_can_be_controlled(queue: QueueFixture) -> Verdict {
    queue.bury("dead").await?;
    queue.push_ids(&["a"]).await?;
    queue.push_one(job("b").with_delay(secs(5))).await?;
    queue.pause().await?;
    queue.cancel("a").await?;
    check_eq!((queue.promote("b").await?, queue.replay("dead").await?), (true, Replayed::Replayed));
    check_eq!(queue.counts().await?, Counts::new(2, 0, 0, 0, 0).with_paused(true));
    Ok(())
}

async fn pausing_twice_is_pausing(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.pause().await?;
    queue.pause().await?;
    check!(queue.claim(1).await?.paused);
    queue.resume().await?;
    check_eq!(queue.claim_ids(1).await?, ["a"]);
    Ok(())
}

async fn another_queue_goes_on(queue: QueueFixture) -> Verdict {
    queue.pause().await?;
    let other = QueueFixture { name: queue.fixture.queue("other"), fixture: queue.fixture };
    other.push_ids(&["a"]).await?;
    check_eq!(other.claim_ids(1).await?, ["a"]);
    Ok(())
}

async fn another_service_pauses_and_resumes_a_queue(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.fixture.other_state.pause(&queue.name).await?;
    check!(queue.claim(1).await?.paused);
    queue.fixture.other_state.resume(&queue.name).await?;
    check_eq!(queue.claim_ids(1).await?, ["a"]);
    Ok(())
}
