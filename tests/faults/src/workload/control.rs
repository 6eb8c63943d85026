//! Control of queues from outside.

use std::time::Duration;

use twinstore::page::PageRequest;
use twinstore::queue::{Backoff, JobId, JobState, NewJob, RetryPolicy};

use super::ids::Ids;
use super::{Actor, QUEUES, queue};

/// Cancels, deletes and promotes jobs, replays dead ones, and cancels jobs that it has just pushed.
pub(crate) async fn control(mut actor: Actor) {
    let mut ids = Ids::new(actor.client.recorder.name());
    while actor.pause(Duration::from_millis(80)).await {
        let choice = actor.random.u32(0..100);
        let name = queue(QUEUES[actor.random.usize(0..QUEUES.len())]);
        if choice < 20 {
            replay(&mut actor, &name).await;
        } else if choice < 45 {
            let retry = RetryPolicy::new(3, Backoff::Fixed(Duration::from_millis(50)));
            let id = ids.text();
            let mut job = NewJob::new("cancelled").with_id(id.clone()).with_retry(retry);
            job.delay = actor.millis(0..1500);
            job.request = actor.random.u32(..);
            let _ = actor.client.queue.push(&name, std::slice::from_ref(&job), actor.client.durability).await;
            act(&mut actor, &name, &id).await;
        } else if let Some((name, NewJob { id: Some(id), .. })) = actor.shared.recent_job(&mut actor.random) {
            act(&mut actor, &name, &id).await;
        }
    }
}

// The answers are in the history; an error is an answer, too.

async fn act(actor: &mut Actor, name: &twinstore::queue::QueueName, job: &JobId) {
    let jobs = std::slice::from_ref(job);
    match actor.random.u32(0..100) {
        0..60 => drop(actor.client.control.cancel(name, job).await),
        60..85 => drop(actor.client.control.delete(name, jobs).await),
        _ => drop(actor.client.control.promote(name, jobs).await),
    }
}

async fn replay(actor: &mut Actor, name: &twinstore::queue::QueueName) {
    let Ok(dead) = actor.client.inspect.list(name, JobState::Dead, PageRequest::first(20)).await else { return };
    let (jobs, others): (Vec<JobId>, Vec<JobId>) =
        dead.items.into_iter().map(|job| job.id).partition(|_| actor.random.bool());
    if !jobs.is_empty() {
        drop(actor.client.control.replay(name, &jobs).await);
    }
    if actor.times.is_soak && !others.is_empty() {
        drop(actor.client.control.delete(name, &others).await);
    }
}

/// Pauses and resumes a queue repeatedly; sometimes one directly after the other.
pub(crate) async fn pause(mut actor: Actor) {
    let name = queue(QUEUES[2]);
    while actor.pause(Duration::from_millis(900)).await {
        drop(actor.client.control.pause(&name).await);
        let directly = actor.chance(30);
        if !directly {
            actor.pause(Duration::from_millis(400)).await;
        }
        drop(actor.client.control.resume(&name).await);
    }
}
