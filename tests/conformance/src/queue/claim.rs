//! Which jobs a claim returns, in which order, and how many.

use std::collections::BTreeSet;

use store_core::{
    Claim, ClaimRequest, Counts, Durability, Error, JobState, NewJob, Op, Outcome, Priority, Settled, Settlement,
    UniqueUntil,
};

use super::queue_fixture::{LEASE, QueueFixture, job, job_id, only};
use crate::case::cases;
use crate::fixture::{holder, ms, secs, unique_key};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq, check_matches};

cases! { Op::QueueClaim;
    an_empty_queue_has_nothing,
    jobs_are_claimed_in_the_order_of_their_push: OneOrder,
    a_higher_priority_goes_first: OneOrder,
    the_order_within_a_priority_is_kept_across_claims: OneOrder,
    no_more_are_claimed_than_asked,
    a_claimed_job_is_not_claimed_again,
    a_job_is_claimed_once_by_many_at_the_same_time,
    another_service_claims_and_settles_what_was_pushed,
    a_claim_names_the_worker,
    a_claim_counts_the_attempt,
    a_claim_stays_within_the_bytes_of_a_batch,
    a_paused_queue_gives_nothing,
    only_a_key_held_until_the_end_is_given_back_with_the_lease,
    a_cancelled_job_is_not_claimed,
    a_job_that_was_cancelled_and_pushed_again_is_claimed_once,
    a_job_that_was_cancelled_and_pushed_for_later_is_not_claimed_before,
    a_claim_outside_its_bounds_is_refused,
}

async fn an_empty_queue_has_nothing(queue: QueueFixture) -> Verdict {
    check_eq!(queue.claim(10).await?, Claim::new(Vec::new(), None, false));
    Ok(())
}

async fn jobs_are_claimed_in_the_order_of_their_push(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["c", "a"]).await?;
    queue.push_ids(&["b"]).await?;
    check_eq!(queue.claim_ids(10).await?, ["c", "a", "b"]);
    Ok(())
}

async fn a_higher_priority_goes_first(queue: QueueFixture) -> Verdict {
    let order = [Priority::Low, Priority::Normal, Priority::Critical, Priority::High];
    queue.push(&order.map(|priority| job(&format!("{priority:?}")).with_priority(priority))).await?;
    check_eq!(queue.claim_ids(2).await?, ["Critical", "High"]);
    queue.push_one(job("late").with_priority(Priority::Critical)).await?;
    check_eq!(queue.claim_ids(10).await?, ["late", "Normal", "Low"]);
    Ok(())
}

async fn the_order_within_a_priority_is_kept_across_claims(queue: QueueFixture) -> Verdict {
    let jobs = ["a", "b", "c", "d", "e"].map(|id| job(id).with_priority(Priority::High));
    queue.push(&jobs).await?;
    check_eq!(queue.claim_ids(2).await?, ["a", "b"]);
    check_eq!(queue.claim_ids(2).await?, ["c", "d"]);
    check_eq!(queue.claim_ids(2).await?, ["e"]);
    Ok(())
}

async fn no_more_are_claimed_than_asked(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    check_eq!(queue.claim(2).await?.jobs.len(), 2);
    check_eq!(queue.counts().await?, Counts::new(1, 0, 2, 0, 0));
    Ok(())
}

async fn a_claimed_job_is_not_claimed_again(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    queue.claim_one().await?;
    check_eq!(queue.claim_ids(10).await?, [""; 0]);
    queue.fixture.advance(LEASE - ms(1));
    check_eq!(queue.claim_ids(10).await?, [""; 0]);
    Ok(())
}

async fn a_job_is_claimed_once_by_many_at_the_same_time(queue: QueueFixture) -> Verdict {
    let jobs: Vec<NewJob> = (0..200).map(|number| job(&number.to_string())).collect();
    queue.push(&jobs).await?;
    let mut claimants = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (state, name) = (std::sync::Arc::clone(&queue.fixture.state), queue.name.clone());
        claimants.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let request = ClaimRequest::new(name.clone(), holder("worker"), 7, LEASE);
                let claim = state.claim(&request).await?;
                if claim.jobs.is_empty() {
                    return Ok::<_, Error>(ids);
                }
                ids.extend(claim.jobs.iter().map(|job| job.id().clone()));
            }
        });
    }
    let mut ids = Vec::new();
    while let Some(claimed) = claimants.join_next().await {
        ids.extend(claimed.map_err(BrokenPromise::from)??);
    }
    check_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (200, 200));
    Ok(())
}

async fn a_claim_names_the_worker(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let request = ClaimRequest::new(queue.name.clone(), holder("host-1/worker:7@site"), 1, LEASE);
    queue.fixture.state.claim(&request).await?;
    check_eq!(queue.info("a").await?.worker, Some(holder("host-1/worker:7@site")));
    Ok(())
}

