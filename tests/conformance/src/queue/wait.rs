//! Waiting for jobs. These cases take real time, but none depends on how long they take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use store_core::{Op, Outcome, QueueName, Result};
use tokio::task::JoinHandle;

use super::queue_fixture::{QueueFixture, dead, job, retry};
use crate::case::cases;
use crate::fixture::{ms, secs};
use crate::verdict::{BrokenPromise, Verdict, check, check_eq};

cases! { Op::QueueWait;
    a_push_wakes_a_waiter,
    news_before_the_wait_are_not_lost,
    a_waiter_of_several_queues_learns_which_one,
    a_wait_ends_without_news,
    three_pushes_wake_three_waiters,
    a_claim_that_leaves_jobs_behind_wakes_the_next_waiter,
    a_job_that_is_due_before_all_others_wakes_a_waiter,
    a_retry_that_is_due_before_all_others_wakes_a_waiter,
    a_release_wakes_a_waiter,
    a_resumed_queue_wakes_a_waiter,
    a_promotion_wakes_a_waiter,
    a_replay_wakes_a_waiter,
    a_queue_goes_on_after_dropped_waits,
}

/// Longer than any case may take: if a waiter returns, it was woken.
const UP_TO: Duration = secs(300);

fn waiting(queue: &QueueFixture, names: &[QueueName]) -> JoinHandle<Result<Option<QueueName>>> {
    let (state, names) = (Arc::clone(&queue.fixture.state), names.to_vec());
    tokio::spawn(async move { state.wait(&names, UP_TO).await })
}

/// A waiter that returns when a job can be claimed. If it was woken without a reason, it waits again.
fn waiting_for(queue: &QueueFixture, ready: u64, scheduled: u64) -> JoinHandle<Result<()>> {
    let (state, name) = (Arc::clone(&queue.fixture.state), queue.name.clone());
    tokio::spawn(async move {
        loop {
            state.wait(std::slice::from_ref(&name), UP_TO).await?;
            let counts = state.counts(&name).await?;
            if (counts.ready, counts.scheduled) == (ready, scheduled) && !counts.paused {
                return Ok(());
            }
        }
    })
}

/// Takes the wake-up that preparing the queue has caused, so that the next wait needs a new one.
async fn quiet(queue: &QueueFixture) -> Verdict {
    while queue.fixture.state.wait(std::slice::from_ref(&queue.name), ms(100)).await?.is_some() {}
    Ok(())
}

async fn woken(waiter: JoinHandle<Result<()>>) -> Verdict {
    Ok(waiter.await??)
}

async fn a_push_wakes_a_waiter(queue: QueueFixture) -> Verdict {
    let waiter = waiting_for(&queue, 1, 0);
    queue.push_ids(&["a"]).await?;
    woken(waiter).await
}

async fn news_before_the_wait_are_not_lost(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let names = [queue.name.clone()];
    check_eq!(queue.fixture.state.wait(&names, UP_TO).await?, Some(queue.name));
    Ok(())
}

async fn a_waiter_of_several_queues_learns_which_one(queue: QueueFixture) -> Verdict {
    let names = ["other", "queue", "third"].map(|name| queue.fixture.queue(name));
    let waiter = waiting(&queue, &names);
    queue.push_ids(&["a"]).await?;
    check_eq!(waiter.await??, Some(queue.name));
    Ok(())
}

async fn a_wait_ends_without_news(queue: QueueFixture) -> Verdict {
    let names = [queue.name.clone()];
    let began = Instant::now();
    check_eq!(queue.fixture.state.wait(&names, ms(50)).await?, None);
    check!(began.elapsed() < secs(30), "50 ms lasted {:?}", began.elapsed());
    Ok(())
}

/// Three workers that claim one job each and wait while there is none. Ends when each has one.
async fn three_workers_get_a_job_each(queue: &QueueFixture, push: impl Future<Output = Verdict>) -> Verdict {
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let worker = QueueFixture { fixture: queue.fixture.share(), name: queue.name.clone() };
        workers.spawn(async move {
            loop {
                if let Some(job) = worker.claim(1).await?.jobs.pop() {
                    return Ok::<_, BrokenPromise>(job.id().to_string());
                }
                worker.fixture.state.wait(std::slice::from_ref(&worker.name), UP_TO).await?;
            }
        });
    }
    push.await?;
    let mut done = Vec::new();
    while let Some(id) = workers.join_next().await {
        done.push(id??);
    }
    done.sort_unstable();
    check_eq!(done, ["a", "b", "c"]);
    Ok(())
}

async fn three_pushes_wake_three_waiters(queue: QueueFixture) -> Verdict {
    three_workers_get_a_job_each(&queue, async {
        for id in ["a", "b", "c"] {
            queue.push_ids(&[id]).await?;
        }
        Ok(())
    })
    .await
}

async fn a_claim_that_leaves_jobs_behind_wakes_the_next_waiter(queue: QueueFixture) -> Verdict {
    three_workers_get_a_job_each(&queue, queue.push_ids(&["a", "b", "c"])).await
}

async fn a_job_that_is_due_before_all_others_wakes_a_waiter(queue: QueueFixture) -> Verdict {
    queue.push_one(job("later").with_delay(secs(60))).await?;
    quiet(&queue).await?;
    let waiter = waiting_for(&queue, 0, 2);
    queue.push_one(job("sooner").with_delay(secs(30))).await?;
    woken(waiter).await
}

async fn a_retry_that_is_due_before_all_others_wakes_a_waiter(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    quiet(&queue).await?;
    let waiter = waiting_for(&queue, 0, 1);
    queue.settle(&claimed.lease, retry(secs(1))).await?;
    woken(waiter).await
}

async fn a_release_wakes_a_waiter(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    quiet(&queue).await?;
    let waiter = waiting_for(&queue, 1, 0);
    queue.settle(&claimed.lease, Outcome::Release).await?;
    woken(waiter).await
}

async fn a_resumed_queue_wakes_a_waiter(queue: QueueFixture) -> Verdict {
    queue.pause().await?;
    queue.push_ids(&["a"]).await?;
    quiet(&queue).await?;
    let waiter = waiting_for(&queue, 1, 0);
    queue.resume().await?;
    woken(waiter).await
}

async fn a_promotion_wakes_a_waiter(queue: QueueFixture) -> Verdict {
    queue.push_one(job("a").with_delay(secs(60))).await?;
    quiet(&queue).await?;
    let waiter = waiting_for(&queue, 1, 0);
    queue.promote("a").await?;
    woken(waiter).await
}

async fn a_replay_wakes_a_waiter(queue: QueueFixture) -> Verdict {
    queue.push_ids(&["a"]).await?;
    let claimed = queue.claim_one().await?;
    queue.settle(&claimed.lease, dead("broken")).await?;
    quiet(&queue).await?;
    let waiter = waiting_for(&queue, 1, 0);
    queue.replay("a").await?;
    woken(waiter).await
}

/// A dropped wait may take a wake-up with it. Then the next wait lasts its whole time, and the claim after it finds the job.
async fn a_queue_goes_on_after_dropped_waits(queue: QueueFixture) -> Verdict {
    let names = [queue.name.clone()];
    for _ in 0..3 {
        let waiter = waiting(&queue, &names);
        tokio::task::yield_now().await;
        waiter.abort();
    }
    queue.push_ids(&["a"]).await?;
    queue.fixture.state.wait(&names, secs(1)).await?;
    check_eq!(queue.claim_ids(1).await?, ["a"]);
    Ok(())
}
