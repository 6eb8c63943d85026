//! Values and counters.

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::{Link, Reply, Script, SharedScript, args, keys};
use store_core::{Entry, Error, Key, KeyValue, Op, RequestId, Result, SetIfAbsent, Ttl};

use crate::CacheStore;

mod frame;
mod reads;
pub(crate) mod writes;

use frame::{framed, unframed};
use reads::Reads;
use writes::Writes;

static SET_IF_ABSENT: Script =
    Script::adds("key_value/set_if_absent", &[include_str!("../lua/key_value/set_if_absent.lua")]);
static DELETE_MANY: Script =
    Script::frees("key_value/delete_many", &[include_str!("../lua/key_value/delete_many.lua")]);
static DELETE_IF: Script = Script::frees("key_value/delete_if", &[include_str!("../lua/key_value/delete_if.lua")]);
static ADD: Script = Script::adds("key_value/add", &[include_str!("../lua/key_value/add.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 4] = [&SET_IF_ABSENT, &DELETE_MANY, &DELETE_IF, &ADD];

/// The approximate number of bytes of values in one call: a server executes one call at a time, and keeps it in memory.
const CALL_BYTES: usize = 16 << 20;

/// The calls of all tasks.
pub(crate) struct KeyValues {
    link: Link,
    reads: Reads,
    writes: Writes,
    delete_many: SharedScript,
    delete_if: SharedScript,
    add: SharedScript,
}

impl KeyValues {
    pub(crate) fn new(link: &Link) -> Self {
        let shared = |op, script| SharedScript::new(link, op, script, Vec::new());
        Self {
            link: link.clone(),
            reads: Reads::new(link),
            writes: Writes::new(link),
            delete_many: shared(Op::KeyValueDeleteMany, &DELETE_MANY),
            delete_if: shared(Op::KeyValueDeleteIf, &DELETE_IF),
            add: shared(Op::KeyValueAdd, &ADD),
        }
    }
}

/// Values are read by `MGET`, 128 in a round trip, or fewer if recent values were large: about 16 MiB. A key to which
/// another program has given another type reads as absent. Values are set by one script per 16 MiB. Concurrent calls
/// are coalesced, except `set_if_absent`. A deletion whose reply was lost is sent again, and does not count the keys
/// that the first one deleted.
#[async_trait]
impl KeyValue for CacheStore {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        let op = Op::KeyValueGetMany;
        check_count(op, keys.len())?;
        let mut values = Vec::with_capacity(keys.len());
        while values.len() < keys.len() {
            for stored in self.calls.key_value.reads.read_first(&keys[values.len()..]).await? {
                values.push(value(op, stored)?);
            }
        }
        Ok(values)
    }

    async fn set_many(&self, entries: &[Entry]) -> Result<()> {
        let op = Op::KeyValueSetMany;
        check_count(op, entries.len())?;
        entries.iter().try_for_each(|entry| check_size(op, &entry.value))?;
        self.calls.key_value.writes.write(entries).await
    }

    async fn set_if_absent(&self, entry: &Entry, request: RequestId) -> Result<SetIfAbsent> {
        let op = Op::KeyValueSetIfAbsent;
        check_size(op, &entry.value)?;
        let (key, args) = (keys::value(&entry.key), args![framed(&entry.value, Some(request)), entry.ttl.as_millis()]);
        let mut reply = self.calls.key_value.link.call(op, &SET_IF_ABSENT, &[key], args).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"stored" => Ok(SetIfAbsent::Stored),
            b"present" => match unframed(op, &reply.next_bytes()?)? {
                (_, Some(by)) if by == request => Ok(SetIfAbsent::Stored),
                (value, _) => Ok(SetIfAbsent::Present(value)),
            },
            _ => Err(reply.unknown_word()),
        }
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<u64> {
        let op = Op::KeyValueDeleteMany;
        check_count(op, keys.len())?;
        if keys.is_empty() {
            return Ok(0);
        }
        let names: Vec<_> = keys.iter().flat_map(|key| [keys::value(key), keys::counter(key)]).collect();
        let calls = &self.calls.key_value.delete_many;
        calls.call(names, args![keys.len()], 0).await?.next_u64()
    }

    async fn delete_if(&self, key: &Key, expected: &Bytes) -> Result<bool> {
        let calls = &self.calls.key_value.delete_if;
        let mut reply = calls.call(vec![keys::value(key)], args![expected], expected.len()).await?;
        match reply.next_word()?.as_ref() {
            b"deleted" => Ok(true),
            b"kept" => Ok(false),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn add(&self, key: &Key, by: i64, ttl: Ttl) -> Result<i64> {
        let calls = &self.calls.key_value.add;
        let args = args![by, ttl.as_millis()];
        let mut reply = calls.call(vec![keys::counter(key)], args, 0).await?;
        match reply.next_word()?.as_ref() {
            b"counted" => reply.next_int(),
            _ => Err(reply.unknown_word()),
        }
    }
}

fn value(op: Op, reply: Reply) -> Result<Option<Bytes>> {
    match reply {
        Reply::Nil => Ok(None),
        Reply::Bytes(stored) => unframed(op, &stored).map(|(value, _)| Some(value)),
        other => Err(other.reader(op).unknown_word()),
    }
}

fn check_count(op: Op, count: usize) -> Result<()> {
    if count > Entry::MAX_KEYS {
        return Err(Error::invalid_argument(
            op,
            format!("{count} keys in one call; at most {most} are allowed", most = Entry::MAX_KEYS),
        ));
    }
    Ok(())
}

pub(crate) fn check_size(op: Op, value: &Bytes) -> Result<()> {
    if value.len() > Entry::MAX_VALUE_BYTES {
        let detail =
            format!("a value of {} bytes; at most {most} are allowed", value.len(), most = Entry::MAX_VALUE_BYTES);
        return Err(Error::invalid_argument(op, detail));
    }
    Ok(())
}
