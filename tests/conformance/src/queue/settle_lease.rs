//! Which lease may settle a job, and what a repeated settlement does.

use store_core::{Counts, Fence, JobState, Op, Outcome, Settled, Settlement};

use super::queue_fixture::{LEASE, QueueFixture, dead, job_id, kept, retry};
use crate::case::cases;
use crate::fixture::{ms, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::QueueSettle;
    a_lost_lease_cannot_finish_a_job,
    a_lease_is_lost_at_its_very_end,
    a_forged_token_cannot_finish_a_job,
    an_extended_lease_can_finish_a_job,
    the_holder_finishes_what_another_lost,
    a_removed_job_cannot_be_settled_again,
    a_kept_completion_sent_again_is_done,
    a_failure_sent_again_is_done,
    a_snooze_sent_again_is_done,
    a_death_sent_again_is_done,
    a_release_sent_again_is_done,
    a_stale_holder_has_lost_a_job_that_another_finished,
    a_settlement_sent_again_does_not_touch_the_next_delivery,
    another_outcome_for_a_settled_lease_changes_nothing,
    one_job_twice_in_a_batch_is_settled_once,
    a_settlement_of_a_job_of_another_queue_does_not_touch_it,
}

/// Settles a new job twice in the same way. The second call must return the same answer and change nothing.
async fn sent_again(queue: &QueueFixture, outcome: Outcome) -> Verdict {
    queue.push_ids(&["other", "a"]).await?;
    let claimed = queue.claim(2).await?.jobs;
    check_eq!(queue.settle(&claimed[1].lease, outcome.clone()).await?, Settled::Done);
    let before = (queue.counts().await?, queue.get("a").await?);
    queue.fixture.advance(ms(1));
    check_eq!(queue.settle(&claimed[1].lease, outcome).await?, Settled::Done);
    check!((queue.counts().await?, queue.get("a").await?) == before, "the second time changed the job");
    check_eq!(queue.counts().await?.running, 1);
    Ok(())
}

async fn a_lost_lease_cannot_finish_a_job(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let lost = queue.claim_one().await?;
    queue.fixture.advance(LEASE);
    queue.claim_one().await?;
    let before = queue.info("a").await?;
    let outcomes = [
        Outcome::Complete(None),
        kept("late", secs(60)),
        retry(ms(0)),
        Outcome::Snooze { after: ms(0) },
        dead("late"),
        Outcome::Release,
        Outcome::Cancelled,
    ];
    for outcome in outcomes {
        check_eq!(queue.settle(&lost.lease, outcome).await?, Settled::Lost);
        check!(queue.info("a").await? == before, "a lost lease changed the job");
    }
    Ok(())
}

async fn a_lease_is_lost_at_its_very_end(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_heard().await?;
    queue.fixture.advance(LEASE);
    check_eq!(queue.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Lost);
    check_eq!(queue.counts().await?, Counts::new(0, 0, 1, 0, 0));
    check_eq!(queue.claim_one().await?.attempt, 2);
    Ok(())
}

async fn a_forged_token_cannot_finish_a_job(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    let fence = claimed.lease.fence.get();
    for forged in [0, fence - 1, fence + 1, u64::MAX] {
        let mut lease = claimed.lease.clone();
        lease.fence = Fence::new(forged);
        check_eq!(queue.settle(&lease, Outcome::Complete(None)).await?, Settled::Lost);
    }
    check_eq!(queue.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Done);
    Ok(())
}

async fn an_extended_lease_can_finish_a_job(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.extend(&claimed.lease, secs(60)).await?;
    queue.fixture.advance(secs(60) - ms(1));
    check_eq!(queue.settle(&claimed.lease, kept("result", secs(60))).await?, Settled::Done);
    check_eq!(queue.info("a").await?.state, JobState::Completed);
    Ok(())
}

async fn the_holder_finishes_what_another_lost(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let lost = queue.claim_one().await?;
    queue.fixture.advance(LEASE);
    let holder = queue.claim_one().await?;
    check_eq!(queue.settle(&holder.lease, kept("holder", secs(60))).await?, Settled::Done);
    check_eq!(queue.settle(&lost.lease, kept("late", secs(60))).await?, Settled::Lost);
    check_eq!(queue.info("a").await?.result.as_deref(), Some(b"holder".as_slice()));
    Ok(())
}

