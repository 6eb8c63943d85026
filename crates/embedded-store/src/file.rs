//! The file of a database: a page that names its owner, redb's pages behind it, and a reserve at the end.
//!
//! The first page is read and checked before redb opens the file: a foreign file is refused and left unchanged.
//!
//! **Space.** The file's blocks are allocated when the file grows, so a full disk refuses the growth instead of interrupting
//! a commit. After redb's pages the file keeps a reserve of [`RESERVE`] bytes. When the disk is full, the reserve is
//! released: redb opens the file again and finds more free pages, in which claims, settlements and deletions can commit.
//! When there is room again, the reserve is allocated again. On file systems that cannot allocate blocks (other than
//! Linux's), and on those that copy on write, the reserve is a number of bytes without this guarantee.
//!
//! **Locks.** The file is locked, and so is an empty file next to it, `<name>.lock`. The second lock belongs to the path: if
//! the file is moved away while this process runs, no other process can create a new one in its place.

mod backend;
mod first_page;
mod lock;
mod space;

use std::fs::{File, OpenOptions};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{DatabaseError, StorageError};
use store_core::metric::{EMBEDDED_FSYNC_SECONDS, Histogram};
use store_core::{Error, Op, Result, Role};

use backend::Behind;
use first_page::FirstPage;
use lock::PathLock;
pub(crate) use space::RESERVE;
use space::is_out_of_space;

/// The file of one store, locked for this process.
#[derive(Debug)]
pub(crate) struct StoreFile {
    path: PathBuf,
    file: File,
    role: Role,
    /// How many bytes follow redb's pages; the first page has the same number.
    reserve: AtomicU64,
    /// Whether redb has written its header since [`StoreFile::begin`]. Only the header makes a commit visible.
    header_written: AtomicBool,
    failure: Mutex<Option<IoFailure>>,
    path_lock: PathLock,
    /// How long each fsync took.
    fsync_seconds: Histogram,
}

/// The first I/O operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IoFailure {
    /// There was no room.
    pub(crate) is_out_of_space: bool,
    /// Whether the header of the commit under way may have been written before.
    pub(crate) header_written: bool,
    /// By how many bytes the file could not grow.
    growth: u64,
}

impl StoreFile {
    /// Opens or creates the file, and locks it for this process.
    pub(crate) fn open(path: &Path, role: Role) -> Result<Arc<Self>> {
        let path = lock::canonical(path).map_err(|error| failed("the file cannot be opened", error))?;
        let path_lock = PathLock::take(&path)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed("the file cannot be opened", error))?;
        lock::take(&file)?;
        let page = match FirstPage::read(&mut file, role)? {
            Some(page) => page,
            None => FirstPage::begin(&mut file, role).map_err(|error| failed("the file cannot be written", error))?,
        };
        Ok(Arc::new(Self {
            path,
            file,
            role,
            reserve: AtomicU64::new(page.reserve),
            header_written: AtomicBool::new(false),
            failure: Mutex::new(None),
            path_lock,
            fsync_seconds: EMBEDDED_FSYNC_SECONDS.histogram(&[role.name()]),
        }))
    }

    /// The service that owns the file.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Opens redb's part, and completes the creation of the file.
    pub(crate) fn redb(self: &Arc<Self>, cache_bytes: usize) -> Result<redb::Database> {
        match self.open_redb(cache_bytes) {
            Err(_) if self.take_failure().is_some_and(|failure| failure.is_out_of_space) && self.reserve() > 0 => {
                self.release_reserve().map_err(|error| failed("the file cannot be written", error))?;
                self.open_redb(cache_bytes)
            }
            opened => opened,
        }
    }

    fn open_redb(self: &Arc<Self>, cache_bytes: usize) -> Result<redb::Database> {
        let behind = Behind::new(self.clone()).map_err(refused)?;
        let create = || redb::Builder::new().set_cache_size(cache_bytes).create_with_backend(behind);
        // Pages are checked only in part when they are read: redb can panic over damaged ones.
        let redb = std::panic::catch_unwind(std::panic::AssertUnwindSafe(create)).map_err(|_| damaged())?;
        let redb = redb.map_err(refused)?;
        FirstPage::finish(&self.file, self.role, self.reserve(), &self.path)
            .map_err(|error| failed("the file cannot be written", error))?;
        Ok(redb)
    }

    /// Begins a transaction: later failures belong to it.
    pub(crate) fn begin(&self) {
        self.header_written.store(false, Ordering::SeqCst);
        self.take_failure();
    }

    /// What failed since the transaction began.
    pub(crate) fn take_failure(&self) -> Option<IoFailure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The same, without clearing it.
    pub(crate) fn failure(&self) -> Option<IoFailure> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note<T>(&self, result: std::io::Result<T>, growth: u64) -> std::io::Result<T> {
        if let Err(error) = &result {
            let header_written = self.header_written.load(Ordering::SeqCst);
            let failure = IoFailure { is_out_of_space: is_out_of_space(error), header_written, growth };
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        }
        result
    }

    /// Refuses if the path no longer leads to the open file: what is written to that file would be lost.
    pub(crate) fn check_in_place(&self) -> std::result::Result<(), &'static str> {
        match lock::is_same(&self.path, &self.file) {
            true => Ok(()),
            false => Err("the file was moved or deleted while it was open; put it back, or start the service again"),
        }
    }

    /// Releases the locks. Nothing is written afterwards.
    pub(crate) fn unlock(&self) {
        // Both end with the process at the latest.
        let _ = self.file.unlock();
        self.path_lock.release();
    }
}

fn already_open() -> Error {
    Error::unavailable(Op::Connect, "the file is already open; only one process can use it, and opens it once")
}

fn damaged() -> Error {
    Error::corrupt(Op::Connect, "the file is damaged or was truncated; restore it from a backup")
}

fn failed(detail: &'static str, error: IoError) -> Error {
    if is_out_of_space(&error) {
        return Error::limit(Op::Connect, "the disk is full: the file cannot be written");
    }
    Error::unavailable(Op::Connect, detail).caused_by(error)
}

fn refused(error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => already_open(),
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            failed("the file cannot be read", error)
        }
        DatabaseError::UpgradeRequired(_) => {
            Error::corrupt(Op::Connect, "the file was written by another version of redb")
        }
        _ => damaged(),
    }
}
