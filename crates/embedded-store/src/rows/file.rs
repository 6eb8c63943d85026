//! Tables in a file: redb's.
//!
//! Each row ends with a checksum of its table, its key and its content ([`checksum`]), which is verified whenever the row is
//! read. redb verifies its pages only when it repairs a file, so it would not notice damage to a file that was closed.

use std::ops::Range;

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
};

use super::{Each, TABLES, Table};
use crate::fault::Fault;

type Bytes = &'static [u8];
type Definition = TableDefinition<'static, Bytes, Bytes>;

const DEFINITIONS: [Definition; TABLES] = [
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
    Definition::new("steps"),
    Definition::new("step_ends"),
    Definition::new("runs"),
    Definition::new("run_lists"),
    Definition::new("schedules"),
    Definition::new("topics"),
    Definition::new("topic_ends"),
    Definition::new("sessions"),
    Definition::new("session_lists"),
];

/// The error text for a damaged row.
const DAMAGED: [&str; TABLES] = [
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
    "a row of the table steps is damaged",
    "a row of the table step_ends is damaged",
    "a row of the table runs is damaged",
    "a row of the table run_lists is damaged",
    "a row of the table schedules is damaged",
    "a row of the table topics is damaged",
    "a row of the table topic_ends is damaged",
    "a row of the table sessions is damaged",
    "a row of the table session_lists is damaged",
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

/// The row without its checksum, which must be correct.
fn verify<'r>(table: Table, key: &[u8], stored: &'r [u8]) -> Result<&'r [u8], Fault> {
    match stored.split_last_chunk::<SUM>() {
        Some((row, sum)) if *sum == checksum(table, key, row) => Ok(row),
        _ => Err(Fault::Corrupt(DAMAGED[table as usize])),
    }
}

fn get<T>(
    opened: &impl ReadableTable<Bytes, Bytes>,
    table: Table,
    key: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    opened.get(key)?.map(|row| read(verify(table, key, row.value())?)).transpose()
}

fn scan(
    opened: &impl ReadableTable<Bytes, Bytes>,
    table: Table,
    range: Range<&[u8]>,
    mut each: impl Each,
) -> Result<(), Fault> {
    for row in opened.range(range)? {
        let (key, value) = row?;
        let key = key.value();
        if each(key, verify(table, key, value.value()))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// How many rows all tables have.
pub(crate) fn count(transaction: &WriteTransaction) -> Result<u64, redb::Error> {
    DEFINITIONS.iter().try_fold(0, |rows, table| Ok(rows + transaction.open_table(*table)?.len()?))
}

/// The tables in a transaction that writes. They are opened on first use.
pub(super) struct FileChange<'t> {
    transaction: &'t WriteTransaction,
    tables: [Option<redb::Table<'t, Bytes, Bytes>>; TABLES],
}

impl<'t> FileChange<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction) -> Self {
        Self { transaction, tables: [const { None }; TABLES] }
    }

    fn table(&mut self, table: Table) -> Result<&mut redb::Table<'t, Bytes, Bytes>, Fault> {
        let index = table as usize;
        match &mut self.tables[index] {
            Some(open) => Ok(open),
            closed => Ok(closed.insert(self.transaction.open_table(DEFINITIONS[index])?)),
        }
    }

    pub(super) fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        get(self.table(table)?, table, key, read)
    }

    pub(super) fn scan(&mut self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault> {
        scan(self.table(table)?, table, range, each)
    }

    /// Reads the rows of `range`, the last first.
    pub(super) fn scan_back(&mut self, table: Table, range: Range<&[u8]>, mut each: impl Each) -> Result<(), Fault> {
        for row in self.table(table)?.range(range)?.rev() {
            let (key, value) = row?;
            let key = key.value();
            if each(key, verify(table, key, value.value()))?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Writes a row, and its checksum behind it. Returns how many bytes that are.
    pub(super) fn put(&mut self, table: Table, key: &[u8], mut row: Vec<u8>) -> Result<usize, Fault> {
        let sum = checksum(table, key, &row);
        row.extend_from_slice(&sum);
        self.table(table)?.insert(key, &row[..])?;
        Ok(row.len())
    }

    /// Removes a row, damaged or not. Returns how many bytes it had.
    pub(super) fn remove(&mut self, table: Table, key: &[u8]) -> Result<Option<usize>, Fault> {
        Ok(self.table(table)?.remove(key)?.map(|row| row.value().len()))
    }
}

/// The tables in a snapshot. A table that was never written is empty.
pub(crate) struct FileView<'t>(pub(super) &'t ReadTransaction);

impl FileView<'_> {
    fn table(&self, table: Table) -> Result<Option<ReadOnlyTable<Bytes, Bytes>>, Fault> {
        match self.0.open_table(DEFINITIONS[table as usize]) {
            Ok(open) => Ok(Some(open)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.table(table)?.map_or(Ok(None), |open| get(&open, table, key, read))
    }

    pub(super) fn scan(&self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault> {
        self.table(table)?.map_or(Ok(()), |open| scan(&open, table, range, each))
    }
}
