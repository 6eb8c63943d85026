//! Extending the leases of claimed jobs.

use store_core::{Error, Extended, Extension, Fence, JobInfo, NewJob, Op, Outcome};

use super::queue_fixture::{LEASE, QueueFixture, retry};
use crate::case::cases;
use crate::fixture::{ms, secs};
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::QueueExtend;
    an_extended_lease_lasts_longer,
    an_extension_never_shortens_a_lease,
    an_extended_job_is_not_claimed_at_its_old_end,
    progress_is_stored,
    an_extension_without_progress_leaves_it,
    progress_is_replaced,
    a_worker_learns_that_its_job_is_to_be_cancelled,
    a_lease_that_ran_out_is_lost,
    a_lease_of_somebody_else_is_lost,
    a_settled_lease_is_lost,
    an_unknown_job_is_lost,
    a_lost_lease_changes_nothing,
    a_batch_is_answered_job_by_job,
    an_extension_sent_again_answers_the_same,
    too_much_progress_is_refused_whole,
    extensions_outside_their_bounds_are_refused,
}

async fn an_extended_lease_lasts_longer(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.fixture.advance(secs(9));
    let until = queue.fixture.now().after(secs(30));
    check_eq!(queue.extend(&claimed.lease, secs(30)).await?, Extended::Until(until));
    check_eq!(queue.info("a").await?.at, Some(until));
    queue.fixture.advance(secs(30) - ms(1));
    check_matches!(queue.extend(&claimed.lease, secs(30)).await?, Extended::Until(_));
    Ok(())
}

async fn an_extension_never_shortens_a_lease(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    check_eq!(queue.extend(&claimed.lease, secs(1)).await?, Extended::Until(claimed.lease.until));
    check_eq!(queue.info("a").await?.at, Some(claimed.lease.until));
    Ok(())
}

async fn an_extended_job_is_not_claimed_at_its_old_end(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.extend(&claimed.lease, secs(30)).await?;
    queue.fixture.advance(LEASE);
    let claim = queue.claim(1).await?;
    check_eq!((claim.jobs.len(), claim.next), (0, Some(secs(20))));
    queue.fixture.advance(secs(20));
    check_eq!(queue.claim_one().await?.attempt, 2);
    Ok(())
}

async fn progress_is_stored(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    check_eq!(queue.info("a").await?.progress, None);
    queue.report(&claimed.lease, "half way").await?;
    check_eq!(queue.info("a").await?.progress.as_deref(), Some(b"half way".as_slice()));
    Ok(())
}

async fn an_extension_without_progress_leaves_it(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.report(&claimed.lease, "half way").await?;
    queue.extend(&claimed.lease, secs(30)).await?;
    check_eq!(queue.info("a").await?.progress.as_deref(), Some(b"half way".as_slice()));
    Ok(())
}

async fn progress_is_replaced(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    for progress in ["half way", "", "done"] {
        queue.report(&claimed.lease, progress).await?;
        check_eq!(queue.info("a").await?.progress.as_deref(), Some(progress.as_bytes()));
    }
    Ok(())
}

async fn a_worker_learns_that_its_job_is_to_be_cancelled(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.cancel("a").await?;
    let until = queue.fixture.now().after(secs(30));
    check_eq!(queue.extend(&claimed.lease, secs(30)).await?, Extended::CancelRequested(until));
    check_eq!(queue.extend(&claimed.lease, secs(30)).await?, Extended::CancelRequested(until));
    Ok(())
}

async fn a_lease_that_ran_out_is_lost(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.fixture.advance(LEASE);
    check_eq!(queue.extend(&claimed.lease, secs(30)).await?, Extended::Lost);
    check_eq!(queue.info("a").await?.at, Some(claimed.lease.until));
    Ok(())
}

