//! Deliverers of what commits send elsewhere.

use std::time::{Duration, Instant};

use store_core::{ClaimRequest, Delivered, OutboxEntry};
use twinstore::Error;
use twinstore::home::{Commit, Delivery};
use twinstore::name::{HolderName, Key};
use twinstore::page::PageRequest;
use twinstore::queue::{JobId, JobState, NewJob, QueueName};
use twinstore::topic::NewEvent;

use super::{Actor, COMMITS, PARTITIONED, PLAIN, Times, queue, topics};
use crate::recorded::{Client, retry};

/// How long the entries are leased that are delivered after the run.
const LAST_LEASE: Duration = Duration::from_secs(5);

/// The outboxes of the queues whose jobs are ended by commits.
pub(crate) fn outboxes() -> [QueueName; 2] {
    [queue(COMMITS).outbox(), queue(PLAIN).outbox()]
}

/// Adds deliveries to a commit: a job with the name of the commit, a job without an id, and an event, or some of these.
pub(super) fn sending(mut commit: Commit, name: &str, random: &mut fastrand::Rng) -> Commit {
    if random.bool() {
        let job = NewJob::new("sent").with_id(JobId::new(format!("{name}-sent")).expect("a valid id"));
        commit = commit.with_delivery(Delivery::job(queue(PARTITIONED), job));
    }
    if random.bool() {
        commit = commit.with_delivery(Delivery::job(queue(PLAIN), NewJob::new("sent")));
    }
    if random.bool() {
        let event = NewEvent::new(format!("{name}-sent"));
        let key = || Key::new(name).expect("a valid key");
        let event = if random.bool() { event.with_key(key()) } else { event };
        commit = commit.with_delivery(Delivery::event(topics::topic(), event));
    }
    commit
}

/// Delivers entries in time, late, twice, two times at once, or never.
pub(super) async fn deliver(mut actor: Actor) {
    let worker = HolderName::new(actor.client.recorder.name()).expect("a valid name");
    let mut late: Vec<OutboxEntry> = Vec::new();
    while actor.pause(Duration::from_millis(150)).await {
        let [commits, plain] = outboxes();
        let outbox = if actor.chance(70) { commits } else { plain };
        let lease = actor.lasting(300..1500);
        let since = Instant::now();
        let request = ClaimRequest::new(outbox.clone(), worker.clone(), 6, lease);
        let Ok(claim) = actor.client.queue.claim(&request).await else { continue };
        for job in claim.jobs {
            let entry = OutboxEntry::new(outbox.clone(), job, since, lease);
            match actor.random.u32(0..100) {
                // as if the process had died
                0..5 => {}
                5..20 => late.push(entry),
                // a destination remembers for days what is sent again after the entry was removed
                20..30 if !actor.times.is_soak => {
                    let _ = tokio::join!(send(&actor.client, &entry), send(&actor.client, &entry));
                }
                choice => {
                    let sent = send(&actor.client, &entry).await;
                    if sent.is_err() || choice < 40 && !actor.times.is_soak {
                        let _ = send(&actor.client, &entry).await;
                    }
                }
            }
        }
        if late.len() > 2 {
            let _ = send(&actor.client, &late.swap_remove(0)).await;
        }
    }
}

/// The answer is in the history.
async fn send(client: &Client, entry: &OutboxEntry) -> Result<Delivered, Error> {
    client.homes.deliver(entry, client.durability).await
}

/// After the run: delivers what is left, and returns whether there was anything. Replays dead entries: a failover may have lost the
/// declaration of the topic.
pub(crate) async fn deliver_the_rest(client: &Client) -> Result<bool, Error> {
    let worker = HolderName::new(client.recorder.name()).expect("a valid name");
    let mut was_left = false;
    for outbox in outboxes() {
        loop {
            let counts = retry(async || client.inspect.counts(&outbox).await).await?;
            if counts.pending() + counts.dead == 0 {
                break;
            }
            was_left = true;
            retry(async || topics::declare(client, Times { is_soak: false }).await).await?;
            let dead = ids(client, &outbox, JobState::Dead).await?;
            if !dead.is_empty() {
                drop(client.control.replay(&outbox, &dead).await);
            }
            let scheduled = ids(client, &outbox, JobState::Scheduled).await?;
            if !scheduled.is_empty() {
                drop(client.control.promote(&outbox, &scheduled).await);
            }
            let since = Instant::now();
            let request = ClaimRequest::new(outbox.clone(), worker.clone(), 64, LAST_LEASE);
            let Ok(claim) = client.queue.claim(&request).await else { continue };
            if claim.jobs.is_empty() {
                // others hold them
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            for job in claim.jobs {
                drop(send(client, &OutboxEntry::new(outbox.clone(), job, since, LAST_LEASE)).await);
            }
        }
    }
    Ok(was_left)
}

async fn ids(client: &Client, outbox: &QueueName, state: JobState) -> Result<Vec<JobId>, Error> {
    let page = retry(async || client.inspect.list(outbox, state, PageRequest::first(100)).await).await?;
    Ok(page.items.into_iter().map(|job| job.id).collect())
}
