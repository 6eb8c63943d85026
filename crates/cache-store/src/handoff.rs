//! Values handed to other services, in the database that all services share.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::layout::{self, Aggregate};
use redis_link::{Link, Script, SharedScript, SizeSeen, args, keys};
use store_core::{Durability, Handoff, HandoffItem, Key, Op, Put, RequestId, Result, millis_ceil};

use crate::CacheStore;
use crate::key_value::check_size;

const RECORD: &str = include_str!("../lua/handoff/record.lua");

static PUT: Script = Script::adds("handoff/put", &[layout::PIECE, RECORD, include_str!("../lua/handoff/put.lua")]);
static TAKE: Script = Script::frees("handoff/take", &[layout::PIECE, RECORD, include_str!("../lua/handoff/take.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 2] = [&PUT, &TAKE];

/// The calls of all tasks.
pub(crate) struct Handoffs {
    put: SharedScript,
    take: SharedScript,
    /// The sizes of the values that `take` returned.
    values: SizeSeen,
    /// How much later than its end an item may be collected.
    margin: Duration,
}

impl Handoffs {
    pub(crate) fn new(link: &Link) -> Self {
        let layouts = link.layouts().argument(Aggregate::Handoff);
        // Each copy of a take finds what an earlier copy has taken.
        let replaced = HandoffItem::REPLACED_FOR.max(link.remembered_for(Durability::Accepted));
        let put = SharedScript::new(link, Op::HandoffPut, &PUT, args![layouts.clone(), millis_ceil(replaced)]);
        let take = SharedScript::new(link, Op::HandoffTake, &TAKE, args![layouts]);
        Self { put, take, values: SizeSeen::default(), margin: link.collection_margin() }
    }
}

/// Each call is one script in one round trip. Concurrent calls are coalesced.
#[async_trait]
impl Handoff for CacheStore {
    async fn put(&self, item: &HandoffItem) -> Result<Put> {
        check_size(Op::HandoffPut, &item.value)?;
        let args = args![
            &item.request.as_bytes()[..],
            item.ttl.as_millis(),
            millis_ceil(item.ttl.as_duration() + self.calls.handoff.margin),
            &item.value,
        ];
        let key = keys::handoff(&item.to, &item.key);
        let mut reply = self.calls.handoff.put.call(vec![key], args, item.value.len()).await?;
        match reply.next_word()?.as_ref() {
            b"stored" => Ok(Put::Stored),
            b"occupied" => Ok(Put::Occupied),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn take(&self, key: &Key, claim: RequestId) -> Result<Option<Bytes>> {
        let (key, args) = (keys::handoff(&self.service, key), args![&claim.as_bytes()[..]]);
        let Handoffs { take, values, .. } = &self.calls.handoff;
        let taken = take.call(vec![key], args, values.expected()).await;
        let mut reply = taken.inspect_err(|_| values.forget())?;
        match reply.next_word()?.as_ref() {
            b"taken" => {
                let value = reply.next_bytes()?;
                values.note(value.len());
                Ok(Some(value))
            }
            b"none" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }
}
