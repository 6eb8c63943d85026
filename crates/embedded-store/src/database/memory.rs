//! A database in memory. A call is executed by its caller under a lock, which is held for microseconds and never over an
//! await.

use std::sync::{PoisonError, RwLock};

use store_core::{Error, Op, Result};

use super::CLOSED;
use super::shared::Shared;
use crate::fault::Fault;
use crate::rows::{Change, Tables, View};

/// The tables; absent when the store is closed. After a panic of a caller's own code, its writes have been taken back.
pub(super) struct Memory(RwLock<Option<Tables>>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(RwLock::new(Some(Tables::default())))
    }

    pub(super) fn write<T>(
        &self,
        shared: &Shared,
        op: Op,
        apply: impl FnOnce(&mut Change<'_>) -> Result<T, Fault>,
    ) -> Result<T> {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = tables.as_mut() else { return Err(Error::unavailable(op, CLOSED)) };
        let mut change = Change::in_memory(open, shared.effects());
        let answer = apply(&mut change).map_err(|fault| fault.into_error(op))?;
        if change.is_undone() {
            return Ok(answer);
        }
        let written = change.finish().map_err(|fault| fault.into_error(op))?;
        if written.is_changed {
            shared.count(&written);
        }
        // Before the next call begins: it may be that of a waiter that was dropped.
        written.effects.commit();
        Ok(answer)
    }

    pub(super) fn read<T>(&self, op: Op, look: impl FnOnce(&mut View<'_>) -> Result<T, Fault>) -> Result<T> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = tables.as_ref() else { return Err(Error::unavailable(op, CLOSED)) };
        look(&mut View::of_memory(open)).map_err(|fault| fault.into_error(op))
    }

    /// Checks that the store is not closed.
    pub(super) fn check(&self) -> Result<()> {
        match self.0.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            true => Ok(()),
            false => Err(Error::unavailable(Op::Ping, CLOSED)),
        }
    }

    /// Deletes everything. Later calls are refused.
    pub(super) fn close(&self) {
        drop(self.0.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use store_core::Role;

    use super::*;
    use crate::rows::{Rows, Table};

    const ROWS: [&[u8]; 3] = [b"added", b"changed", b"removed"];

    fn rows(memory: &Memory) -> Vec<Option<Vec<u8>>> {
        let read = |view: &mut View<'_>| {
            ROWS.iter().map(|key| view.get(Table::Jobs, key, |row| Ok(row.to_vec()))).collect::<Result<_, Fault>>()
        };
        memory.read(Op::QueueGet, read).unwrap()
    }

    /// Changes each row, two of them twice.
    fn change(change: &mut Change<'_>) -> Result<(), Fault> {
        for value in [b"once", b"more"] {
            change.put(Table::Jobs, ROWS[0], value.to_vec())?;
            change.put(Table::Jobs, ROWS[1], value.to_vec())?;
        }
        change.remove(Table::Jobs, ROWS[2])?;
        Ok(())
    }

    #[test]
    fn a_call_that_fails_or_panics_changes_nothing() {
        let (memory, shared) = (Memory::new(), Shared::new(Role::State));
        let begin = |change: &mut Change<'_>| {
            change.put(Table::Jobs, ROWS[1], b"first".to_vec())?;
            change.put(Table::Jobs, ROWS[2], b"first".to_vec())
        };
        memory.write(&shared, Op::QueuePush, begin).unwrap();
        let before = rows(&memory);
        assert_eq!(before, [None, Some(b"first".to_vec()), Some(b"first".to_vec())]);

        let fail = |open: &mut Change<'_>| change(open).and(Err::<(), _>(Fault::Corrupt("a row is too short")));
        assert!(matches!(memory.write(&shared, Op::QueuePush, fail), Err(Error::Corrupt { .. })));
        assert_eq!(rows(&memory), before);

        let panic = |open: &mut Change<'_>| change(open).map(|()| panic!("a clock of the test's"));
        let panicked = catch_unwind(AssertUnwindSafe(|| memory.write::<()>(&shared, Op::QueuePush, panic)));
        assert!(panicked.is_err());
        assert_eq!(rows(&memory), before);

        memory.write(&shared, Op::QueuePush, change).unwrap();
        assert_eq!(rows(&memory), [Some(b"more".to_vec()), Some(b"more".to_vec()), None]);
    }
}
