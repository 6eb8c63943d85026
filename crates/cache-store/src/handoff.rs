//! Values handed to other services, in the database that all share.

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::{Link, Place, Script, SharedScript, SizeSeen, args, clock_arg, collection_margin};
use store_core::{Clock, Handoff, HandoffItem, Key, Op, Put, RequestId, Result, keys, millis_ceil};

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

/// The calls of all tasks.
pub(crate) struct Handoffs {
    put: SharedScript,
    take: SharedScript,
    /// What `take` may find.
    values: SizeSeen,
}

impl Handoffs {
    pub(crate) fn new(link: &Link, clock: &Clock) -> Self {
        let shared = |op, script| {
            let clock = clock.clone();
            SharedScript::new(link, op, script, move || args![clock_arg(&clock)])
        };
        let (put, take) = (shared(Op::HandoffPut, &PUT), shared(Op::HandoffTake, &TAKE));
        Self { put, take, values: SizeSeen::default() }
    }
}

/// Each call is one script in one round trip; those of many tasks at the same time share it.
#[async_trait]
impl Handoff for CacheStore {
    async fn put(&self, item: &HandoffItem) -> Result<Put> {
        check_size(Op::HandoffPut, &item.value)?;
        let args = args![
            &item.request.as_bytes()[..],
            item.ttl.as_millis(),
            millis_ceil(item.ttl.as_duration() + collection_margin(&self.clock)),
            &item.value,
        ];
        let key = keys::handoff(&item.to, &item.key);
        let mut reply = self.calls.handoff.put.call(Place::SERVER, vec![key], args, item.value.len()).await?;
        match reply.next_word()?.as_ref() {
            b"stored" => Ok(Put::Stored),
            b"occupied" => Ok(Put::Occupied),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn take(&self, key: &Key, claim: RequestId) -> Result<Option<Bytes>> {
        let (key, args) = (keys::handoff(&self.service, key), args![&claim.as_bytes()[..]]);
        let Handoffs { take, values, .. } = &self.calls.handoff;
        let taken = take.call(Place::SERVER, vec![key], args, values.expected()).await;
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
