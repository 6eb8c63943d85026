//! [`Queue::settle`](store_core::Queue::settle)

use std::time::Duration;

use redis_link::{Answer, Arg};
use store_core::{
    Durability, Error, Op, Outcome, QueueName, Receipt, Result, Settled, Settlement, cut_reason, millis_ceil,
};

use super::extend::push_leases;
use super::scripts;
use crate::StateStore;

const OP: Op = Op::QueueSettle;

pub(super) async fn settle(
    store: &StateStore,
    queue: &QueueName,
    settlements: &[Settlement],
    durability: Durability,
) -> Result<Receipt<Vec<Settled>>> {
    Settlement::validate_all(settlements)?;
    let (distinct, place) = distinct(settlements);
    let args = args(store, settlements, &distinct, &place);
    let (answer, reached) = store.call_durable(OP, &scripts::SETTLE, queue, args, durability).await?;
    let settled = read(answer, distinct.len())?;
    Ok(Receipt::new(place.into_iter().map(|place| settled[place]).collect(), reached))
}

/// The first settlement of each lease, those of one claim together, and for each settlement the place of that one. The second
/// one for a lease repeats the first.
fn distinct(settlements: &[Settlement]) -> (Vec<&Settlement>, Vec<usize>) {
    let lease = |index: usize| {
        let lease = &settlements[index].lease;
        (lease.fence, lease.job.as_str())
    };
    let mut order: Vec<usize> = (0..settlements.len()).collect();
    order.sort_by(|&a, &b| lease(a).cmp(&lease(b)));
    let mut distinct: Vec<&Settlement> = Vec::with_capacity(settlements.len());
    let mut place = vec![0; settlements.len()];
    for index in order {
        let settlement = &settlements[index];
        let last = distinct.last().map(|last| (last.lease.fence, last.lease.job.as_str()));
        if last != Some(lease(index)) {
            distinct.push(settlement);
        }
        place[index] = distinct.len() - 1;
    }
    (distinct, place)
}

/// The leases as `distinct` has them, then what is not just complete, in the order given.
fn args(store: &StateStore, settlements: &[Settlement], distinct: &[&Settlement], place: &[usize]) -> Vec<Arg> {
    let mut args = Vec::with_capacity(16);
    args.extend([store.bounds_arg()]);
    push_leases(distinct.iter().map(|settlement| &settlement.lease), true, &mut args);
    for (settlement, &place) in settlements.iter().zip(place) {
        let unique = settlement.lease.unique.as_ref();
        let is_plain = matches!(settlement.outcome, Outcome::Complete(None)) && unique.is_none();
        if is_plain || !std::ptr::eq(distinct[place], settlement) {
            continue;
        }
        let (word, time, text) = outcome(&settlement.outcome);
        let unique = unique.map_or(Arg::fixed(""), |key| Arg::from(key.as_str()));
        args.extend([Arg::from(place + 1), Arg::fixed(word), Arg::from(millis_ceil(time)), text, unique]);
    }
    args
}

fn outcome(outcome: &Outcome) -> (&'static str, Duration, Arg) {
    let nothing = Arg::fixed("");
    match outcome {
        Outcome::Complete(None) => ("complete", Duration::ZERO, nothing),
        Outcome::Complete(Some(kept)) => ("complete", kept.lasting, Arg::from(&kept.result)),
        Outcome::Retry { after, error } => ("retry", *after, Arg::from(cut_reason(error))),
        Outcome::Snooze { after } => ("snooze", *after, nothing),
        Outcome::Dead { reason } => ("dead", Duration::ZERO, Arg::from(cut_reason(reason))),
        Outcome::Release => ("release", Duration::ZERO, nothing),
        Outcome::Cancelled => ("cancelled", Duration::ZERO, nothing),
    }
}

fn read(answer: Answer, settlements: usize) -> Result<Vec<Settled>> {
    let mut reply = answer.reader(OP);
    if reply.next_word()?.as_ref() != b"settled" {
        return Err(reply.unknown_word());
    }
    let mut settled = vec![Settled::Done; settlements];
    while reply.remaining() > 0 {
        let position = reply.next_u64()?;
        let place = usize::try_from(position).ok().and_then(|position| settled.get_mut(position));
        *place.ok_or_else(|| Error::corrupt(OP, "the reply names a job that was not sent"))? = Settled::Lost;
    }
    Ok(settled)
}
