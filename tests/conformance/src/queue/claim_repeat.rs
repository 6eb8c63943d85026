//! Claims that are repeated because their reply was lost, and how much a claim carries.

use store_core::{Counts, NewJob, Op, Outcome};

use super::queue_fixture::{LEASE, QueueFixture, job};
use crate::case::cases;
use crate::fixture::ms;
use crate::verdict::{Verdict, check, check_eq, check_matches};

cases! { Op::QueueClaim;
    a_repeated_claim_returns_the_same_jobs,
    a_repeated_claim_that_never_ran_claims,
    a_repeated_claim_that_ran_late_is_remembered_too,
    a_repeated_claim_leaves_out_what_was_settled: OneOrder,
    a_repeated_claim_does_not_return_the_jobs_of_another,
    a_repeated_claim_gives_back_what_exceeds_its_bytes: OneOrder,
    a_claim_that_is_repeated_after_its_lease_claims,
    a_claim_ends_with_the_job_that_reaches_its_bytes,
    a_claim_of_few_bytes_returns_one_job,
    a_claim_outside_the_bounds_of_its_bytes_is_refused,
}

async fn a_repeated_claim_returns_the_same_jobs(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    queue.push(&vec![NewJob::new("x"); 3]).await?;
    let request = queue.request(4);
    let first = queue.fixture.state.claim(&request).await?.jobs;
    check_eq!(first.len(), 4);
    for _ in 0..2 {
        queue.fixture.advance(ms(1));
        let again = queue.fixture.state.claim(&request.clone().repeated()).await?.jobs;
        check_eq!(again.len(), 4);
        for claimed in &first {
            let found = again.iter().find(|job| job.lease == claimed.lease);
            check!(found.is_some_and(|job| job.attempt == 1 && job.payload == claimed.payload), "{again:?}");
        }
        check_eq!(queue.counts().await?, Counts::new(1, 0, 4, 0, 0));
    }
    Ok(())
}

async fn a_repeated_claim_that_never_ran_claims(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    let claimed = queue.fixture.state.claim(&queue.request(1).repeated()).await?.jobs;
    check_eq!(claimed.len(), 1);
    check_eq!(queue.counts().await?, Counts::new(1, 0, 1, 0, 0));
    Ok(())
}

async fn a_repeated_claim_that_ran_late_is_remembered_too(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    let request = queue.request(1).repeated();
    let first = queue.fixture.state.claim(&request).await?.jobs;
    let again = queue.fixture.state.claim(&request).await?.jobs;
    check_eq!(again, first);
    check_eq!(queue.counts().await?, Counts::new(1, 0, 1, 0, 0));
    Ok(())
}

async fn a_repeated_claim_leaves_out_what_was_settled(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    let request = queue.request(2);
    let first = queue.fixture.state.claim(&request).await?.jobs;
    queue.settle(&first[0].lease, Outcome::Complete(None)).await?;
    let again = queue.fixture.state.claim(&request.clone().repeated()).await?.jobs;
    check_eq!(again.iter().map(|job| job.id().as_str()).collect::<Vec<_>>(), ["b"]);
    queue.settle(&first[1].lease, Outcome::Release).await?;
    check_eq!(queue.fixture.state.claim(&request.repeated()).await?.jobs, []);
    check_eq!(queue.counts().await?, Counts::new(2, 0, 0, 0, 0));
    Ok(())
}

async fn a_repeated_claim_does_not_return_the_jobs_of_another(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b", "c"]).await?;
    let (one, two) = (queue.request(1), queue.request(1));
    let [first, second] = [queue.fixture.state.claim(&one).await?, queue.fixture.state.claim(&two).await?];
    check_eq!(queue.fixture.state.claim(&one.repeated()).await?.jobs, first.jobs);
    check_eq!(queue.fixture.state.claim(&two.repeated()).await?.jobs, second.jobs);
    Ok(())
}

async fn a_repeated_claim_gives_back_what_exceeds_its_bytes(queue: QueueFixture) -> Verdict {
    for id in ["a", "b", "c"] {
        let large = NewJob::new(vec![b'x'; 10_000]);
        queue.push_one(large.with_id(job(id).id.expect("invariant: it was set"))).await?;
    }
    let request = queue.request(3);
    check_eq!(queue.fixture.state.claim(&request).await?.jobs.len(), 3);
    let smaller = request.with_max_bytes(15_000).repeated();
    let again = queue.fixture.state.claim(&smaller).await?;
    check!((1..=2).contains(&again.jobs.len()), "{} jobs of 10,000 bytes", again.jobs.len());
    let left = 3 - again.jobs.len() as u64;
    check_eq!(queue.counts().await?, Counts::new(left, 0, 3 - left, 0, 0));
    let others = queue.claim(3).await?.jobs;
    check_eq!(others.len() as u64, left);
    check!(others.iter().all(|job| job.attempt == 1), "a job that was given back counts as an attempt");
    Ok(())
}

async fn a_claim_that_is_repeated_after_its_lease_claims(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let request = queue.request(1);
    let first = queue.fixture.state.claim(&request).await?.jobs;
    queue.fixture.advance(LEASE);
    let again = queue.fixture.state.claim(&request.repeated()).await?.jobs;
    check_eq!(again.len(), 1);
    check!(again[0].lease.fence > first[0].lease.fence);
    Ok(())
}

async fn a_claim_ends_with_the_job_that_reaches_its_bytes(queue: QueueFixture) -> Verdict {
    let jobs: Vec<NewJob> = (0..10).map(|_| NewJob::new(vec![b'x'; 20_000])).collect();
    queue.push(&jobs).await?;
    let claim = queue.fixture.state.claim(&queue.request(10).with_max_bytes(50_000)).await?;
    check!((2..=3).contains(&claim.jobs.len()), "{} jobs of 20,000 bytes", claim.jobs.len());
    check_eq!(claim.next, Some(ms(0)));
    check_eq!(queue.counts().await?.running, claim.jobs.len() as u64);
    Ok(())
}

async fn a_claim_of_few_bytes_returns_one_job(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a", "b"]).await?;
    let claim = queue.fixture.state.claim(&queue.request(10).with_max_bytes(1)).await?;
    check_eq!(claim.jobs.len(), 1);
    Ok(())
}

async fn a_claim_outside_the_bounds_of_its_bytes_is_refused(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    for bytes in [0, NewJob::MAX_BATCH_BYTES + 1] {
        let request = queue.request(1).with_max_bytes(bytes);
        check_matches!(queue.fixture.state.claim(&request).await, Err(store_core::Error::InvalidArgument { .. }));
    }
    check_eq!(queue.counts().await?.ready, 1);
    Ok(())
}
