//! [`Homes::deliver`](store_core::Homes::deliver): a push or an append, the settlement of the entry, and one script that lets the
//! destination forget the entry.

use std::time::{Duration, Instant};

use redis_link::{Arg, Script, args};
use store_core::{
    Delivered, Delivery, Durability, Error, NewJob, Op, OutboxEntry, Outcome, Pushed, QueueName, Result, Settled,
    Settlement, millis_ceil,
};

use super::{push, settle};
use crate::StateStore;

const OP: Op = Op::HomeDeliver;
/// For how much longer than a lease the destination remembers an entry that is removed.
const MARGIN: Duration = Duration::from_secs(2);

static FORGET: Script = Script::frees("home/forget", &[include_str!("../../lua/home/forget.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 1] = [&FORGET];

pub(super) async fn deliver(store: &StateStore, entry: &OutboxEntry, durability: Durability) -> Result<Delivered> {
    if entry.held_until() <= Instant::now() {
        return Ok(Delivered::Lost);
    }
    let sent = match entry.delivery()? {
        Ok(delivery) => send(store, entry, delivery, durability).await?,
        Err(why) => Err(why),
    };
    let outcome = match &sent {
        Ok(_) => Outcome::Complete(None),
        Err(why) => Outcome::Dead { reason: why.clone() },
    };
    let settlement = Settlement::new(entry.job.lease.clone(), outcome);
    let settled = settle::settle(store, &entry.outbox, &[settlement], durability).await?.value;
    match (settled.as_slice(), sent) {
        ([Settled::Lost], _) => Ok(Delivered::Lost),
        (_, Err(why)) => Ok(Delivered::Refused(why)),
        (_, Ok(call)) => {
            // Nobody else holds the entry, and this call sends nothing more: the time is a margin. If this is lost, or the lease
            // has ended, a small key stays until its TTL.
            let _ = forget(store, entry, call, entry.lease.saturating_add(MARGIN)).await;
            Ok(Delivered::Done)
        }
    }
}

/// Shortens how long a call is remembered. No copy is executed after the lease of the entry: the next holder may have pushed the job.
async fn forget(store: &StateStore, entry: &OutboxEntry, call: String, remembered: Duration) -> Result<()> {
    let (args, end) = (args![millis_ceil(remembered)], entry.held_until());
    store.link.call_until(OP, &FORGET, &[call], args, Durability::Accepted, end).await.map(drop)
}

/// Returns the key of the remembered call, or why the destination refuses.
async fn send(
    store: &StateStore,
    entry: &OutboxEntry,
    delivery: Delivery,
    durability: Durability,
) -> Result<Result<String, String>> {
    // Each attempt begins this time again, so it lasts as long as the entry is attempted.
    let remembered = Delivery::LIFE.saturating_add(entry.lease).saturating_add(MARGIN);
    let remembered = (Arg::from(millis_ceil(remembered)), durability);
    match delivery {
        Delivery::Job { queue, job } => {
            let (pushed, call) = push_job(store, entry, &queue, &job, remembered).await?;
            if pushed != Pushed::Duplicate {
                return Ok(Ok(call));
            }
            // Nothing was pushed. Remembered, this answer would refuse the entry also when it is replayed.
            forget(store, entry, call, Duration::from_millis(1)).await?;
            Ok(Err("the queue has a job with this id from another push".to_owned()))
        }
        Delivery::Event { topic, event } => store.deliver_event(entry, &topic, &event, remembered).await,
        _ => Err(Error::unsupported(OP, "this version cannot deliver the entry")),
    }
}

async fn push_job(
    store: &StateStore,
    entry: &OutboxEntry,
    queue: &QueueName,
    job: &NewJob,
    remembered: (Arg, Durability),
) -> Result<(Pushed, String)> {
    let op = Op::QueuePush;
    Ok(with_shape!(store, op, queue, true, |shape| {
        push::deliver_in(store, entry, (queue, &shape), job, remembered.clone()).await?
    }))
}
