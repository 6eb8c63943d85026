//! Events of outboxes.

use redis_link::{Arg, Script, args, layout};
use store_core::{Durability, NewEvent, Op, OutboxEntry, Result, TopicName, millis_ceil};

use super::shape::not_declared;
use super::{RECORD, TRIMMING, entry};
use crate::{StateStore, notifications};

const OP: Op = Op::TopicAppend;

pub(super) static DELIVER: Script = Script::adds(
    "topic/deliver",
    &[
        layout::PIECE,
        RECORD,
        TRIMMING,
        include_str!("../../lua/topic/appending.lua"),
        notifications::PIECE,
        include_str!("../../lua/topic/deliver.lua"),
    ],
);

impl StateStore {
    /// Appends the event of an entry of an outbox, which is remembered for so long. Returns the key of the remembered call, or why
    /// the topic refuses.
    pub(crate) async fn deliver_event(
        &self,
        of: &OutboxEntry,
        topic: &TopicName,
        event: &NewEvent,
        (remembered, durability): (Arg, Durability),
    ) -> Result<Result<String, String>> {
        let Some(shape) = self.declared_topic(OP, topic).await? else { return Ok(Err(not_declared(topic))) };
        let config = &shape.config;
        let chosen = || of.choice(config.partitions);
        let partition = event.key.as_ref().map_or_else(chosen, |key| shape.partition_of(key));
        let keys = shape.keys(partition);
        let call = keys.call(of.call());
        let mut args = args![self.topic_layouts(), millis_ceil(self.link.collection_margin())];
        args.push(notifications::publish_command(&self.link));
        args.extend(args![
            event.bytes(),
            millis_ceil(config.max_age),
            config.max_events,
            config.max_bytes,
            config.lasting_millis(),
            remembered,
            of.call().max(1),
            entry::encode(event),
        ]);
        let keys = [keys.events.as_str(), &keys.groups, &call];
        let (answer, reached) = self.link.call_until(OP, &DELIVER, &keys, args, durability, of.held_until()).await?;
        let mut reply = answer.reader(OP);
        if reply.next_word()?.as_ref() != b"appended" {
            return Err(reply.unknown_word());
        }
        let number = reply.next_u64()?;
        reply.record_write(topic.as_str(), |write| write.with_part(partition.to_string()).with_number(number));
        reached?;
        Ok(Ok(call))
    }
}
