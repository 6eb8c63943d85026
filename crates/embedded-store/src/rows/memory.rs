//! Tables in memory: ordered maps. A change writes into them at once, and takes its writes back unless it is committed.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};
use std::ops::Range;

use super::{Each, TABLES, Table};
use crate::fault::Fault;

type Row = Box<[u8]>;

/// The tables of a store in memory.
#[derive(Default)]
pub(crate) struct Tables([BTreeMap<Row, Row>; TABLES]);

impl Tables {
    pub(super) fn get<T>(
        &self,
        table: Table,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.0[table as usize].get(key).map(|row| read(row)).transpose()
    }

    pub(super) fn scan(&self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault> {
        visit(self.rows(table, range), each)
    }

    fn rows(&self, table: Table, range: Range<&[u8]>) -> std::collections::btree_map::Range<'_, Row, Row> {
        self.0[table as usize].range::<[u8], _>((Included(range.start), Excluded(range.end)))
    }
}

fn visit<'r>(rows: impl Iterator<Item = (&'r Row, &'r Row)>, mut each: impl Each) -> Result<(), Fault> {
    for (key, row) in rows {
        if each(key, Ok(row))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The tables while they are changed.
pub(super) struct MemoryChange<'t> {
    tables: &'t mut Tables,
    /// The rows that the written ones replaced, in the order of the writes.
    before: Vec<(Table, Row, Option<Row>)>,
}

impl<'t> MemoryChange<'t> {
    pub(super) fn new(tables: &'t mut Tables) -> Self {
        Self { tables, before: Vec::new() }
    }

    pub(super) fn tables(&self) -> &Tables {
        self.tables
    }

    /// Reads the rows of `range`, the last first.
    pub(super) fn scan_back(&self, table: Table, range: Range<&[u8]>, each: impl Each) -> Result<(), Fault> {
        visit(self.tables.rows(table, range).rev(), each)
    }

    /// Writes a row. Returns how many bytes it has.
    pub(super) fn put(&mut self, table: Table, key: &[u8], row: Vec<u8>) -> usize {
        let len = row.len();
        let before = self.tables.0[table as usize].insert(key.into(), row.into());
        self.before.push((table, key.into(), before));
        len
    }

    /// Removes a row. Returns how many bytes it had.
    pub(super) fn remove(&mut self, table: Table, key: &[u8]) -> Option<usize> {
        let (key, row) = self.tables.0[table as usize].remove_entry(key)?;
        let len = row.len();
        self.before.push((table, key, Some(row)));
        Some(len)
    }

    /// Keeps the writes.
    pub(super) fn commit(mut self) {
        self.before.clear();
    }
}

impl Drop for MemoryChange<'_> {
    fn drop(&mut self) {
        for (table, key, before) in self.before.drain(..).rev() {
            let rows = &mut self.tables.0[table as usize];
            match before {
                Some(row) => drop(rows.insert(key, row)),
                None => drop(rows.remove(&key)),
            }
        }
    }
}
