//! Values handed to other services, in the database that all share.

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::{Script, args, clock_arg, collection_margin};
use store_core::{Handoff, HandoffItem, Key, Op, Put, RequestId, Result, keys, millis_ceil};

use crate::CacheStore;
use crate::key_value::check_size;

static PUT: Script = Script::new(
    "handoff/put",
    concat!("#!lua\n", include_str!("../../redis-link/lua/clock.lua"), include_str!("../lua/handoff/put.lua")),
);
static TAKE: Script = Script::new(
    "handoff/take",
    concat!(
        "#!lua flags=allow-oom\n",
        include_str!("../../redis-link/lua/clock.lua"),
        include_str!("../lua/handoff/take.lua")
    ),
);

/// Each call is one script in one round trip.
#[async_trait]
impl Handoff for CacheStore {
    async fn put(&self, item: &HandoffItem) -> Result<Put> {
        let op = Op::HandoffPut;
        check_size(op, &item.value)?;
        let args = args![
            clock_arg(&self.clock),
            &item.request.as_bytes()[..],
            item.ttl.as_millis(),
            millis_ceil(item.ttl.as_duration() + collection_margin(&self.clock)),
            &item.value,
        ];
        let mut reply = self.shared.call(op, &PUT, &[keys::handoff(&item.to, &item.key)], args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"stored" => Ok(Put::Stored),
            b"occupied" => Ok(Put::Occupied),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn take(&self, key: &Key, claim: RequestId) -> Result<Option<Bytes>> {
        let op = Op::HandoffTake;
        let args = args![clock_arg(&self.clock), &claim.as_bytes()[..]];
        let mut reply = self.shared.call(op, &TAKE, &[keys::handoff(&self.service, key)], args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"taken" => reply.next_bytes().map(Some),
            b"none" => Ok(None),
            _ => Err(reply.unknown_word()),
        }
    }
}
