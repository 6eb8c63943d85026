//! What wakes a waiter, besides a push. These cases take real time, but none depends on how long they take.

use std::time::Instant;

use store_core::{Op, Outcome, Settled, Waiter, Wakeup};

use super::queue_fixture::{QueueFixture, dead, job, retry};
use super::waiter::UP_TO;
use crate::case::cases;
use crate::fixture::{ms, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::QueueWait;
    a_wait_ends_without_a_wakeup,
    a_wakeup_before_the_wait_is_not_lost,
    three_pushes_wake_three_waiters,
    two_pushes_wake_two_waiters,
    a_job_that_is_due_before_all_others_wakes_a_waiter,
    a_retry_that_is_due_before_all_others_wakes_a_waiter,
    a_promoted_job_reaches_a_waiter,
    a_replayed_job_reaches_a_waiter,
    a_dropped_waiter_passes_its_wakeup_on,
}

/// Waits for a wake-up of the queue.
async fn woken(queue: &QueueFixture, waiter: &dyn Waiter) -> Verdict {
    loop {
        match waiter.next(UP_TO).await? {
            Some(Wakeup::Notified { queue: of } | Wakeup::Claimed { queue: of, .. }) if of == queue.name => {
                return Ok(());
            }
            Some(Wakeup::Missed) => {}
            other => return Err(BrokenPromise::new(format!("the waiter was woken by {other:?}"))),
        }
    }
}

async fn a_wait_ends_without_a_wakeup(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(1, 1).await?;
    let began = Instant::now();
    check!(matches!(waiter.next(ms(50)).await?, None | Some(Wakeup::Missed)));
    check!(began.elapsed() < secs(30), "50 ms lasted {:?}", began.elapsed());
    Ok(())
}

async fn a_wakeup_before_the_wait_is_not_lost(queue: QueueFixture) -> Verdict {
    let waiter = queue.waiter(1, 0).await?;
    queue.push_ids(&["a"]).await?;
    // The wake-up has been sent before this call is answered.
    check_eq!(queue.counts().await?.ready, 1);
    woken(&queue, waiter.as_ref()).await
}

async fn three_pushes_wake_three_waiters(queue: QueueFixture) -> Verdict {
    let mut served = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let worker = QueueFixture { fixture: queue.fixture.share(), name: queue.name.clone() };
        let waiter = queue.waiter(1, 0).await?;
        served.spawn(async move { worker.served(waiter.as_ref(), 1, 0).await });
    }
    for id in ["a", "b", "c"] {
        queue.push_ids(&[id]).await?;
    }
    let mut ids = Vec::new();
    while let Some(jobs) = served.join_next().await {
        ids.extend(jobs??.iter().map(|job| job.id().to_string()));
    }
    ids.sort_unstable();
    check_eq!(ids, ["a", "b", "c"]);
    Ok(())
}

/// Both pushes may notify one waiter, which has room for one job, or a third one, which is dropped.
async fn two_pushes_wake_two_waiters(queue: QueueFixture) -> Verdict {
    for round in 0..16 {
        let dropped = if round % 2 == 0 { Some(queue.waiter(1, 0).await?) } else { None };
        let (one, other) = (queue.waiter(1, 0).await?, queue.waiter(1, 0).await?);
        queue.push_ids(&["a"]).await?;
        queue.push_ids(&["b"]).await?;
        drop(dropped);
        let mut wakeups = [0, 0];
        for _ in 0..2 {
            tokio::select! {
                verdict = woken(&queue, one.as_ref()) => { verdict?; wakeups[0] += 1; }
                verdict = woken(&queue, other.as_ref()) => { verdict?; wakeups[1] += 1; }
            }
        }
        let (first, second) = if wakeups[0] > 0 { (one, other) } else { (other, one) };
        let mut jobs = first.claim(&queue.request(1), 0).await?.jobs;
        jobs.extend(match wakeups {
            [1, 1] => second.claim(&queue.request(1), 0).await?.jobs,
            _ => queue.served(second.as_ref(), 1, 0).await?,
        });
        check_eq!(jobs.len(), 2);
        for job in jobs {
            check_eq!(queue.settle(&job.lease, Outcome::Complete(None)).await?, Settled::Done);
        }
    }
    Ok(())
}

async fn a_job_that_is_due_before_all_others_wakes_a_waiter(queue: QueueFixture) -> Verdict {
    for (id, delay) in [("later", secs(60)), ("sooner", secs(30))] {
        let waiter = queue.waiter(1, 1).await?;
        queue.push_one(job(id).with_delay(delay)).await?;
        woken(&queue, waiter.as_ref()).await?;
    }
    Ok(())
}

async fn a_retry_that_is_due_before_all_others_wakes_a_waiter(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    let waiter = queue.waiter(1, 1).await?;
    queue.settle(&claimed.lease, retry(secs(1))).await?;
    woken(&queue, waiter.as_ref()).await
}

async fn a_promoted_job_reaches_a_waiter(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(60))).await?;
    let waiter = queue.waiter(1, 1).await?;
    queue.promote("a").await?;
    check_eq!(queue.served(waiter.as_ref(), 1, 1).await?[0].id().as_str(), "a");
    Ok(())
}

async fn a_replayed_job_reaches_a_waiter(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, dead("broken")).await?;
    let waiter = queue.waiter(1, 1).await?;
    queue.replay("a").await?;
    check_eq!(queue.served(waiter.as_ref(), 1, 1).await?[0].id().as_str(), "a");
    Ok(())
}

/// Whichever of the two is notified.
async fn a_dropped_waiter_passes_its_wakeup_on(queue: QueueFixture) -> Verdict {
    for _ in 0..4 {
        let (dropped, other) = (queue.waiter(1, 0).await?, queue.waiter(1, 0).await?);
        queue.push_ids(&["a"]).await?;
        drop(dropped);
        let jobs = queue.served(other.as_ref(), 1, 0).await?;
        check_eq!((jobs[0].id().as_str(), jobs[0].attempt), ("a", 1));
        queue.settle(&jobs[0].lease, Outcome::Complete(None)).await?;
    }
    Ok(())
}
