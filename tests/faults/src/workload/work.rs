//! Workers: two that run handlers by the worker runtime, and one that ignores the end of its leases.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store_core::{ClaimRequest, ClaimedJob, Extension, JobLease, Kept, Outcome, Settlement};
use twinstore::name::HolderName;
use twinstore::queue::NewJob;
use twinstore::worker::{Done, HandlerResult, Job, JobError, Worker};

use super::{Actor, PLAIN, QUEUES, Times, commits, queue};
use crate::history::{Answer, Call};
use crate::recorded::Client;

/// How long the leases of the worker runtime last.
const LEASE: Duration = Duration::from_millis(1500);

/// How much of a lease must be left for a handler to begin.
const SURELY: Duration = Duration::from_millis(50);

/// A worker of the runtime on all queues. Its handlers complete, retry, snooze, fail, push jobs, and take their time.
pub(crate) fn work(client: &Client, mut random: fastrand::Rng, times: Times) -> Worker {
    let lease = if times.is_soak { times.lasting(&mut random, 0..1) } else { LEASE };
    let random = Arc::new(Mutex::new(random));
    let mut worker = Worker::new(client.queue.clone()).with_lease(lease).with_concurrency(16).with_signals();
    worker = worker.with_outboxes(client.homes.clone());
    worker = worker.with_durability(client.durability);
    worker = worker.with_name(HolderName::new(client.recorder.name()).expect("a valid name"));
    for name in QUEUES {
        let (client, random) = (client.clone(), random.clone());
        worker = worker.with_queue(name, move |job: Job| {
            let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
            let (choice, keep) = (random.u32(0..1000), times.kept(&mut random));
            handle(client.clone(), job, choice, keep, fastrand::Rng::with_seed(random.u64(..)))
        });
    }
    worker.build().expect("the worker is complete")
}

async fn handle(client: Client, job: Job, choice: u32, keep: Duration, mut random: fastrand::Rng) -> HandlerResult {
    let (name, id) = (job.queue().to_string(), job.id().to_string());
    let invocation = client.recorder.invoke(Call::Handle { queue: name, job: id, fence: job.fence().get() });
    if choice.is_multiple_of(5) && job.queue().as_str() == PLAIN {
        let result = commits::end_in_handler(&client, &job, &mut random).await;
        invocation.answered(Answer::Done);
        return result;
    }
    let (takes, result) = match choice {
        0..700 => (0, Ok(Done::discard())),
        700..760 => (0, Ok(Done::keep("result", keep))),
        760..840 => (0, Err(JobError::retry("again"))),
        840..880 => (0, Err(JobError::snooze(Duration::from_millis(100)))),
        880..910 => (0, Err(JobError::dead("for good"))),
        910..970 => (u64::from(choice - 900) * 10, Ok(Done::discard())),
        // longer than the lease, which is renewed
        _ => (2500, Ok(Done::discard())),
    };
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(takes)) => {}
        () = job.cancelled() => {
            invocation.answered(Answer::Done);
            return Err(JobError::cancelled());
        }
    }
    if choice < PUSHES {
        // the answer is in the history
        drop(client.of_handler.push(&queue(QUEUES[1]), &[NewJob::new("pushed by a handler")], client.durability).await);
    }
    invocation.answered(Answer::Done);
    result
}

/// Of 1,000 handlers, how many push a job.
const PUSHES: u32 = 50;

/// A worker without the runtime that loses leases, settles late, twice, or never.
pub(crate) async fn work_carelessly(mut actor: Actor) {
    let worker = HolderName::new(actor.client.recorder.name()).expect("a valid name");
    let mut late: Vec<(usize, JobLease)> = Vec::new();
    while actor.pause(Duration::from_millis(150)).await {
        let index = actor.random.usize(0..QUEUES.len());
        let lasting = actor.lasting(200..1200);
        let max = actor.random.usize(1..6);
        let request = ClaimRequest::new(queue(QUEUES[index]), worker.clone(), max, lasting);
        let asked = Instant::now();
        let Ok(claim) = actor.client.queue.claim(&request).await else { continue };
        for job in claim.jobs {
            // it settles late, but it begins no handler if the lease may be over
            let lasts = asked.elapsed() + SURELY < lasting;
            if let Some(lease) = deliver(&mut actor, index, job, lasting, lasts).await {
                late.push((index, lease));
            }
        }
        if late.len() > 5 {
            let (index, lease) = late.swap_remove(0);
            let outcome = outcome(&mut actor);
            settle(&actor, index, lease, outcome).await;
        }
    }
}

/// Works on one job; returns its lease when it is to be settled much later.
async fn deliver(actor: &mut Actor, index: usize, job: ClaimedJob, lasting: Duration, lasts: bool) -> Option<JobLease> {
    let lease = job.lease;
    match actor.random.u32(0..100) {
        0..10 => settle(actor, index, lease, Outcome::Release).await,
        10..25 => {}
        25..45 => return Some(lease),
        _ if !lasts => return Some(lease),
        choice => {
            let (queue_name, job) = (QUEUES[index].to_owned(), lease.job.to_string());
            let fence = lease.fence.get();
            actor.client.recorder.invoke(Call::Handle { queue: queue_name, job, fence }).answered(Answer::Done);
            if choice < 55 {
                drop(actor.client.queue.extend(&queue(QUEUES[index]), &[Extension::new(lease.clone())], lasting).await);
            }
            let outcome = outcome(actor);
            settle(actor, index, lease.clone(), outcome.clone()).await;
            if choice < 65 {
                settle(actor, index, lease, outcome).await;
            }
        }
    }
    None
}

fn outcome(actor: &mut Actor) -> Outcome {
    let after = Duration::from_millis(50);
    match actor.random.u32(0..10) {
        0..5 => Outcome::Complete(None),
        5 => Outcome::Complete(Some(Kept::new("result", actor.times.kept(&mut actor.random)))),
        6 => Outcome::Retry { after, error: "again".to_owned() },
        7 => Outcome::Snooze { after },
        8 => Outcome::Dead { reason: "for good".to_owned() },
        _ => Outcome::Cancelled,
    }
}

async fn settle(actor: &Actor, index: usize, lease: JobLease, outcome: Outcome) {
    let settlements = [Settlement::new(lease, outcome)];
    drop(actor.client.queue.settle(&queue(QUEUES[index]), &settlements, actor.client.durability).await);
}
