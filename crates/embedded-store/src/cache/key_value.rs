//! Short-lived values and counters.
//!
//! The row of a value: whether a request of [`KeyValue::set_if_absent`] set it, that request, the value. The row of a
//! counter: the number.

use async_trait::async_trait;
use bytes::Bytes;
use store_core::{Entry, Error, Key, KeyValue, Op, RequestId, Result, SetIfAbsent, Ttl};

use super::EmbeddedCache;
use crate::database::Operation;
use crate::encoding::{Decoder, Encoder};
use crate::expiring;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, View};

type Value = (Option<RequestId>, Bytes);

fn encode(request: Option<RequestId>, value: &[u8]) -> Vec<u8> {
    let row = Encoder::with_capacity(17 + value.len());
    row.option(request, |row, request| row.tail(request.as_bytes())).tail(value).finish()
}

fn decode(_end: u64, row: &[u8]) -> Result<Value, Fault> {
    let mut row = Decoder::new(row);
    let request = row.option(Decoder::array)?.map(RequestId::from_bytes);
    Ok((request, Bytes::copy_from_slice(row.tail())))
}

fn validate_count(op: Op, len: usize) -> Result<()> {
    if len > Entry::MAX_KEYS {
        return Err(Error::invalid_argument(
            op,
            format!("{len} keys in one call; at most {most}", most = Entry::MAX_KEYS),
        ));
    }
    Ok(())
}

pub(super) fn validate_value(op: Op, value: &Bytes) -> Result<()> {
    if value.len() > Entry::MAX_VALUE_BYTES {
        return Err(Error::invalid_argument(
            op,
            format!("a value has {} bytes; at most {most}", value.len(), most = Entry::MAX_VALUE_BYTES),
        ));
    }
    Ok(())
}

#[async_trait]
impl KeyValue for EmbeddedCache {
    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>> {
        validate_count(Op::KeyValueGetMany, keys.len())?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<_> = keys.iter().map(|key| self.value_row(key)).collect();
        let clock = self.options.clock.clone();
        let look = move |view: &mut View<'_>| {
            let now = Moment::now(&clock);
            rows.iter().map(|row| Ok(expiring::get(view, row, now, decode)?.map(|(_, value)| value))).collect()
        };
        self.database.read(Op::KeyValueGetMany, look).await
    }

    async fn set_many(&self, entries: &[Entry]) -> Result<()> {
        validate_count(Op::KeyValueSetMany, entries.len())?;
        entries.iter().try_for_each(|entry| validate_value(Op::KeyValueSetMany, &entry.value))?;
        if entries.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = entries.iter().map(|entry| (self.value_row(&entry.key), entry.clone())).collect();
        let (clock, bounds) = (self.options.clock.clone(), self.bounds());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            for (row, entry) in &rows {
                expiring::put(change, row, now.after(entry.ttl.as_duration()), &encode(None, &entry.value))?;
            }
            expiring::tidy(change, now, bounds)
        };
        self.database.write(Operation::adding(Op::KeyValueSetMany), apply).await
    }

    async fn set_if_absent(&self, entry: &Entry, request: RequestId) -> Result<SetIfAbsent> {
        validate_value(Op::KeyValueSetIfAbsent, &entry.value)?;
        let (row, entry) = (self.value_row(&entry.key), entry.clone());
        let (clock, bounds) = (self.options.clock.clone(), self.bounds());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            match expiring::get(change, &row, now, decode)? {
                Some((Some(stored), _)) if stored == request => Ok(SetIfAbsent::Stored),
                Some((_, value)) => Ok(SetIfAbsent::Present(value)),
                None => {
                    let value = encode(Some(request), &entry.value);
                    expiring::put(change, &row, now.after(entry.ttl.as_duration()), &value)?;
                    expiring::tidy(change, now, bounds)?;
                    Ok(SetIfAbsent::Stored)
                }
            }
        };
        self.database.write(Operation::adding(Op::KeyValueSetIfAbsent), apply).await
    }

    async fn delete_many(&self, keys: &[Key]) -> Result<u64> {
        validate_count(Op::KeyValueDeleteMany, keys.len())?;
        if keys.is_empty() {
            return Ok(0);
        }
        let rows: Vec<_> = keys.iter().map(|key| (self.value_row(key), self.counter_row(key))).collect();
        let clock = self.options.clock.clone();
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let mut deleted = 0;
            for (value, counter) in &rows {
                let had_value = expiring::remove(change, value, now)?;
                let had_counter = expiring::remove(change, counter, now)?;
                deleted += u64::from(had_value || had_counter);
            }
            Ok(deleted)
        };
        self.database.write(Op::KeyValueDeleteMany, apply).await
    }

    async fn delete_if(&self, key: &Key, expected: &Bytes) -> Result<bool> {
        let (row, expected) = (self.value_row(key), expected.clone());
        let clock = self.options.clock.clone();
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            match expiring::get(change, &row, now, decode)? {
                Some((_, value)) if value == expected => expiring::remove(change, &row, now),
                _ => Ok(false),
            }
        };
        self.database.write(Op::KeyValueDeleteIf, apply).await
    }

    async fn add(&self, key: &Key, by: i64, ttl: Ttl) -> Result<i64> {
        let row = self.counter_row(key);
        let (clock, bounds) = (self.options.clock.clone(), self.bounds());
        let apply = move |change: &mut Change<'_>| {
            let now = Moment::now(&clock);
            let stored = expiring::get(change, &row, now, |end, row| Ok((end, Decoder::new(row).array()?)))?;
            let (end, number) = match stored {
                Some((end, number)) => (end, i64::from_be_bytes(number)),
                None => (now.after(ttl.as_duration()), 0),
            };
            let Some(sum) = number.checked_add(by) else {
                let detail = "the counter would leave the range of 64 bits; it was not changed";
                return Err(Fault::Refused(Error::invalid_argument(Op::KeyValueAdd, detail)));
            };
            expiring::put(change, &row, end, &sum.to_be_bytes())?;
            expiring::tidy(change, now, bounds)?;
            Ok(sum)
        };
        self.database.write(Operation::adding(Op::KeyValueAdd), apply).await
    }
}
