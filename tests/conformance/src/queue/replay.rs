//! Giving dead jobs a new life.

use store_core::{Counts, Error, JobState, MAX_BATCH, Op, Settled};

use super::subject::{Subject, attempts, dead, job, job_id, kept, retry};
use crate::case::cases;
use crate::stage::secs;
use crate::verdict::{Verdict, check_eq, check_matches};

cases! { Op::QueueReplay;
    a_dead_job_is_ready_again,
    a_replayed_job_has_all_its_attempts,
    a_replayed_job_goes_behind_the_others,
    a_replayed_job_has_no_deadline_any_more,
    a_replayed_job_lives_a_whole_life,
    only_dead_jobs_are_replayed,
    jobs_are_answered_in_order,
    replaying_twice_finds_what_the_first_made,
    batches_outside_their_bounds_are_refused,
}

async fn a_dead_job_is_ready_again(queue: Subject) -> Verdict {
    queue.bury("a").await?;
    check_eq!(queue.replay("a").await?, true);
    let info = queue.info("a").await?;
    check_eq!((info.state, info.attempts, info.at), (JobState::Ready, 0, None));
    check_eq!((info.worker, info.last_error), (None, None));
    let claimed = queue.claim_one().await?;
    check_eq!((claimed.attempt, claimed.last_error, claimed.payload.as_ref()), (1, None, b"a".as_slice()));
    Ok(())
}

async fn a_replayed_job_has_all_its_attempts(queue: Subject) -> Verdict {
    queue.push_one(job("a").with_retry(attempts(2))).await?;
    for _ in 0..2 {
        for attempt in 1..=2 {
            let claimed = queue.claim_one().await?;
            check_eq!(claimed.attempt, attempt);
            queue.settle(&claimed.lease, retry(secs(0))).await?;
        }
        check_eq!(queue.info("a").await?.state, JobState::Dead);
        check_eq!(queue.replay("a").await?, true);
    }
    Ok(())
}

async fn a_replayed_job_goes_behind_the_others(queue: Subject) -> Verdict {
    queue.bury("a").await?;
    queue.push_ids(&["b"]).await?;
    queue.replay("a").await?;
    check_eq!(queue.claim_ids(10).await?, ["b", "a"]);
    Ok(())
}

async fn a_replayed_job_has_no_deadline_any_more(queue: Subject) -> Verdict {
    queue.push_one(job("a").with_start_within(secs(1))).await?;
    queue.stage.advance(secs(1));
    queue.claim(1).await?;
    check_eq!(queue.info("a").await?.state, JobState::Dead);
    check_eq!(queue.replay("a").await?, true);
    queue.stage.advance(secs(60));
    check_eq!(queue.claim_one().await?.attempt, 1);
    Ok(())
}

async fn a_replayed_job_lives_a_whole_life(queue: Subject) -> Verdict {
    queue.bury("a").await?;
    queue.replay("a").await?;
    let claimed = queue.claim_one().await?;
    check_eq!(queue.settle(&claimed.lease, dead("again")).await?, Settled::Done);
    check_eq!(queue.info("a").await?.last_error.as_deref(), Some("again"));
    queue.replay("a").await?;
    let claimed = queue.claim_one().await?;
    check_eq!(queue.settle(&claimed.lease, kept("result", secs(60))).await?, Settled::Done);
    check_eq!(queue.info("a").await?.result.as_deref(), Some(b"result".as_slice()));
    Ok(())
}

async fn only_dead_jobs_are_replayed(queue: Subject) -> Verdict {
    queue.finish("completed").await?;
    queue.push_ids(&["running"]).await?;
    queue.claim_one().await?;
    queue.push_ids(&["ready"]).await?;
    queue.push_one(job("scheduled").with_delay(secs(5))).await?;
    for id in ["completed", "running", "ready", "scheduled", "unknown"] {
        check_eq!(queue.replay(id).await?, false);
    }
    check_eq!(queue.counts().await?, Counts::new(1, 1, 1, 1, 0));
    Ok(())
}

async fn jobs_are_answered_in_order(queue: Subject) -> Verdict {
    queue.bury("a").await?;
    queue.bury("b").await?;
    let ids = ["b", "unknown", "a", "b"].map(job_id);
    check_eq!(queue.stage.state.replay(&queue.name, &ids).await?, [true, false, true, false]);
    check_eq!(queue.claim_ids(10).await?, ["b", "a"]);
    Ok(())
}

async fn replaying_twice_finds_what_the_first_made(queue: Subject) -> Verdict {
    queue.bury("a").await?;
    check_eq!([queue.replay("a").await?, queue.replay("a").await?], [true, false]);
    check_eq!(queue.counts().await?, Counts::new(1, 0, 0, 0, 0));
    Ok(())
}

async fn batches_outside_their_bounds_are_refused(queue: Subject) -> Verdict {
    for count in [0, MAX_BATCH + 1] {
        let refused = queue.stage.state.replay(&queue.name, &vec![job_id("a"); count]).await;
        check_matches!(refused, Err(Error::Rejected { op: Op::QueueReplay, .. }));
    }
    Ok(())
}
