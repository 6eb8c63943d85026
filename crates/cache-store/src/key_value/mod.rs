//! Values and counters.

use async_trait::async_trait;
use bytes::Bytes;
use redis_link::{Arg, Reply, Script, args};
use store_core::{
    Entry, Error, Key, KeyValue, MAX_KEYS, MAX_VALUE_BYTES, Op, RequestId, Result, SetIfAbsent, Ttl, keys,
};

use crate::CacheStore;

mod frame;

use frame::{framed, unframed};

static GET_MANY: Script =
    Script::new("key_value/get_many", concat!("#!lua\n", include_str!("../../lua/key_value/get_many.lua")));
static SET_MANY: Script =
    Script::new("key_value/set_many", concat!("#!lua\n", include_str!("../../lua/key_value/set_many.lua")));
static DELETE_MANY: Script = Script::new(
    "key_value/delete_many",
    concat!("#!lua flags=allow-oom\n", include_str!("../../lua/key_value/delete_many.lua")),
);
static DELETE_IF: Script = Script::new(
    "key_value/delete_if",
    concat!("#!lua flags=allow-oom\n", include_str!("../../lua/key_value/delete_if.lua")),
);
static ADD: Script = Script::new("key_value/add", concat!("#!lua\n", include_str!("../../lua/key_value/add.lua")));

/// About how many bytes of values travel in one call: a server does one call at a time, and holds it in memory.
const CALL_BYTES: usize = 16 << 20;

/// One value is one plain command (`GET`, `SET … PX`), one round trip. Many are a script per 16 MiB. A deletion whose reply
/// was lost is sent again, and does not count what the first one had deleted.
#[async_trait]
impl KeyValue for CacheStore {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        let op = Op::KeyValueGetMany;
        check_count(op, keys.len())?;
        if let [key] = keys {
            let answer = self.own.command(op, "GET", args![keys::value(key)]).await?;
            return Ok(vec![value(op, answer.reply)?]);
        }
        let names: Vec<_> = keys.iter().map(keys::value).collect();
        let mut values = Vec::with_capacity(keys.len());
        while values.len() < names.len() {
            let rest = &names[values.len()..];
            let mut reply = self.own.call(op, &GET_MANY, rest, args![CALL_BYTES]).await?.reader(op);
            let known = reply.next_word()?.as_ref() == b"values" && (1..=rest.len()).contains(&reply.remaining());
            if !known {
                return Err(reply.unknown_word());
            }
            while reply.remaining() > 0 {
                values.push(value(op, reply.next_reply()?)?);
            }
        }
        Ok(values)
    }

    async fn set_many(&self, entries: &[Entry]) -> Result<()> {
        let op = Op::KeyValueSetMany;
        check_count(op, entries.len())?;
        entries.iter().try_for_each(|entry| check_size(op, &entry.value))?;
        let mut rest = entries;
        while !rest.is_empty() {
            let (call, behind) = rest.split_at(fitting(rest));
            rest = behind;
            if let [entry] = call {
                let mut args = set_args(entry, None);
                args.extend([Arg::fixed("PX"), entry.ttl.as_millis().into()]);
                self.own.command(op, "SET", args).await?;
            } else {
                let names: Vec<_> = call.iter().map(|entry| keys::value(&entry.key)).collect();
                let pairs = call.iter().flat_map(|entry| args![framed(&entry.value, None), entry.ttl.as_millis()]);
                self.own.call(op, &SET_MANY, &names, pairs.collect()).await?;
            }
        }
        Ok(())
    }

    async fn set_if_absent(&self, entry: &Entry, request: RequestId) -> Result<SetIfAbsent> {
        let op = Op::KeyValueSetIfAbsent;
        check_size(op, &entry.value)?;
        let mut args = set_args(entry, Some(request));
        args.extend([Arg::fixed("NX"), Arg::fixed("GET"), Arg::fixed("PX"), entry.ttl.as_millis().into()]);
        match self.own.command(op, "SET", args).await?.reply {
            Reply::Nil => Ok(SetIfAbsent::Stored),
            Reply::Bytes(present) => match unframed(op, &present)? {
                (_, Some(by)) if by == request => Ok(SetIfAbsent::Stored),
                (value, _) => Ok(SetIfAbsent::Present(value)),
            },
            other => Err(other.reader(op).unknown_word()),
        }
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<u64> {
        let op = Op::KeyValueDeleteMany;
        check_count(op, keys.len())?;
        if keys.is_empty() {
            return Ok(0);
        }
        let names: Vec<_> = keys.iter().flat_map(|key| [keys::value(key), keys::counter(key)]).collect();
        let mut reply = self.own.call(op, &DELETE_MANY, &names, Vec::new()).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"deleted" => reply.next_u64(),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn delete_if(&self, key: &Key, expected: &Bytes) -> Result<bool> {
        let op = Op::KeyValueDeleteIf;
        let mut reply = self.own.call(op, &DELETE_IF, &[keys::value(key)], args![expected]).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"deleted" => Ok(true),
            b"kept" => Ok(false),
            _ => Err(reply.unknown_word()),
        }
    }

    async fn add(&self, key: &Key, by: i64, ttl: Ttl) -> Result<i64> {
        let op = Op::KeyValueAdd;
        let mut reply = self.own.call(op, &ADD, &[keys::counter(key)], args![by, ttl.as_millis()]).await?.reader(op);
        match reply.next_word()?.as_ref() {
            b"counted" => reply.next_int(),
            _ => Err(reply.unknown_word()),
        }
    }
}

/// How many of the first entries travel in one call; at least one.
fn fitting(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take_while(|entry| {
        bytes += entry.value.len();
        bytes <= CALL_BYTES
    });
    fit.count().max(1)
}

fn set_args(entry: &Entry, request: Option<RequestId>) -> Vec<Arg> {
    args![keys::value(&entry.key), framed(&entry.value, request)]
}

fn value(op: Op, reply: Reply) -> Result<Option<Bytes>> {
    match reply {
        Reply::Nil => Ok(None),
        Reply::Bytes(stored) => unframed(op, &stored).map(|(value, _)| Some(value)),
        other => Err(other.reader(op).unknown_word()),
    }
}

fn check_count(op: Op, count: usize) -> Result<()> {
    if count > MAX_KEYS {
        return Err(Error::rejected(op, format!("{count} keys in one call; at most {MAX_KEYS} are allowed")));
    }
    Ok(())
}

pub(crate) fn check_size(op: Op, value: &Bytes) -> Result<()> {
    if value.len() > MAX_VALUE_BYTES {
        let detail = format!("a value of {} bytes; at most {MAX_VALUE_BYTES} are allowed", value.len());
        return Err(Error::rejected(op, detail));
    }
    Ok(())
}
