//! Coalesced reads: one `MGET` for all tasks that read concurrently.

use std::sync::Arc;

use bytes::Bytes;
use redis_link::{Arg, Batcher, Bounds, Link, Load, Reply, SizeSeen, keys};
use store_core::{Error, Key, Op, RequestId, Result};

use super::CALL_BYTES;

const OP: Op = Op::KeyValueGetMany;

/// How many keys one call reads. Their values may be much larger than the values before them.
const CALL_KEYS: usize = 128;

/// Values up to this size are copied, because a copy costs less than the memory that they would keep alive.
const COPIED_BYTES: usize = 64 << 10;

pub(super) struct Reads {
    wire: Arc<Wire>,
    calls: Batcher<(), Vec<String>, Vec<Reply>>,
}

struct Wire {
    link: Link,
    /// A key that nobody writes or can guess: see [`Link::values`].
    absent: Arg,
    seen: SizeSeen,
}

impl Reads {
    pub(super) fn new(link: &Link) -> Self {
        let absent = Arg::from(keys::no_value(RequestId::generate()));
        let bounds = Bounds { under_way: 2, items: CALL_KEYS, bytes: CALL_BYTES };
        let wire = Wire { link: link.clone(), absent, seen: SizeSeen::default() };
        Self { wire: Arc::new(wire), calls: Batcher::new(OP, bounds) }
    }

    /// The values of the first of these keys, at least one, as many as one call is expected to carry.
    pub(super) async fn read_first(&self, keys: &[Key]) -> Result<Vec<Reply>> {
        let bytes = self.wire.seen.expected();
        let fitting = (CALL_BYTES / bytes).clamp(1, CALL_KEYS).min(keys.len());
        let names: Vec<_> = keys[..fitting].iter().map(keys::value).collect();
        let load = Load { items: fitting, bytes: fitting * bytes };
        let wire = Arc::clone(&self.wire);
        self.calls.call((), load, names, move |groups| Arc::clone(&wire).read(groups)).await
    }
}

impl Wire {
    async fn read(self: Arc<Self>, groups: Vec<Vec<String>>) -> Result<Vec<Vec<Reply>>> {
        let counts: Vec<_> = groups.iter().map(Vec::len).collect();
        let names = groups.into_iter().flatten().map(Arg::from);
        let read = self.link.values(OP, self.absent.clone(), names).await;
        let values = read.inspect_err(|_| self.seen.forget())?;
        if values.len() != counts.iter().sum::<usize>() {
            return Err(Error::corrupt(OP, "the reply does not have one value for each key"));
        }
        let sizes = values.iter().filter_map(Reply::as_bytes).map(|value| value.len());
        if let Some(largest) = sizes.max() {
            self.seen.note(largest);
        }
        let bytes: usize = values.iter().filter_map(Reply::as_bytes).map(|value| value.len()).sum();
        let mut values = values.into_iter().map(|value| on_its_own(value, bytes));
        Ok(counts.into_iter().map(|count| values.by_ref().take(count).collect()).collect())
    }
}

/// A value shares the read buffer and keeps all of it in memory, with the values of other callers. If it may be a small
/// part of the buffer, it is copied.
fn on_its_own(value: Reply, bytes: usize) -> Reply {
    match value {
        Reply::Bytes(value) if value.len() <= COPIED_BYTES || 2 * value.len() < bytes => {
            Reply::Bytes(Bytes::copy_from_slice(&value))
        }
        other => other,
    }
}
