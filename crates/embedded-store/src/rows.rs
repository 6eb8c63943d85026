//! Tables of bytes, for transactions that write and for those that read.
//!
//! In a file, each row ends with a checksum of its table, its key and its content ([`checksum`]), which is verified whenever
//! the row is read. redb verifies its pages only when it repairs a file, so it would not notice damage to a file that was
//! closed.

use std::ops::{ControlFlow, Range};

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
};
use store_core::QueueName;

use crate::expiring::Usage;
use crate::fault::Fault;

type Bytes = &'static [u8];
type Definition = TableDefinition<'static, Bytes, Bytes>;

/// Every table of both stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Name of a queue -> its ledger; under the empty name, the number of the next one.
    Queues,
    /// Queue, job id -> the pushed job. Never changed.
    Jobs,
    /// Queue, job id -> the changing state. Absent while the job is still in the place of its push.
    Lives,
    /// Queue, kind of place, order, job id -> nothing. Each job has exactly one row.
    Places,
    /// Queue, unique key -> end and holder.
    Uniques,
    /// Pool, member -> its beats.
    Members,
    /// Pool, end of the last beat, the latest first, member -> nothing.
    MemberEnds,
    /// Key -> end and value, of all entries with an end.
    Entries,
    /// End, key -> nothing.
    EntryEnds,
    /// Sums over [`Table::Entries`], in one row.
    Usage,
}

const DEFINITIONS: [Definition; 10] = [
    Definition::new("queues"),
    Definition::new("jobs"),
    Definition::new("lives"),
    Definition::new("places"),
    Definition::new("uniques"),
    Definition::new("members"),
    Definition::new("member_ends"),
    Definition::new("entries"),
    Definition::new("entry_ends"),
    Definition::new("usage"),
];

/// The error text for a damaged row.
const DAMAGED: [&str; DEFINITIONS.len()] = [
    "a row of the table queues is damaged",
    "a row of the table jobs is damaged",
    "a row of the table lives is damaged",
    "a row of the table places is damaged",
    "a row of the table uniques is damaged",
    "a row of the table members is damaged",
    "a row of the table member_ends is damaged",
    "a row of the table entries is damaged",
    "a row of the table entry_ends is damaged",
    "a row of the table usage is damaged",
];

/// The size of a checksum in bytes.
const SUM: usize = 4;

/// CRC-32 of the table's number, the key and the row. It detects every change within 32 consecutive bits, and all but one in
/// 4 billion other changes.
fn checksum(table: Table, key: &[u8], row: &[u8]) -> [u8; SUM] {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[table as u8]);
    sum.update(key);
    sum.update(row);
    sum.finalize().to_be_bytes()
}

/// Whether rows have checksums: only in a file. In memory nothing is damaged between a write and a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sums {
    Verified,
    Absent,
}

/// The row without its checksum, which must be correct.
fn verify<'r>(sums: Sums, table: Table, key: &[u8], stored: &'r [u8]) -> Result<&'r [u8], Fault> {
    if sums == Sums::Absent {
        return Ok(stored);
    }
    match stored.split_last_chunk::<SUM>() {
        Some((row, sum)) if *sum == checksum(table, key, row) => Ok(row),
        _ => Err(Fault::Corrupt(DAMAGED[table as usize])),
    }
}

/// Rows that can be read. Rows are passed to a closure because they are in the database's own pages.
pub(crate) trait Rows {
    /// Reads the row under `key`.
    fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault>;

