//! Delivering the entries of outboxes.

use store_core::{
    Delivered, Delivery, Durability, Error, NewJob, Op, OutboxEntry, Outcome, Pushed, QueueName, Result, Settled,
    Settlement,
};

use super::open_queue::OpenQueue;
use super::settings::Settings;
use crate::EmbeddedState;
use crate::database::Operation;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::Change;
use crate::state::topics;

const OP: Op = Op::HomeDeliver;

/// What became of an entry in a transaction.
enum Sent {
    /// It was delivered and removed.
    Done,
    /// Nothing was changed.
    Lost,
    /// Nothing was changed: the destination refuses, for this reason.
    Refused(String),
}

impl EmbeddedState {
    pub(super) async fn deliver_entry(&self, entry: &OutboxEntry, durability: Durability) -> Result<Delivered> {
        self.database.reach(OP, durability)?;
        let why = match entry.delivery()? {
            Ok(delivery) => match self.send(entry, delivery).await? {
                Sent::Done => return Ok(Delivered::Done),
                Sent::Lost => return Ok(Delivered::Lost),
                Sent::Refused(why) => why,
            },
            Err(why) => why,
        };
        let dead = [Settlement::new(entry.job.lease.clone(), Outcome::Dead { reason: why.clone() })];
        let settled = self.settle_jobs(&entry.outbox, &dead, durability).await?.value;
        Ok(if settled == [Settled::Lost] { Delivered::Lost } else { Delivered::Refused(why) })
    }

    /// Delivers and removes the entry, or changes nothing.
    async fn send(&self, entry: &OutboxEntry, delivery: Delivery) -> Result<Sent> {
        let (entry, clock) = (entry.clone(), self.options.clock.clone());
        let of_outbox = Settings::new(OP, &entry.outbox, &self.options);
        let of_target = match &delivery {
            Delivery::Job { queue, .. } => Some(Settings::new(Op::QueuePush, queue, &self.options)),
            _ => None,
        };
        let apply = move |change: &mut Change<'_>| {
            let sent = match (&delivery, &of_target) {
                (Delivery::Job { queue, job }, Some(settings)) => push(change, &entry, (queue, settings), job),
                (Delivery::Event { topic, event }, _) => {
                    let turn = usize::from(entry.choice(u16::MAX));
                    let appended = topics::deliver(change, Moment::now(&clock), topic, event, turn);
                    appended.map(|appended| appended.map_or_else(Sent::Refused, |()| Sent::Done))
                }
                _ => Err(Fault::Refused(Error::unsupported(OP, "this version cannot deliver the entry"))),
            };
            let sent = match sent {
                Ok(Sent::Done) => settle(change, &entry, &of_outbox),
                other => other,
            };
            if !matches!(sent, Ok(Sent::Done)) {
                change.undo();
            }
            sent
        };
        self.database.write(Operation::adding(OP), apply).await
    }
}

/// Removes the entry, if its lease is held.
fn settle(change: &mut Change<'_>, entry: &OutboxEntry, settings: &Settings) -> Result<Sent, Fault> {
    let Some(mut outbox) = OpenQueue::existing(change, &entry.outbox, settings)? else { return Ok(Sent::Lost) };
    let settled = outbox.settle_held(&Settlement::new(entry.job.lease.clone(), Outcome::Complete(None)))?;
    outbox.close()?;
    Ok(if settled.is_lost() { Sent::Lost } else { Sent::Done })
}

fn push(
    change: &mut Change<'_>,
    entry: &OutboxEntry,
    (queue, settings): (&QueueName, &Settings),
    job: &NewJob,
) -> Result<Sent, Fault> {
    let mut queue = OpenQueue::open(change, queue, settings)?;
    let id = job.id.clone().unwrap_or_else(|| entry.job_id(0));
    let pushed = queue.push(&id, job)?;
    queue.close()?;
    let taken = || Sent::Refused("the queue has a job with this id from another push".to_owned());
    Ok(if pushed == Pushed::Duplicate { taken() } else { Sent::Done })
}
