//! Coalesced writes.

use redis_link::{Batcher, Bounds, Link, Load, Script, args, keys};
use store_core::{Entry, Op, Result};

use super::CALL_BYTES;
use super::frame::framed;

const OP: Op = Op::KeyValueSetMany;

static SET_MANY: Script = Script::adds("key_value/set_many", &[include_str!("../../lua/key_value/set_many.lua")]);

#[cfg(test)]
pub(crate) static SCRIPTS: [&Script; 1] = [&SET_MANY];

pub(super) struct Writes {
    link: Link,
    calls: Batcher<(), Vec<Entry>, ()>,
}

impl Writes {
    pub(super) fn new(link: &Link) -> Self {
        // Large values gain nothing by coalescing.
        let bounds = Bounds { under_way: 2, items: 128, bytes: 1 << 20 };
        Self { link: link.clone(), calls: Batcher::new(OP, bounds) }
    }

    /// Writes all entries, in as many calls as their bytes require.
    pub(super) async fn write(&self, entries: &[Entry]) -> Result<()> {
        let mut rest = entries;
        while !rest.is_empty() {
            let (call, behind) = rest.split_at(fitting(rest));
            rest = behind;
            let load = Load { items: call.len(), bytes: call.iter().map(|entry| entry.value.len()).sum() };
            let link = self.link.clone();
            let send = move |groups: Vec<Vec<Entry>>| {
                let link = link.clone();
                async move {
                    set(&link, groups.iter().flatten()).await?;
                    Ok(vec![(); groups.len()])
                }
            };
            let alone = || set(&self.link, call.iter());
            self.calls.call_or_else((), load, alone, || call.to_vec(), send).await?;
        }
        Ok(())
    }
}

async fn set(link: &Link, entries: impl Iterator<Item = &Entry> + Clone) -> Result<()> {
    let names: Vec<_> = entries.clone().map(|entry| keys::value(&entry.key)).collect();
    let pairs = entries.flat_map(|entry| args![framed(&entry.value, None), entry.ttl.as_millis()]);
    link.call(OP, &SET_MANY, &names, pairs.collect()).await.map(drop)
}

/// How many of the first entries fit one call; at least one.
fn fitting(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take_while(|entry| {
        bytes += entry.value.len();
        bytes <= CALL_BYTES
    });
    fit.count().max(1)
}
