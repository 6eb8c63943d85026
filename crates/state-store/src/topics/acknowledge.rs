//! Acknowledging events.

use redis_link::{Arg, ReplyReader, args};
use store_core::{Durability, Op, PartitionLease, Reached, Receipt, Result};

use super::record;
use super::shape::TopicShape;
use crate::StateStore;

const OP: Op = Op::TopicAcknowledge;

impl StateStore {
    /// Another process may have changed the bounds that this one knows. So a call with these only reports that events exceed them.
    pub(super) async fn acknowledge_events(
        &self,
        lease: &PartitionLease,
        number: u64,
        durability: Durability,
    ) -> Result<Receipt<bool>> {
        let shape = self.topic(OP, &lease.topic).await?;
        let (mut reply, reached) = self.acknowledge_with(&shape, lease, number, Arg::fixed(""), durability).await?;
        match reply.next_word()?.as_ref() {
            b"acknowledged" => {
                record(lease, &reply);
                if reply.remaining() > 0 {
                    let last = reply.next_u64()?;
                    // The next acknowledgement, or an append, removes what this one cannot.
                    let _ = self.remove_exceeding(lease, number, last).await;
                }
                Ok(Receipt::new(true, reached?))
            }
            // Nothing was written, so `NotDurable` would be wrong.
            b"superseded" => Ok(Receipt::new(false, reached.unwrap_or_default())),
            _ => Err(reply.unknown_word()),
        }
    }

    /// Removes events that exceed the recorded bounds, unless others were appended behind the event `last`: perhaps after a declaration
    /// that retains more.
    async fn remove_exceeding(&self, lease: &PartitionLease, number: u64, last: u64) -> Result<()> {
        if let Some(shape) = self.recorded_topic(OP, &lease.topic, None).await? {
            let _ = self.acknowledge_with(&shape, lease, number, Arg::from(last), Durability::Accepted).await?;
        }
        Ok(())
    }

    async fn acknowledge_with(
        &self,
        shape: &TopicShape,
        lease: &PartitionLease,
        number: u64,
        unchanged: Arg,
        durability: Durability,
    ) -> Result<(ReplyReader, Result<Reached>)> {
        let keys = shape.keys_of(OP, lease.partition)?;
        let keys = vec![keys.events.clone(), keys.groups.clone()];
        let (last, appended) = lease.read.unwrap_or_default();
        let mut args = args![lease.group.as_str(), lease.fence.get(), number, last, appended.as_millis()];
        args.extend(shape.bounds());
        args.push(unchanged);
        self.calls.topics.acknowledge.call_durable(keys, args, 0, durability).await
    }
}
