//! Producers.

use std::time::Duration;

use twinstore::Error;
use twinstore::queue::{Backoff, NewJob, QueueName, RetryPolicy, Unique, UniqueKey, UniqueUntil};

use super::ids::Ids;
use super::{Actor, QUEUES, queue};

/// Pushes jobs one by one, in batches, delayed, with unique keys, and some of them twice.
pub(crate) async fn produce(mut actor: Actor) {
    let mut ids = Ids::new(actor.client.recorder.name());
    while actor.pause(Duration::from_millis(60)).await {
        let (queue, jobs) = match actor.random.u32(0..100) {
            0..40 => (any_queue(&mut actor), vec![job(&mut actor, &mut ids)]),
            40..55 => {
                let count = actor.random.usize(2..50);
                let group = ids.grouped(count, &mut actor.random);
                (queue(QUEUES[0]), group.into_iter().map(|id| plain(&mut actor, id)).collect())
            }
            55..65 => {
                let count = actor.random.usize(2..8);
                (any_queue(&mut actor), (0..count).map(|_| job(&mut actor, &mut ids)).collect())
            }
            65..80 => {
                let delay = actor.millis(10..3000);
                (any_queue(&mut actor), vec![job(&mut actor, &mut ids).with_delay(delay)])
            }
            80..94 => (queue(QUEUES[1]), vec![unique(&mut actor, &mut ids)]),
            94..97 => match actor.shared.recent_job(&mut actor.random) {
                // the same push again
                Some((queue, job)) => (queue, vec![job]),
                None => continue,
            },
            _ => match actor.shared.recent_job(&mut actor.random) {
                // another push with the same id
                Some((queue, mut job)) => {
                    job.request = actor.random.u32(..);
                    (queue, vec![job])
                }
                None => continue,
            },
        };
        actor.shared.remember(&queue, &jobs[..jobs.len().min(3)]);
        push(&mut actor, &queue, &jobs).await;
    }
}

/// Pushes one job to the queue every 100 ms, whatever becomes of the other queues.
pub(crate) async fn produce_steadily(mut actor: Actor, name: &str) {
    while actor.pause(Duration::from_millis(100)).await {
        drop(actor.client.queue.push(&queue(name), &[NewJob::new("steady")], actor.client.durability).await);
    }
}

/// Pushes, and half of the time repeats a push that was not acknowledged.
async fn push(actor: &mut Actor, queue: &QueueName, jobs: &[NewJob]) {
    let insists = actor.chance(50);
    for _ in 0..4 {
        let pushed = actor.client.queue.push(queue, jobs, actor.client.durability).await;
        if pushed.as_ref().err().is_none_or(|error| !Error::is_retryable(error)) || !insists {
            return;
        }
        if !actor.pause(Duration::from_millis(100)).await {
            return;
        }
    }
}

fn any_queue(actor: &mut Actor) -> QueueName {
    queue(QUEUES[actor.random.usize(0..QUEUES.len())])
}

fn plain(actor: &mut Actor, id: twinstore::queue::JobId) -> NewJob {
    let size = actor.random.usize(0..200);
    let mut job = NewJob::new(vec![b'x'; size]).with_id(id);
    job.request = actor.random.u32(..);
    job
}

fn job(actor: &mut Actor, ids: &mut Ids) -> NewJob {
    let id = if actor.chance(50) { ids.text() } else { ids.grouped(1, &mut actor.random).remove(0) };
    let attempts = actor.random.u16(1..6);
    plain(actor, id).with_retry(RetryPolicy::new(attempts, Backoff::Fixed(Duration::from_millis(50))))
}

fn unique(actor: &mut Actor, ids: &mut Ids) -> NewJob {
    let key = UniqueKey::new(format!("key-{}", actor.random.u32(0..6))).expect("a valid key");
    let until = if actor.chance(50) { UniqueUntil::Finished } else { UniqueUntil::Claimed };
    let delay = actor.millis(0..400);
    let retry = RetryPolicy::new(12, Backoff::Fixed(Duration::from_millis(50)));
    plain(actor, ids.text()).with_delay(delay).with_retry(retry).with_unique(Unique::new(key, until))
}
