//! The part of the file that redb uses: between the first page and the reserve.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use redb::backends::FileBackend;
use redb::{DatabaseError, StorageBackend, StorageError};

use super::StoreFile;
use super::first_page::FIRST_PAGE;

/// The file between its first page and its reserve. [`StoreFile`] holds the locks.
#[derive(Debug)]
pub(super) struct Behind {
    backend: FileBackend,
    file: Arc<StoreFile>,
}

impl Behind {
    pub(super) fn new(file: Arc<StoreFile>) -> Result<Self, DatabaseError> {
        let clone = file.file.try_clone().map_err(StorageError::Io)?;
        Ok(Self { backend: FileBackend::new(clone)?, file })
    }
}

impl StorageBackend for Behind {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.backend.len()?.saturating_sub(FIRST_PAGE as u64 + self.file.reserve()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.backend.read(offset + FIRST_PAGE as u64, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.resize(FIRST_PAGE as u64 + len + self.file.reserve())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        let started = Instant::now();
        let synced = self.backend.sync_data();
        self.file.fsync_seconds.record(started.elapsed());
        self.file.note(synced, 0)
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        if offset == 0 {
            self.file.header_written.store(true, Ordering::SeqCst);
        }
        self.file.note(self.backend.write(offset + FIRST_PAGE as u64, data), 0)
    }
}
