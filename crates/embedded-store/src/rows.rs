//! Tables of bytes, for transactions that write and for those that read.
//!
//! A store in a file has redb's tables ([`file`]), one in memory has ordered maps ([`memory`]).

mod file;
mod memory;

use std::ops::{ControlFlow, Range};

use redb::{ReadTransaction, WriteTransaction};

use crate::expiring::Usage;
use crate::fault::Fault;
use crate::waiting::Effects;
pub(crate) use file::count;
use file::{FileChange, FileView};
use memory::MemoryChange;
pub(crate) use memory::Tables;

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
    /// Run, kind of row, step -> the head of the run, its steps, their order and outputs.
    Steps,
    /// End of a run, run -> nothing.
    StepEnds,
    /// Run of an agent, kind of row, number of an event -> its head, its payloads, its events.
    Runs,
    /// Kind of entry, listing, time of creation, the latest first -> run; kind of entry, end of a run, run -> nothing.
    RunLists,
    /// Queue, kind of row, name -> a schedule; queue, kind of row, next time, name -> nothing.
    Schedules,
    /// Topic, kind of row, partition -> configurations, heads, groups and events.
    Topics,
    /// End of a partition of a topic, partition -> nothing.
    TopicEnds,
    /// As [`Table::Runs`], the records of sessions.
    Sessions,
    /// As [`Table::RunLists`], of sessions.
    SessionLists,
}

/// How many tables there are.
const TABLES: usize = 19;

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

/// The writes of one transaction.
pub(crate) struct Change<'t> {
    rows: Writing<'t>,
    is_full: bool,
    is_changed: bool,
    is_undone: bool,
    /// How many rows were written or removed.
    changed_rows: u64,
    /// How many bytes the written rows have, with their keys.
    written_bytes: u64,
    /// What changes beside the rows.
    pub(crate) effects: Effects,
    /// How many bytes of rows were removed, beyond those that were added.
    freed: i64,
    /// Sums over the entries, once they were read; see [`crate::expiring`].
    pub(crate) usage: Option<Usage>,
}

enum Writing<'t> {
    File(Box<FileChange<'t>>),
    Memory(MemoryChange<'t>),
}

impl<'t> Change<'t> {
    /// Writes to a file, in a transaction that the caller commits.
    pub(crate) fn to_file(transaction: &'t WriteTransaction, is_full: bool, effects: Effects) -> Self {
        Self::new(Writing::File(Box::new(FileChange::new(transaction))), is_full, effects)
    }

    /// Writes to tables in memory. [`Change::finish`] commits; otherwise nothing is changed.
    pub(crate) fn in_memory(tables: &'t mut Tables, effects: Effects) -> Self {
        Self::new(Writing::Memory(MemoryChange::new(tables)), false, effects)
    }

    fn new(rows: Writing<'t>, is_full: bool, effects: Effects) -> Self {
        Self {
            rows,
            is_full,
            is_changed: false,
            is_undone: false,
            changed_rows: 0,
            written_bytes: 0,
            effects,
            freed: 0,
            usage: None,
        }
    }

    /// Takes back what this operation writes. It keeps its answer.
    pub(crate) fn undo(&mut self) {
        self.is_undone = true;
    }

    /// Whether the writes have to be rolled back.
    pub(crate) fn is_undone(&self) -> bool {
        self.is_undone
    }

    /// Whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Writes a row.
    pub(crate) fn put(&mut self, table: Table, key: &[u8], row: Vec<u8>) -> Result<(), Fault> {
        let len = match &mut self.rows {
            Writing::File(rows) => rows.put(table, key, row)?,
            Writing::Memory(rows) => rows.put(table, key, row),
        };
        self.freed -= bytes(key, len);
        self.changed_rows += 1;
        self.written_bytes += (key.len() + len) as u64;
        self.is_changed = true;
        Ok(())
    }

    /// Removes a row, damaged or not. Returns whether there was one.
    pub(crate) fn remove(&mut self, table: Table, key: &[u8]) -> Result<bool, Fault> {
        let removed = match &mut self.rows {
            Writing::File(rows) => rows.remove(table, key)?,
            Writing::Memory(rows) => rows.remove(table, key),
        };
        self.freed += removed.map_or(0, |len| bytes(key, len));
        self.is_changed |= removed.is_some();
        self.changed_rows += u64::from(removed.is_some());
        Ok(removed.is_some())
    }

    /// Reads the rows whose keys lie in `range`, the last first, until `each` breaks.
    pub(crate) fn scan_back(&mut self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault> {
        if range.start >= range.end {
            return Ok(());
        }
        match &mut self.rows {
            Writing::File(rows) => rows.scan_back(table, range, each),
            Writing::Memory(rows) => rows.scan_back(table, range, each),
        }
    }

    /// Writes the rows that were kept until the end of the transaction. In memory this commits.
    pub(crate) fn finish(mut self) -> Result<Written, Fault> {
        crate::expiring::save_usage(&mut self)?;
        if let Writing::Memory(rows) = self.rows {
            rows.commit();
        }
        Ok(Written {
            is_changed: self.is_changed,
            effects: self.effects,
            freed: self.freed,
            rows: self.changed_rows,
            bytes: self.written_bytes,
        })
    }
}

/// What a transaction has written.
pub(crate) struct Written {
    pub(crate) is_changed: bool,
    /// To be committed with it.
    pub(crate) effects: Effects,
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
        match &mut self.rows {
            Writing::File(rows) => rows.get(table, key, read),
            Writing::Memory(rows) => rows.tables().get(table, key, read),
        }
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault> {
        if range.start >= range.end {
            return Ok(());
        }
        match &mut self.rows {
            Writing::File(rows) => rows.scan(table, range, each),
            Writing::Memory(rows) => rows.tables().scan(table, range, each),
        }
    }
}

/// The reads of one transaction.
pub(crate) enum View<'t> {
    File(FileView<'t>),
    Memory(&'t Tables),
}

impl<'t> View<'t> {
    /// Reads a snapshot of a file.
    pub(crate) fn of_file(transaction: &'t ReadTransaction) -> Self {
        View::File(FileView(transaction))
    }

    /// Reads tables in memory.
    pub(crate) fn of_memory(tables: &'t Tables) -> Self {
        View::Memory(tables)
    }
}

impl Rows for View<'_> {
    fn get<T>(
        &mut self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        match self {
            View::File(rows) => rows.get(table, key, read),
            View::Memory(rows) => rows.get(table, key, read),
        }
    }

    fn scan(&mut self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault> {
        if range.start >= range.end {
            return Ok(());
        }
        match self {
            View::File(rows) => rows.scan(table, range, each),
            View::Memory(rows) => rows.scan(table, range, each),
        }
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
