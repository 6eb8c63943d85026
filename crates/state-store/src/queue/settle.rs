//! [`Queue::settle`](store_core::Queue::settle)

use std::collections::HashMap;
use std::time::Duration;

use redis_link::{Answer, Arg};
use store_core::{
    Durability, Error, JobLease, Op, Outcome, QueueName, Reached, Receipt, Result, Settled, Settlement, cut_reason,
    millis_ceil,
};

use super::held::{self, Held};
use super::partition::{Shape, Target, together};
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
    let receipt =
        with_shape!(store, OP, queue, false, |shape| { settle_in(store, queue, &shape, &distinct, durability).await? });
    // A settlement that removes its job leaves nothing for another one of the same lease.
    let mut is_first = vec![true; distinct.len()];
    let own = |place: usize| {
        let removes = match &distinct[place].outcome {
            Outcome::Complete(None) | Outcome::Cancelled => true,
            Outcome::Complete(Some(kept)) => kept.lasting.is_zero(),
            _ => false,
        };
        let is_repeated = !std::mem::replace(&mut is_first[place], false);
        if is_repeated && removes { Settled::Lost } else { receipt.value[place] }
    };
    Ok(Receipt::new(place.into_iter().map(own).collect(), receipt.reached))
}

/// The first settlement of each lease, and for each settlement the place of that one. The second one for a lease repeats the
/// first.
fn distinct(settlements: &[Settlement]) -> (Vec<&Settlement>, Vec<usize>) {
    let mut places = HashMap::with_capacity(settlements.len());
    let mut distinct: Vec<&Settlement> = Vec::with_capacity(settlements.len());
    let mut place = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        let index = *places.entry((settlement.lease.fence, &settlement.lease.job)).or_insert(distinct.len());
        if index == distinct.len() {
            distinct.push(settlement);
        }
        place.push(index);
    }
    (distinct, place)
}

async fn settle_in(
    store: &StateStore,
    queue: &QueueName,
    shape: &Shape,
    settlements: &[&Settlement],
    durability: Durability,
) -> Result<Option<Receipt<Vec<Settled>>>> {
    let leases: Vec<&JobLease> = settlements.iter().map(|settlement| &settlement.lease).collect();
    let mut settled = vec![Settled::Lost; settlements.len()];
    let mut lowest: Option<Reached> = None;
    let mut groups = held::group(&leases, |index| !is_plain(settlements[index]));
    groups.retain(|held| held.partition < shape.count());
    let to = |held: &Held| Target {
        call: Some(fastrand::u64(..)),
        durability,
        ..Target::new(OP, &scripts::SETTLE, queue, shape, held.partition)
    };
    let calls = groups.iter().map(|held| (to(held), args(store, shape, held, settlements, durability)));
    let answers = store.call_all(calls.collect()).await;
    let read_one = |number: usize, answer, reached| {
        lowest = Some(lowest.map_or(reached, |lowest| super::lower(lowest, reached)));
        read(queue, answer, (&groups[number], settlements), &mut settled)
    };
    let Some(()) = together(OP, "settled in", answers, read_one)? else { return Ok(None) };
    Ok(Some(Receipt::new(settled, lowest.unwrap_or_default())))
}

/// The leases, then what is not just complete, in the order given.
fn args(
    store: &StateStore,
    shape: &Shape,
    held: &Held,
    settlements: &[&Settlement],
    durability: Durability,
) -> Vec<Arg> {
    let mut args = Vec::with_capacity(16);
    args.push(store.remembered_arg(durability));
    args.push(shape.bounds_arg());
    args.extend([Arg::from(&held.batches), Arg::from(&held.singles)]);
    for &index in held.others() {
        let settlement = settlements[index];
        let (word, time, text) = outcome(&settlement.outcome);
        args.extend([
            Arg::from(held::fence_and_id(&settlement.lease)),
            Arg::fixed(word),
            Arg::from(millis_ceil(time)),
            text,
        ]);
    }
    args
}

/// Whether its job is just removed.
fn is_plain(settlement: &Settlement) -> bool {
    matches!(settlement.outcome, Outcome::Complete(None) | Outcome::Cancelled)
}

pub(super) fn outcome(outcome: &Outcome) -> (&'static str, Duration, Arg) {
    let nothing = Arg::fixed("");
    match outcome {
        Outcome::Complete(None) | Outcome::Cancelled => ("complete", Duration::ZERO, nothing),
        Outcome::Complete(Some(kept)) => ("complete", kept.lasting, Arg::from(&kept.result)),
        Outcome::Retry { after, error } => ("retry", *after, Arg::from(cut_reason(error))),
        Outcome::Snooze { after } => ("snooze", *after, nothing),
        Outcome::Dead { reason } => ("dead", Duration::ZERO, Arg::from(cut_reason(reason))),
        Outcome::Release => ("release", Duration::ZERO, nothing),
    }
}

fn read(
    queue: &QueueName,
    answer: Answer,
    (held, settlements): (&Held, &[&Settlement]),
    settled: &mut [Settled],
) -> Result<()> {
    let mut reply = answer.reader(OP);
    match reply.next_word()?.as_ref() {
        b"settled" => {}
        _ => return Err(reply.unknown_word()),
    }
    held.order.iter().for_each(|&index| settled[index] = Settled::Done);
    while reply.remaining() > 0 {
        let number = reply.next_int()?;
        let (number, answer) = if number < 0 { (-1 - number, Settled::Unknown) } else { (number, Settled::Lost) };
        let index = usize::try_from(number).ok().and_then(|number| held.order.get(number));
        settled[*index.ok_or_else(|| Error::corrupt(OP, "the reply names a job that was not sent"))?] = answer;
    }
    let done = held.order.iter().filter(|&&index| settled[index] == Settled::Done);
    reply.record(queue.as_str(), done.map(|&index| settlements[index].lease.job.clone()));
    Ok(())
}