    /// Reads the rows whose keys are in `range`, in order, until `each` breaks. `each` decides what to do about a damaged
    /// row.
    fn scan(&mut self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault>;
}

/// Called for each row of a scan: its key, and the row unless it is damaged.
pub(crate) trait Each: FnMut(&[u8], Result<&[u8], Fault>) -> Result<ControlFlow<()>, Fault> {}

impl<F: FnMut(&[u8], Result<&[u8], Fault>) -> Result<ControlFlow<()>, Fault>> Each for F {}

fn get<T>(
    opened: &impl ReadableTable<Bytes, Bytes>,
    (sums, table): (Sums, Table),
    key: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    opened.get(key)?.map(|row| read(verify(sums, table, key, row.value())?)).transpose()
}

fn scan(
    opened: &impl ReadableTable<Bytes, Bytes>,
    (sums, table): (Sums, Table),
    range: Range<&[u8]>,
    mut each: impl Each,
) -> Result<(), Fault> {
    if range.start >= range.end {
        return Ok(());
    }
    for row in opened.range(range)? {
        let (key, value) = row?;
        let key = key.value();
        if each(key, verify(sums, table, key, value.value()))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// How many rows all tables have.
pub(crate) fn count(transaction: &WriteTransaction) -> Result<u64, redb::Error> {
    DEFINITIONS.iter().try_fold(0, |rows, table| Ok(rows + transaction.open_table(*table)?.len()?))
}

/// The writes of one transaction. Tables are opened on first use.
pub(crate) struct Change<'t> {
    transaction: &'t WriteTransaction,
    tables: [Option<redb::Table<'t, Bytes, Bytes>>; DEFINITIONS.len()],
    sums: Sums,
    is_full: bool,
    is_changed: bool,
    /// How many rows were written or removed.
    changed_rows: u64,
    /// How many bytes the written rows have, with their keys.
    written_bytes: u64,
    notifications: Vec<QueueName>,
    /// How many bytes of rows were removed, beyond those that were added.
    freed: i64,
    /// Sums over the entries, once they were read; see [`crate::expiring`].
    pub(crate) usage: Option<Usage>,
}

impl<'t> Change<'t> {
    pub(crate) fn new(transaction: &'t WriteTransaction, sums: Sums, is_full: bool) -> Self {
        Self {
            transaction,
            sums,
            is_full,
            tables: [const { None }; DEFINITIONS.len()],
            is_changed: false,
            changed_rows: 0,
            written_bytes: 0,
            notifications: Vec::new(),
            freed: 0,
            usage: None,
        }
    }

    fn table(&mut self, table: Table) -> Result<&mut redb::Table<'t, Bytes, Bytes>, Fault> {
        let index = table as usize;
        match &mut self.tables[index] {
            Some(open) => Ok(open),
            closed => Ok(closed.insert(self.transaction.open_table(DEFINITIONS[index])?)),
        }
    }

    /// Whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Writes a row, and its checksum behind it.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], mut row: Vec<u8>) -> Result<(), Fault> {
        if self.sums == Sums::Verified {
            let sum = checksum(table, key, &row);
            row.extend_from_slice(&sum);
        }
        self.table(table)?.insert(key, &row[..])?;
        self.freed -= bytes(key, row.len());
        self.changed_rows += 1;
        self.written_bytes += (key.len() + row.len()) as u64;
        self.is_changed = true;
        Ok(())
    }

    /// Removes a row, damaged or not. Returns whether there was one.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) -> Result<bool, Fault> {
        let removed = self.table(table)?.remove(key)?.map(|row| row.value().len());
        self.freed += removed.map_or(0, |len| bytes(key, len));
        self.is_changed |= removed.is_some();
        self.changed_rows += u64::from(removed.is_some());
        Ok(removed.is_some())
    }

    /// Reads the rows whose keys lie in `range`, the last first, until `each` breaks.
    pub(crate) fn scan_back(&mut self, table: Table, range: Range<&[u8]>, mut each: impl Each) -> Result<(), Fault> {
        let sums = self.sums;
        for row in self.table(table)?.range(range)?.rev() {
            let (key, value) = row?;
            let key = key.value();
            if each(key, verify(sums, table, key, value.value()))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Wakes one caller that waits for the queue, after the transaction is committed.
    pub(crate) fn notify(&mut self, queue: &QueueName) {
        if !self.notifications.contains(queue) {
            self.notifications.push(queue.clone());
        }
    }

    /// Writes the rows that were kept until the end of the transaction.
    pub(crate) fn finish(mut self) -> Result<Written, Fault> {
        crate::expiring::save_usage(&mut self)?;
        Ok(Written {
            is_changed: self.is_changed,
            notifications: self.notifications,
            freed: self.freed,
            rows: self.changed_rows,
            bytes: self.written_bytes,
        })
    }
}

/// What a transaction has written.
pub(crate) struct Written {
    pub(crate) is_changed: bool,
    /// The queues to notify after the commit.
    pub(crate) notifications: Vec<QueueName>,
    /// Net bytes of rows removed. A row that was replaced counts as added.
    pub(crate) freed: i64,
    /// How many rows were written or removed.
    pub(crate) rows: u64,
    /// How many bytes the written rows have, with their keys.
    pub(crate) bytes: u64,
}

fn bytes(key: &[u8], row: usize) -> i64 {
    i64::try_from(key.len() + row).unwrap_or(i64::MAX)
}

impl Rows for Change<'_> {
    fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let sums = self.sums;
        get(self.table(table)?, (sums, table), key, read)
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault> {
        let sums = self.sums;
        scan(self.table(table)?, (sums, table), range, each)
    }
}

/// The reads of one transaction. A table that was never written is empty.
pub(crate) struct View<'t> {
    transaction: &'t ReadTransaction,
    sums: Sums,
}

impl<'t> View<'t> {
    pub(crate) fn new(transaction: &'t ReadTransaction, sums: Sums) -> Self {
        Self { transaction, sums }
    }

    fn table(&self, table: Table) -> Result<Option<ReadOnlyTable<Bytes, Bytes>>, Fault> {
        match self.transaction.open_table(DEFINITIONS[table as usize]) {
            Ok(open) => Ok(Some(open)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Rows for View<'_> {
    fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.table(table)?.map_or(Ok(None), |open| get(&open, (self.sums, table), key, read))
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault> {
        self.table(table)?.map_or(Ok(()), |open| scan(&open, (self.sums, table), range, each))
    }
}

/// The first key after all that begin with `prefix`. The prefix must not end in 0xff.
pub(crate) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.checked_add(1).expect("invariant: prefixes end in a name, a kind or a zero");
    }
    end
}