async fn a_claim_counts_the_attempt(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    for attempt in 1..=3 {
        check_eq!(queue.claim_heard().await?.attempt, attempt);
        check_eq!(queue.info("a").await?.attempts, attempt);
        queue.fixture.advance(LEASE);
    }
    Ok(())
}

async fn a_claim_stays_within_the_bytes_of_a_batch(queue: QueueFixture) -> Verdict {
    let most = NewJob::MAX_BATCH_BYTES / NewJob::MAX_PAYLOAD_BYTES;
    for _ in 0..2 {
        let jobs: Vec<NewJob> = (0..most).map(|_| NewJob::new(vec![b'x'; NewJob::MAX_PAYLOAD_BYTES])).collect();
        queue.push(&jobs).await?;
    }
    let mut found = 0;
    while found < 2 * most {
        let claimed = queue.claim(NewJob::MAX_BATCH).await?.jobs.len();
        check!((1..=most + 1).contains(&claimed), "{claimed} jobs of 1 MiB came at once");
        found += claimed;
    }
    check_eq!(queue.counts().await?.running, found as u64);
    Ok(())
}

async fn a_paused_queue_gives_nothing(queue: QueueFixture) -> Verdict {
    queue.push_one(job("later").with_delay(secs(1))).await?;
    queue.push_ids(&["a"]).await?;
    queue.pause().await?;
    queue.fixture.advance(secs(2));
    check_eq!(queue.claim(10).await?, Claim::new(Vec::new(), None, true));
    check_eq!(queue.counts().await?, Counts::new(1, 1, 0, 0, 0).with_paused(true));
    Ok(())
}

async fn only_a_key_held_until_the_end_is_given_back_with_the_lease(queue: QueueFixture) -> Verdict {
    let kinds = [UniqueUntil::Finished, UniqueUntil::Claimed, UniqueUntil::Elapsed(secs(1))];
    let uniques = [0, 1, 2].map(|kind| store_core::Unique::new(unique_key(&format!("key-{kind}")), kinds[kind]));
    queue.push(&[0, 1, 2].map(|kind| job(&kind.to_string()).with_unique(uniques[kind].clone()))).await?;
    let claimed = queue.claim_by_id(3).await?;
    let delivered: Vec<_> = claimed.iter().filter_map(|job| job.unique.clone()).collect();
    check_eq!(delivered, uniques);
    let held: Vec<_> = claimed.iter().map(|job| job.lease.unique.clone()).collect();
    check_eq!(held, [Some(unique_key("key-0")), None, None]);
    Ok(())
}

async fn a_cancelled_job_is_not_claimed(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    queue.cancel("b").await?;
    queue.delete("a").await?;
    check_eq!(queue.claim_ids(10).await?, ["c"]);
    Ok(())
}

async fn a_job_that_was_cancelled_and_pushed_again_is_claimed_once(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    queue.cancel("a").await?;
    queue.push_ids(&["a"]).await?;
    let mut ids = queue.claim_ids(10).await?;
    ids.sort_unstable();
    check_eq!(ids, ["a", "b"]);
    check_eq!(queue.claim_ids(10).await?, [""; 0]);
    check_eq!(queue.counts().await?, Counts::new(0, 0, 2, 0, 0));
    Ok(())
}

async fn a_job_that_was_cancelled_and_pushed_for_later_is_not_claimed_before(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    queue.cancel("a").await?;
    queue.push_one(job("a").with_delay(secs(5))).await?;
    check_eq!(queue.claim_ids(10).await?, ["b"]);
    queue.fixture.advance(secs(5));
    check_eq!(queue.claim_ids(10).await?, ["a"]);
    Ok(())
}

async fn a_claim_outside_its_bounds_is_refused(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    for (max, lease) in [(0, LEASE), (NewJob::MAX_BATCH + 1, LEASE), (1, ms(9)), (1, secs(31 * 86400))] {
        check_matches!(queue.claim_for(max, lease).await, Err(Error::InvalidArgument { op: Op::QueueClaim, .. }));
    }
    check_eq!(queue.counts().await?, Counts::new(1, 0, 0, 0, 0));
    Ok(())
}

async fn another_service_claims_and_settles_what_was_pushed(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    for store in [&queue.fixture.other_state, &queue.fixture.shared_state] {
        check_eq!(store.counts(&queue.name).await?.ready, 1);
        check_eq!(store.get(&queue.name, &job_id("a")).await?.map(|job| job.state), Some(JobState::Ready));
    }
    let request = ClaimRequest::new(queue.name.clone(), holder("theirs"), 1, LEASE);
    let theirs = &queue.fixture.other_state;
    let claimed = only(theirs.claim(&request).await?.jobs)?;
    check!(queue.claim(1).await?.jobs.is_empty(), "a second service got the job");
    check_eq!(queue.info("a").await?.worker, Some(holder("theirs")));
    let done = [Settlement::new(claimed.lease, Outcome::Complete(None))];
    check_eq!(theirs.settle(&queue.name, &done, Durability::Accepted).await?.value, [Settled::Done]);
    check_eq!(queue.get("a").await?, None);
    Ok(())
}
