//! Deleting jobs.

use store_core::{Counts, Deleted, Error, NewJob, Op, Outcome, Settled};

use super::queue_fixture::{LEASE, QueueFixture, job, job_id};
use crate::case::cases;
use crate::fixture::secs;
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::QueueDelete;
    jobs_are_deleted_in_every_state_but_running,
    a_running_job_is_left_alone,
    a_job_whose_lease_ran_out_is_left_alone,
    an_unknown_job_is_unknown,
    jobs_are_answered_in_order,
    the_id_of_a_deleted_job_is_free,
    batches_outside_their_bounds_are_refused,
}

async fn jobs_are_deleted_in_every_state_but_running(queue: QueueFixture) -> Verdict {
    queue.bury("dead").await?;
    queue.finish("completed").await?;
    queue.push_ids(&["ready"]).await?;
    queue.push_one(job("scheduled").with_delay(secs(5))).await?;
    for id in ["dead", "completed", "ready", "scheduled"] {
        check_eq!(queue.delete(id).await?, Deleted::Deleted);
        check_eq!(queue.get(id).await?, None);
        check_eq!(queue.delete(id).await?, Deleted::Unknown);
    }
    check_eq!(queue.counts().await?, Counts::default());
    queue.fixture.advance(secs(60));
    check_eq!(queue.claim_ids(10).await?, [""; 0]);
    Ok(())
}

async fn a_running_job_is_left_alone(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    check_eq!(queue.delete("a").await?, Deleted::Running);
    check_eq!(queue.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Done);
    Ok(())
}

async fn a_job_whose_lease_ran_out_is_left_alone(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.claim_heard().await?;
    queue.fixture.advance(LEASE);
    check_eq!(queue.delete("a").await?, Deleted::Running);
    check_eq!(queue.claim_one().await?.attempt, 2);
    Ok(())
}

async fn an_unknown_job_is_unknown(queue: QueueFixture) -> Verdict {
    check_eq!(queue.delete("a").await?, Deleted::Unknown);
    Ok(())
}

async fn jobs_are_answered_in_order(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["running"]).await?;
    queue.claim_one().await?;
    queue.push_ids(&["a", "b"]).await?;
    let ids = ["b", "unknown", "running", "a", "b"].map(job_id);
    check_eq!(
        queue.fixture.state.delete(&queue.name, &ids).await?,
        [Deleted::Deleted, Deleted::Unknown, Deleted::Running, Deleted::Deleted, Deleted::Unknown]
    );
    check_eq!(queue.counts().await?, Counts::new(0, 0, 1, 0, 0));
    Ok(())
}

async fn the_id_of_a_deleted_job_is_free(queue: QueueFixture) -> Verdict {
    queue.bury("a").await?;
    queue.delete("a").await?;
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.attempt, claimed.last_error), (1, None));
    Ok(())
}

async fn batches_outside_their_bounds_are_refused(queue: QueueFixture) -> Verdict {
    for count in [0, NewJob::MAX_BATCH + 1] {
        let refused = queue.fixture.state.delete(&queue.name, &vec![job_id("a"); count]).await;
        check_matches!(refused, Err(Error::InvalidArgument { op: Op::QueueDelete, .. }));
    }
    Ok(())
}
