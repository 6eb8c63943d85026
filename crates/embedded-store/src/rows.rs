//! Tables of bytes, as a transaction that writes and one that reads see them.

use std::ops::{ControlFlow, Range};

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};
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
    /// Queue, job id -> what was pushed. Never changed.
    Jobs,
    /// Queue, job id -> what changes. Absent as long as the job is where its push put it.
    Lives,
    /// Queue, kind of place, order, job id -> nothing. Each job has exactly one row.
    Places,
    /// Queue, unique key -> end and holder.
    Uniques,
    /// Pool, member -> its beats.
    Members,
    /// Pool, end of the last beat, the latest first, member -> nothing.
    MemberEnds,
    /// Key -> end and value: whatever lasts for a time.
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

/// Rows that can be read. Rows are handed to a closure because they lie in the database's own pages.
pub(crate) trait Rows {
    /// Reads the row under `key`.
    fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault>;

    /// Reads the rows whose keys lie in `range`, in order, until `each` breaks.
    fn scan(
        &mut self,
        table: Table,
        range: Range<&[u8]>,
        each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault>;
}

fn get<T>(
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    table.get(key)?.map(|row| read(row.value())).transpose()
}

fn scan(
    table: &impl ReadableTable<Bytes, Bytes>,
    range: Range<&[u8]>,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Fault>,
) -> Result<(), Fault> {
    if range.start >= range.end {
        return Ok(());
    }
    for row in table.range(range)? {
        let (key, value) = row?;
        if each(key.value(), value.value())?.is_break() {
            break;
        }
    }
    Ok(())
}

/// What one transaction writes. Tables are opened when they are first touched.
pub(crate) struct Change<'t> {
    transaction: &'t WriteTransaction,
    tables: [Option<redb::Table<'t, Bytes, Bytes>>; DEFINITIONS.len()],
    changed: bool,
    news: Vec<QueueName>,
    /// Sums over the entries, once they were read; see [`crate::expiring`].
    pub(crate) usage: Option<Usage>,
}

impl<'t> Change<'t> {
    pub(crate) fn new(transaction: &'t WriteTransaction) -> Self {
        Self { transaction, tables: [const { None }; DEFINITIONS.len()], changed: false, news: Vec::new(), usage: None }
    }

    fn table(&mut self, table: Table) -> Result<&mut redb::Table<'t, Bytes, Bytes>, Fault> {
        let index = table as usize;
        match &mut self.tables[index] {
            Some(open) => Ok(open),
            closed => Ok(closed.insert(self.transaction.open_table(DEFINITIONS[index])?)),
        }
    }

    /// Writes a row.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], row: &[u8]) -> Result<(), Fault> {
        self.table(table)?.insert(key, row)?;
        self.changed = true;
        Ok(())
    }

    /// Removes a row. Whether there was one.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) -> Result<bool, Fault> {
        let removed = self.table(table)?.remove(key)?.is_some();
        self.changed |= removed;
        Ok(removed)
    }

    /// Reads the rows whose keys lie in `range`, the last first, until `each` breaks.
    pub(crate) fn scan_back(
        &mut self,
        table: Table,
        range: Range<&[u8]>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        for row in self.table(table)?.range(range)?.rev() {
            let (key, value) = row?;
            if each(key.value(), value.value())?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Wakes one who waits for the queue, when the transaction is committed.
    pub(crate) fn tell(&mut self, queue: &QueueName) {
        if !self.news.contains(queue) {
            self.news.push(queue.clone());
        }
    }

    /// Whether anything was written, and who is to be woken.
    pub(crate) fn finish(mut self) -> Result<(bool, Vec<QueueName>), Fault> {
        crate::expiring::save_usage(&mut self)?;
        Ok((self.changed, self.news))
    }
}

impl Rows for Change<'_> {
    fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        get(self.table(table)?, key, read)
    }

    fn scan(
        &mut self,
        table: Table,
        range: Range<&[u8]>,
        each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        scan(self.table(table)?, range, each)
    }
}

/// What one transaction reads. A table that was never written is empty.
pub(crate) struct View<'t> {
    transaction: &'t ReadTransaction,
}

impl<'t> View<'t> {
    pub(crate) fn new(transaction: &'t ReadTransaction) -> Self {
        Self { transaction }
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
        self.table(table)?.map_or(Ok(None), |open| get(&open, key, read))
    }

    fn scan(
        &mut self,
        table: Table,
        range: Range<&[u8]>,
        each: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        self.table(table)?.map_or(Ok(()), |open| scan(&open, range, each))
    }
}

/// The first key behind all that begin with `prefix`. The prefix may not end in 0xff.
pub(crate) fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last = last.checked_add(1).expect("invariant: prefixes end in a name, a kind or a zero");
    }
    end
}
