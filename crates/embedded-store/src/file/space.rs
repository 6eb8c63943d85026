//! The file's space: blocks are allocated when the file grows, and a reserve is kept for a full disk.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::sync::atomic::Ordering;

use super::first_page::{FIRST_PAGE, FirstPage};
use super::{IoFailure, StoreFile};

/// How many bytes of each file are kept in reserve for a full disk.
pub(crate) const RESERVE: u64 = 1 << 20;

/// Whether the disk, a quota or the process's limit has no room left.
pub(crate) fn is_out_of_space(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

impl StoreFile {
    /// How many bytes follow redb's pages.
    pub(super) fn reserve(&self) -> u64 {
        self.reserve.load(Ordering::SeqCst)
    }

    /// Whether there is no reserve: then operations that add are refused.
    pub(crate) fn is_full(&self) -> bool {
        self.reserve() == 0
    }

    /// How many bytes redb's pages have, free or in use.
    pub(crate) fn len_of_pages(&self) -> Result<u64> {
        Ok(self.file.metadata()?.len().saturating_sub(FIRST_PAGE as u64 + self.reserve()))
    }

    /// Sets the length of the file and allocates all its blocks.
    pub(super) fn resize(&self, len: u64) -> Result<()> {
        let current = self.file.metadata()?.len();
        match len.checked_sub(current) {
            Some(growth) if growth > 0 => self.note(allocate(&self.file, current, growth), growth),
            _ => self.note(self.file.set_len(len), 0),
        }
    }

    /// Allocates the reserve if the file has none. Returns whether it has one now.
    pub(crate) fn make_reserve(&self) -> Result<bool> {
        if self.is_full() {
            match allocate(&self.file, self.file.metadata()?.len(), RESERVE) {
                // The file grows before the page records it: a crash in between leaves redb more pages, never fewer.
                Ok(()) => self.write_reserve(RESERVE)?,
                Err(error) if is_out_of_space(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Makes room after the file could not grow as far as redb wanted, while redb is closed: allocates a part of that, or
    /// releases the reserve if there is no room at all. redb finds the pages when it opens the file again.
    pub(crate) fn make_room(&self, failure: IoFailure) -> Result<()> {
        let mut growth = failure.growth / 2 / RESERVE * RESERVE;
        while growth >= RESERVE {
            match allocate(&self.file, self.file.metadata()?.len(), growth) {
                Ok(()) => return self.file.sync_all(),
                Err(error) if is_out_of_space(&error) => growth = growth / 2 / RESERVE * RESERVE,
                Err(error) => return Err(error),
            }
        }
        self.release_reserve()
    }

    /// Leaves the reserve to redb.
    pub(super) fn release_reserve(&self) -> Result<()> {
        if self.is_full() { Ok(()) } else { self.write_reserve(0) }
    }

    fn write_reserve(&self, reserve: u64) -> Result<()> {
        self.file.sync_all()?;
        FirstPage::write_reserve(&self.file, self.role, reserve)?;
        self.reserve.store(reserve, Ordering::SeqCst);
        Ok(())
    }
}

/// Extends the file and allocates all its blocks; if there is no room for all, the file is not changed.
fn allocate(file: &File, len: u64, growth: u64) -> Result<()> {
    let allocated = allocate_blocks(file, len, growth);
    if allocated.is_err() {
        file.set_len(len)?;
    }
    allocated
}

#[cfg(target_os = "linux")]
fn allocate_blocks(file: &File, len: u64, growth: u64) -> Result<()> {
    use rustix::io::Errno;
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), len, growth) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(len + growth),
        allocated => allocated.map_err(Error::from),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate_blocks(file: &File, len: u64, growth: u64) -> Result<()> {
    file.set_len(len + growth)
}
