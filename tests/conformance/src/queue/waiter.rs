//! Waiters: who is woken, and who gets the job. These cases take real time, but none depends on how long they take.

use std::sync::Arc;
use std::time::Duration;

use store_core::{ClaimedJob, Counts, NewJob, Op, Outcome, Priority, Settled, Waiter, Wakeup};

use super::queue_fixture::{QueueFixture, job};
use crate::case::cases;
use crate::fixture::{look_again, ms, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::QueueWait;
    a_push_reaches_a_registered_waiter,
    a_job_that_was_handed_over_is_leased,
    a_waiter_without_a_reserve_is_only_notified,
    a_waiter_is_not_handed_more_than_its_reserve,
    a_wakeup_ends_the_registration: OneOrder,
    a_claim_that_finds_enough_registers_nobody: OneOrder,
    a_registration_is_of_one_queue,
    a_paused_queue_hands_nothing_over,
    the_highest_priority_is_handed_over_first: OneOrder,
    a_burst_wakes_as_many_waiters_as_it_needs,
    a_released_job_reaches_a_waiter,
    jobs_handed_to_a_dropped_waiter_are_given_back,
    jobs_pushed_for_a_dropped_waiter_are_given_back,
    a_dropped_next_loses_nothing,
}

/// Longer than any case may take: if a call returns, something happened.
pub(super) const UP_TO: Duration = secs(300);

/// Long enough for a wake-up that must not come.
const SHORT: Duration = ms(100);

impl QueueFixture {
    /// A waiter that has found no job, and is registered for up to `max`.
    pub(crate) async fn waiter(&self, max: usize, reserve: usize) -> Result<Arc<dyn Waiter>, BrokenPromise> {
        let waiter = self.fixture.state.waiter();
        check_eq!(waiter.claim(&self.request(max), reserve).await?.jobs, []);
        Ok(waiter)
    }

    /// The jobs of the next wake-up. If it only notifies, the waiter claims up to `max`.
    pub(crate) async fn served(
        &self,
        waiter: &dyn Waiter,
        max: usize,
        reserve: usize,
    ) -> Result<Vec<ClaimedJob>, BrokenPromise> {
        loop {
            let jobs = match waiter.next(UP_TO).await? {
                Some(Wakeup::Claimed { claim, .. }) => claim.jobs,
                Some(_) => waiter.claim(&self.request(max), reserve).await?.jobs,
                None => return Err(BrokenPromise::new("nothing has woken the waiter")),
            };
            if !jobs.is_empty() {
                return Ok(jobs);
            }
        }
    }
}

/// Nothing wakes the waiter. It may be told that it could have missed something.
async fn sleeps(waiter: &dyn Waiter) -> Verdict {
    loop {
        match waiter.next(SHORT).await? {
            None => return Ok(()),
            Some(Wakeup::Missed) => {}
            Some(wakeup) => return Err(BrokenPromise::new(format!("the waiter was woken: {wakeup:?}"))),
        }
    }
}

async fn a_push_reaches_a_registered_waiter(queue: QueueFixture) -> Verdict {
    for reserve in [0, 1] {
        let waiter = queue.waiter(1, reserve).await?;
        queue.push_ids(&["a"]).await?;
        let jobs = queue.served(waiter.as_ref(), 1, reserve).await?;
        check_eq!(jobs.len(), 1);
        check_eq!((jobs[0].id().as_str(), &jobs[0].payload[..]), ("a", b"a".as_slice()));
        check_eq!(queue.settle(&jobs[0].lease, Outcome::Complete(None)).await?, Settled::Done);
    }
    Ok(())
}

async fn a_job_that_was_handed_over_is_leased(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(10, 10).await?;
    queue.push_ids(&["a"]).await?;
    let jobs = queue.served(waiter.as_ref(), 10, 10).await?;
    check_eq!(queue.claim_ids(10).await?, [""; 0]);
    let info = queue.info("a").await?;
    check_eq!((info.at, info.attempts, jobs[0].attempt), (Some(jobs[0].lease.until), 1, 1));
    check_eq!(info.worker.as_ref().map(|worker| worker.as_str()), Some("worker"));
    Ok(())
}

async fn a_waiter_without_a_reserve_is_only_notified(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(10, 0).await?;
    queue.push_ids(&["a"]).await?;
    let wakeup = waiter.next(UP_TO).await?;
    check!(!matches!(wakeup, None | Some(Wakeup::Claimed { .. })), "{wakeup:?}");
    check_eq!(queue.counts().await?, Counts::new(1, 0, 0, 0, 0));
    Ok(())
}

async fn a_waiter_is_not_handed_more_than_its_reserve(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(10, 2).await?;
    queue.push_ids(&["a", "b", "c", "d"]).await?;
    if let Some(Wakeup::Claimed { claim, .. }) = waiter.next(UP_TO).await? {
        check!(claim.jobs.len() <= 2, "{} jobs were handed over", claim.jobs.len());
        let running = queue.counts().await?.running;
        check!((claim.jobs.len() as u64..=2).contains(&running), "{running} jobs run");
    }
    check_eq!(queue.counts().await?.pending(), 4);
    Ok(())
}