async fn a_lease_of_somebody_else_is_lost(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let first = queue.claim_one().await?;
    queue.fixture.advance(LEASE);
    let second = queue.claim_one().await?;
    check_eq!(queue.extend(&first.lease, secs(30)).await?, Extended::Lost);
    let mut forged = second.lease.clone();
    for fence in [second.lease.fence.get() - 1, second.lease.fence.get() + 1] {
        forged.fence = Fence::new(fence);
        check_eq!(queue.extend(&forged, secs(30)).await?, Extended::Lost);
    }
    check_matches!(queue.extend(&second.lease, secs(30)).await?, Extended::Until(_));
    Ok(())
}

async fn a_settled_lease_is_lost(queue: QueueFixture) -> Verdict {
    for outcome in [Outcome::Complete(None), retry(secs(1)), Outcome::Release] {
        queue.push_ids(&["a"]).await?;
        let claimed = queue.claim_one().await?;
        queue.settle(&claimed.lease, outcome).await?;
        check_eq!(queue.extend(&claimed.lease, secs(30)).await?, Extended::Lost);
        queue.delete("a").await?;
    }
    Ok(())
}

async fn an_unknown_job_is_lost(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let mut lease = queue.claim_one().await?.lease;
    lease.job = super::queue_fixture::job_id("unknown");
    check_eq!(queue.extend(&lease, secs(30)).await?, Extended::Lost);
    Ok(())
}

async fn a_lost_lease_changes_nothing(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let first = queue.claim_one().await?;
    queue.fixture.advance(LEASE);
    queue.claim_one().await?;
    let before = queue.info("a").await?;
    check_eq!(queue.report(&first.lease, "late").await?, Extended::Lost);
    check!(queue.info("a").await? == before, "a lost lease changed the job");
    Ok(())
}

async fn a_batch_is_answered_job_by_job(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    let claimed = queue.claim_by_id(3).await?;
    queue.settle(&claimed[1].lease, Outcome::Complete(None)).await?;
    queue.cancel("c").await?;
    let extensions: Vec<Extension> = claimed.iter().map(|job| Extension::new(job.lease.clone())).collect();
    let until = queue.fixture.now().after(secs(20));
    check_eq!(
        queue.fixture.state.extend(&queue.name, &extensions, secs(20)).await?,
        [Extended::Until(until), Extended::Lost, Extended::CancelRequested(until)]
    );
    Ok(())
}

async fn an_extension_sent_again_answers_the_same(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    let answers = [queue.report(&claimed.lease, "half").await?, queue.report(&claimed.lease, "half").await?];
    check_eq!(answers[0], answers[1]);
    Ok(())
}

async fn too_much_progress_is_refused_whole(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    let claimed = queue.claim_by_id(2).await?;
    let extensions = [
        Extension::new(claimed[0].lease.clone()).with_progress("fine"),
        Extension::new(claimed[1].lease.clone()).with_progress(vec![0; JobInfo::MAX_RESULT_BYTES + 1]),
    ];
    let refused = queue.fixture.state.extend(&queue.name, &extensions, secs(30)).await;
    check_matches!(refused, Err(Error::InvalidArgument { op: Op::QueueExtend, .. }));
    let info = queue.info("a").await?;
    check_eq!((info.progress, info.at), (None, Some(claimed[0].lease.until)));
    let largest = [Extension::new(claimed[1].lease.clone()).with_progress(vec![0; JobInfo::MAX_RESULT_BYTES])];
    queue.fixture.state.extend(&queue.name, &largest, secs(30)).await?;
    check_eq!(queue.info("b").await?.progress.map(|progress| progress.len()), Some(JobInfo::MAX_RESULT_BYTES));
    Ok(())
}

async fn extensions_outside_their_bounds_are_refused(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let one = Extension::new(queue.claim_one().await?.lease);
    for lasting in [ms(9), secs(31 * 86400)] {
        let refused = queue.fixture.state.extend(&queue.name, std::slice::from_ref(&one), lasting).await;
        check_matches!(refused, Err(Error::InvalidArgument { .. }));
    }
    for count in [0, NewJob::MAX_BATCH + 1] {
        let refused = queue.fixture.state.extend(&queue.name, &vec![one.clone(); count], LEASE).await;
        check_matches!(refused, Err(Error::InvalidArgument { .. }));
    }
    Ok(())
}
