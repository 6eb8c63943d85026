//! Entries with an end. An expired entry is invisible immediately; later writes remove it, a few at a time.

use std::ops::{ControlFlow, Range};

use crate::encoding::{Decoder, Encoder};
use crate::fault::Fault;
use crate::moment::Moment;
use crate::rows::{Change, Rows, Table};

/// How many expired entries one write removes.
const COLLECTED_PER_WRITE: usize = 32;

/// How many entries one write evicts if a bound is exceeded.
const EVICTED_PER_WRITE: usize = 10_000;

/// The key of the only row of [`Table::Usage`].
const SUMS: &[u8] = b"";

/// The number of entries, and the bytes of their keys and values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Usage {
    /// No bound at all.
    pub(crate) const UNBOUNDED: Usage = Usage { entries: u64::MAX, bytes: u64::MAX };

    fn subtract(&mut self, bytes: u64) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// Reads an entry that has not expired: its end in milliseconds, and its value.
pub(crate) fn get<T>(
    rows: &mut impl Rows,
    key: &[u8],
    now: Moment,
    read: impl FnOnce(u64, &[u8]) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let found = rows.get(Table::Entries, key, |row| {
        let mut row = Decoder::new(row);
        let end = row.u64()?;
        if end > now.millis() { read(end, row.tail()).map(Some) } else { Ok(None) }
    })?;
    Ok(found.flatten())
}

/// Writes an entry that lasts until `end`, in milliseconds.
pub(crate) fn put(change: &mut Change<'_>, key: &[u8], end: u64, value: &[u8]) -> Result<(), Fault> {
    let mut usage = usage(change)?;
    let before = match stored(change, key) {
        // A damaged entry is replaced. The row of its end stays as a stale entry.
        Err(Fault::Corrupt(_)) => None,
        before => before?,
    };
    if let Some((old_end, bytes)) = before {
        usage.subtract(bytes);
        if old_end != end {
            change.remove(Table::EntryEnds, &end_key(old_end, key))?;
        }
    }
    if before.is_none_or(|(old_end, _)| old_end != end) {
        change.put(Table::EntryEnds, &end_key(end, key), Vec::new())?;
    }
    let row = Encoder::with_capacity(16 + value.len()).u64(end).tail(value).finish();
    usage.entries += 1;
    usage.bytes += size(key, &row);
    change.put(Table::Entries, key, row)?;
    change.usage = Some(usage);
    Ok(())
}

/// Removes an entry. Returns whether there was one that had not expired.
pub(crate) fn remove(change: &mut Change<'_>, key: &[u8], now: Moment) -> Result<bool, Fault> {
    let Some((end, bytes)) = stored(change, key)? else { return Ok(false) };
    let mut usage = usage(change)?;
    change.remove(Table::Entries, key)?;
    change.remove(Table::EntryEnds, &end_key(end, key))?;
    usage.subtract(bytes);
    change.usage = Some(usage);
    Ok(end > now.millis())
}

/// Removes some expired entries; then, while a bound is exceeded, the entries that expire soonest. A store whose bounds
/// were lowered shrinks step by step.
pub(crate) fn tidy(change: &mut Change<'_>, now: Moment, bounds: Usage) -> Result<(), Fault> {
    for (end, key) in soonest(change, COLLECTED_PER_WRITE, now.millis())? {
        collect(change, end, &key)?;
    }
    for _ in 0..EVICTED_PER_WRITE {
        let usage = usage(change)?;
        if usage.entries <= bounds.entries && usage.bytes <= bounds.bytes {
            break;
        }
        let soonest = soonest(change, 1, u64::MAX)?;
        if soonest.is_empty() {
            // Damaged rows have left the sums too high.
            change.usage = Some(Usage::default());
        }
        for (end, key) in soonest {
            collect(change, end, &key)?;
        }
    }
    Ok(())
}

/// Removes the entries that expire soonest, until this many bytes are free or none is left.
pub(crate) fn make_room(change: &mut Change<'_>, bytes: u64) -> Result<(), Fault> {
    let usage = usage(change)?;
    let bounds = Usage { entries: u64::MAX, bytes: usage.bytes.saturating_sub(bytes) };
    tidy(change, Moment::BEGINNING, bounds)
}

/// Removes the entry of this end, even if it is damaged.
fn collect(change: &mut Change<'_>, end: u64, key: &[u8]) -> Result<(), Fault> {
    match stored(change, key) {
        Ok(Some((stored, bytes))) if stored == end => {
            change.remove(Table::Entries, key)?;
            let mut usage = usage(change)?;
            usage.subtract(bytes);
            change.usage = Some(usage);
        }
        Err(Fault::Corrupt(_)) => {
            change.remove(Table::Entries, key)?;
        }
        found => drop(found?),
    }
    change.remove(Table::EntryEnds, &end_key(end, key))?;
    Ok(())
}

/// Writes the sums if they have changed.
pub(crate) fn save_usage(change: &mut Change<'_>) -> Result<(), Fault> {
    let Some(Usage { entries, bytes }) = change.usage.take() else { return Ok(()) };
    change.put(Table::Usage, SUMS, Encoder::with_capacity(16).u64(entries).u64(bytes).finish())
}

/// The current sums.
fn usage(change: &mut Change<'_>) -> Result<Usage, Fault> {
    if let Some(usage) = change.usage {
        return Ok(usage);
    }
    let stored = change.get(Table::Usage, SUMS, |row| {
        let mut row = Decoder::new(row);
        Ok(Usage { entries: row.u64()?, bytes: row.u64()? })
    });
    match stored {
        Err(Fault::Corrupt(_)) => count(change),
        stored => Ok(stored?.unwrap_or_default()),
    }
}

/// Counts the sums again.
fn count(change: &mut Change<'_>) -> Result<Usage, Fault> {
    let mut usage = Usage::default();
    let all: Range<&[u8]> = &[]..&[0xff];
    change.scan(Table::Entries, all, |key, row| {
        if let Ok(row) = row {
            usage.entries += 1;
            usage.bytes += size(key, row);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(usage)
}

/// The end and the size of an entry, expired or not.
fn stored(change: &mut Change<'_>, key: &[u8]) -> Result<Option<(u64, u64)>, Fault> {
    change.get(Table::Entries, key, |row| Ok((Decoder::new(row).u64()?, size(key, row))))
}

/// The ends and keys of up to `max` entries that end by `until`, the soonest first.
fn soonest(change: &mut Change<'_>, max: usize, until: u64) -> Result<Vec<(u64, Vec<u8>)>, Fault> {
    let mut keys = Vec::new();
    let range: Range<&[u8]> = &[]..&until.saturating_add(1).to_be_bytes();
    change.scan(Table::EntryEnds, range, |key, row| {
        if row.is_ok() {
            let mut key = Decoder::new(key);
            keys.push((key.u64()?, key.tail().to_vec()));
        }
        Ok(if keys.len() < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(keys)
}

fn end_key(end: u64, key: &[u8]) -> Vec<u8> {
    Encoder::with_capacity(8 + key.len()).u64(end).tail(key).finish()
}

fn size(key: &[u8], row: &[u8]) -> u64 {
    (key.len() + row.len()) as u64
}