async fn a_wakeup_ends_the_registration(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(1, 1).await?;
    queue.push_ids(&["a"]).await?;
    queue.served(waiter.as_ref(), 1, 1).await?;
    queue.push_ids(&["b"]).await?;
    sleeps(waiter.as_ref()).await?;
    check_eq!(queue.counts().await?.ready, 1);
    Ok(())
}

async fn a_claim_that_finds_enough_registers_nobody(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(2, 2).await?;
    queue.push_ids(&["a", "b"]).await?;
    queue.served(waiter.as_ref(), 2, 2).await?;
    queue.push_ids(&["c", "d"]).await?;
    check_eq!(waiter.claim(&queue.request(2), 2).await?.jobs.len(), 2);
    queue.push_ids(&["e"]).await?;
    sleeps(waiter.as_ref()).await?;
    check_eq!(queue.counts().await?.ready, 1);
    Ok(())
}

async fn a_registration_is_of_one_queue(queue: QueueFixture) -> Verdict {
    let other = QueueFixture { fixture: queue.fixture.share(), name: queue.fixture.queue("other") };
    let waiter = queue.waiter(1, 1).await?;
    check_eq!(waiter.claim(&other.request(1), 0).await?.jobs, []);
    other.push_ids(&["b"]).await?;
    let wakeup = waiter.next(UP_TO).await?;
    check!(!matches!(&wakeup, Some(Wakeup::Claimed { .. })), "{wakeup:?}");
    queue.push_ids(&["a"]).await?;
    let jobs = queue.served(waiter.as_ref(), 1, 1).await?;
    check_eq!(jobs[0].id().as_str(), "a");
    check_eq!(other.counts().await?.ready, 1);
    Ok(())
}

async fn a_paused_queue_hands_nothing_over(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(1, 1).await?;
    queue.pause().await?;
    queue.push_ids(&["a"]).await?;
    if let Some(wakeup) = waiter.next(SHORT).await? {
        check!(!matches!(wakeup, Wakeup::Claimed { .. }), "a paused queue handed a job over");
        check_eq!(waiter.claim(&queue.request(1), 1).await?.jobs, []);
    }
    check_eq!(queue.counts().await?.ready, 1);
    queue.resume().await?;
    check_eq!(queue.served(waiter.as_ref(), 1, 1).await?.len(), 1);
    Ok(())
}

async fn the_highest_priority_is_handed_over_first(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(1, 1).await?;
    queue.push(&[job("low").with_priority(Priority::Low), job("high").with_priority(Priority::High)]).await?;
    check_eq!(queue.served(waiter.as_ref(), 1, 1).await?[0].id().as_str(), "high");
    Ok(())
}

async fn a_burst_wakes_as_many_waiters_as_it_needs(queue: QueueFixture) -> Verdict {
    let mut served = tokio::task::JoinSet::new();
    for reserve in [0, 1, 1, 0] {
        let worker = QueueFixture { fixture: queue.fixture.share(), name: queue.name.clone() };
        let waiter = queue.waiter(1, reserve).await?;
        served.spawn(async move { worker.served(waiter.as_ref(), 1, reserve).await });
    }
    queue.push(&vec![NewJob::new("x"); 4]).await?;
    let mut ids = Vec::new();
    while let Some(jobs) = served.join_next().await {
        ids.extend(jobs??.into_iter().map(|job| job.lease.job));
    }
    ids.sort();
    ids.dedup();
    check_eq!(ids.len(), 4);
    Ok(())
}

async fn a_released_job_reaches_a_waiter(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    let waiter = queue.waiter(1, 1).await?;
    queue.settle(&claimed.lease, Outcome::Release).await?;
    let jobs = queue.served(waiter.as_ref(), 1, 1).await?;
    check_eq!((jobs[0].id().as_str(), jobs[0].attempt), ("a", 1));
    Ok(())
}

async fn jobs_handed_to_a_dropped_waiter_are_given_back(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(10, 10).await?;
    queue.push_ids(&["a", "b"]).await?;
    drop(waiter);
    let mut found = Vec::new();
    while found.len() < 2 {
        for job in queue.claim(10).await?.jobs {
            check_eq!(job.attempt, 1);
            found.push(job.id().to_string());
        }
        look_again().await;
    }
    // In any order: the jobs that are given back notify a waiter. If that is the dropped one, it claims one of them once more.
    found.sort();
    check_eq!(found, ["a", "b"]);
    Ok(())
}

async fn jobs_pushed_for_a_dropped_waiter_are_given_back(queue: QueueFixture) -> Verdict {
    drop(queue.waiter(10, 10).await?);
    queue.push_ids(&["a"]).await?;
    let mut found = Vec::new();
    while found.is_empty() {
        found = queue.claim(10).await?.jobs;
        look_again().await;
    }
    check_eq!((found[0].id().as_str(), found[0].attempt), ("a", 1));
    Ok(())
}

async fn a_dropped_next_loses_nothing(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(1, 1).await?;
    for _ in 0..3 {
        let next = waiter.next(UP_TO);
        check!(tokio::time::timeout(ms(1), next).await.is_err() || queue.counts().await?.pending() == 0);
    }
    queue.push_ids(&["a"]).await?;
    check_eq!(queue.served(waiter.as_ref(), 1, 1).await?.len(), 1);
    Ok(())
}
