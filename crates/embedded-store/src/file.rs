//! The file of a database: a page that says whose it is, and redb's pages behind it.
//!
//! The first page is read, and found to be ours, before redb sees the file: a foreign file is refused as it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error as IoError, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{DatabaseError, StorageBackend, StorageError};
use store_core::{Error, Op, Result, Role};

/// The version of the tables and rows of both roles.
const LAYOUT: u32 = 1;

/// Where redb's part begins.
const FIRST_PAGE: usize = 4096;

/// The first page: this, the role, the layout (4 bytes, big-endian), whether the file was completely created; then zeros.
const MAGIC: &[u8; 18] = b"twinstore embedded";
const ROLE_AT: usize = MAGIC.len();
const LAYOUT_AT: usize = ROLE_AT + 1;
const CREATED_AT: usize = LAYOUT_AT + 4;

/// Opens or creates the file, and locks it for this process.
pub(crate) fn open(path: &Path, role: Role, cache_bytes: usize) -> Result<redb::Database> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| failed("the file cannot be opened", error))?;
    let lock = lock(&file)?;
    let created = match is_created(&mut file, role)? {
        true => true,
        false => {
            begin(&mut file, role).map_err(|error| failed("the file cannot be written", error))?;
            false
        }
    };
    let mark = file.try_clone().map_err(|error| failed("the file cannot be opened", error))?;
    let backend = FileBackend::new(file).map_err(refused)?;
    let redb = redb::Builder::new()
        .set_cache_size(cache_bytes)
        .create_with_backend(Behind { file: backend, lock })
        .map_err(refused)?;
    if !created {
        finish(mark, path).map_err(|error| failed("the file cannot be written", error))?;
    }
    Ok(redb)
}

/// Locks the file against every other handle, in this process or another.
fn lock(file: &File) -> Result<File> {
    let lock = file.try_clone().map_err(|error| failed("the file cannot be opened", error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(already_open()),
        Err(TryLockError::Error(error)) => Err(failed("the file cannot be locked", error)),
    }
}

/// Whether the file holds a database of this role and layout; `false` when it is empty, or its creation was interrupted.
fn is_created(file: &mut File, role: Role) -> Result<bool> {
    let refuse = |detail: &'static str| Err(Error::corrupt(Op::Connect, detail));
    let len = file.metadata().map_err(|error| failed("the file cannot be read", error))?.len();
    if len == 0 {
        return Ok(false);
    }
    let mut page = [0; FIRST_PAGE];
    match file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut page)) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return refuse("the file is not an embedded store, or was cut off; it was left as it is");
        }
        Err(error) => return Err(failed("the file cannot be read", error)),
        Ok(()) => {}
    }
    if page[..ROLE_AT] != *MAGIC {
        return refuse("the file is not an embedded store; it was left as it is");
    }
    if page[ROLE_AT..CREATED_AT] != first_page(role)[ROLE_AT..CREATED_AT] {
        return refuse("the file was written for the other role, or in another layout; it was left as it is");
    }
    let created = page[CREATED_AT] == 1;
    if created && len == FIRST_PAGE as u64 {
        return refuse("the file was cut off");
    }
    Ok(created)
}

fn first_page(role: Role) -> [u8; FIRST_PAGE] {
    let mut page = [0; FIRST_PAGE];
    page[..ROLE_AT].copy_from_slice(MAGIC);
    page[ROLE_AT] = match role {
        Role::Cache => b'c',
        Role::State => b's',
    };
    page[LAYOUT_AT..CREATED_AT].copy_from_slice(&LAYOUT.to_be_bytes());
    page
}

/// Begins a file, so that an interrupted creation can be told from a foreign file.
fn begin(file: &mut File, role: Role) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&first_page(role))?;
    file.set_len(FIRST_PAGE as u64)?;
    file.sync_all()
}

/// Says that the file was completely created: from now on it can only be opened or refused, not begun again.
fn finish(mut file: File, path: &Path) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(CREATED_AT as u64))?;
    file.write_all(&[1])?;
    file.sync_all()?;
    sync_directory(path)
}

/// Makes the file's name as durable as its content.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => File::open(directory)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn already_open() -> Error {
    Error::unavailable(Op::Connect, "the file is open already; an embedded store is for one process, and opened once")
}

fn failed(detail: &'static str, error: IoError) -> Error {
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
        _ => Error::corrupt(Op::Connect, "the file is damaged or was cut off; restore it from a backup"),
    }
}

/// The file behind its first page, as redb sees it. It holds the lock.
#[derive(Debug)]
struct Behind {
    file: FileBackend,
    lock: File,
}

impl StorageBackend for Behind {
    fn len(&self) -> std::io::Result<u64> {
        Ok(self.file.len()?.saturating_sub(FIRST_PAGE as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.file.read(offset + FIRST_PAGE as u64, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.file.set_len(len + FIRST_PAGE as u64)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.file.write(offset + FIRST_PAGE as u64, data)
    }

    fn close(&self) -> std::io::Result<()> {
        self.lock.unlock()
    }
}