async fn a_kept_completion_sent_again_is_done(queue: QueueFixture) -> Verdict {
    sent_again(&queue, kept("result", secs(60))).await
}

async fn a_failure_sent_again_is_done(queue: QueueFixture) -> Verdict {
    sent_again(&queue, retry(secs(5))).await
}

async fn a_snooze_sent_again_is_done(queue: QueueFixture) -> Verdict {
    sent_again(&queue, Outcome::Snooze { after: ms(0) }).await
}

async fn a_death_sent_again_is_done(queue: QueueFixture) -> Verdict {
    sent_again(&queue, dead("broken")).await
}

async fn a_release_sent_again_is_done(queue: QueueFixture) -> Verdict {
    sent_again(&queue, Outcome::Release).await
}

/// The store repeats a call whose reply was lost, and remembers that call. Another call cannot know who removed the job.
async fn a_removed_job_cannot_be_settled_again(queue: QueueFixture) -> Verdict {
    for outcome in [Outcome::Complete(None), Outcome::Cancelled] {
        queue.push_ids(&["a"]).await?;
        let claimed = queue.claim_one().await?;
        check_eq!(queue.settle(&claimed.lease, outcome.clone()).await?, Settled::Done);
        check_eq!(queue.settle(&claimed.lease, outcome).await?, Settled::Lost);
        check_eq!(queue.counts().await?, Counts::default());
    }
    Ok(())
}

/// Also before the end of its lease, which it gave up.
async fn a_stale_holder_has_lost_a_job_that_another_finished(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let stale = queue.claim_one().await?;
    queue.settle(&stale.lease, Outcome::Release).await?;
    let holder = queue.claim_one().await?;
    check_eq!(queue.settle(&holder.lease, Outcome::Complete(None)).await?, Settled::Done);
    check_eq!(queue.get("a").await?, None);
    check_eq!(queue.settle(&stale.lease, Outcome::Complete(None)).await?, Settled::Lost);
    Ok(())
}

async fn a_settlement_sent_again_does_not_touch_the_next_delivery(queue: QueueFixture) -> Verdict {
    for outcome in [retry(ms(0)), Outcome::Release, Outcome::Snooze { after: ms(0) }] {
        queue.push_ids(&["a"]).await?;
        let first = queue.claim_one().await?;
        queue.settle(&first.lease, outcome.clone()).await?;
        let second = queue.claim_one().await?;
        let before = queue.info("a").await?;
        queue.settle(&first.lease, outcome).await?;
        check!(queue.info("a").await? == before, "the next delivery was touched");
        check_eq!(queue.settle(&second.lease, Outcome::Complete(None)).await?, Settled::Done);
    }
    Ok(())
}

async fn another_outcome_for_a_settled_lease_changes_nothing(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, retry(secs(5))).await?;
    let before = queue.info("a").await?;
    check_eq!(queue.settle(&claimed.lease, dead("changed my mind")).await?, Settled::Done);
    check!(queue.info("a").await? == before, "the second outcome counted");
    Ok(())
}

async fn one_job_twice_in_a_batch_is_settled_once(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    let claimed = queue.claim(2).await?.jobs;
    let [a, b] = [&claimed[0].lease, &claimed[1].lease];
    let batch = [
        Settlement::new(a.clone(), retry(secs(5))),
        Settlement::new(a.clone(), dead("second")),
        Settlement::new(b.clone(), Outcome::Complete(None)),
        Settlement::new(b.clone(), dead("second")),
    ];
    let settled = queue.settle_all(&batch).await?;
    check_eq!((settled[0], settled[2], settled[3]), (Settled::Done, Settled::Done, Settled::Lost));
    check_eq!(queue.counts().await?, Counts::new(0, 1, 0, 0, 0));
    Ok(())
}

async fn a_settlement_of_a_job_of_another_queue_does_not_touch_it(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    let other = QueueFixture { name: queue.fixture.queue("other"), fixture: queue.fixture };
    other.push_ids(&["a"]).await?;
    check_eq!(claimed.lease.job, job_id("a"));
    check_eq!(other.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Lost);
    check_eq!(other.counts().await?, Counts::new(1, 0, 0, 0, 0));
    let queue = QueueFixture { name: other.fixture.queue("queue"), fixture: other.fixture };
    check_eq!(queue.settle(&claimed.lease, Outcome::Complete(None)).await?, Settled::Done);
    Ok::<(), BrokenPromise>(())
}
