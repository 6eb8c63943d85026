//! The locks of a file: one on itself, and one on its path.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use store_core::Result;

use super::{already_open, failed};

/// The lock of a path: an empty file next to it, which is never removed.
#[derive(Debug)]
pub(super) struct PathLock(File);

impl PathLock {
    pub(super) fn take(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(beside(path))
            .map_err(|error| failed("the lock file beside the file cannot be opened", error))?;
        take(&file)?;
        Ok(Self(file))
    }

    pub(super) fn release(&self) {
        let _ = self.0.unlock();
    }
}

/// Locks a file against every other handle, in this process or another.
pub(super) fn take(file: &File) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(already_open()),
        Err(TryLockError::Error(error)) => Err(failed("the file cannot be locked", error)),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".lock");
    path.with_file_name(name)
}

/// The path without links, so that all paths to one file have one lock.
pub(super) fn canonical(path: &Path) -> std::io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            let directory = directory.unwrap_or(Path::new(".")).canonicalize()?;
            Ok(directory.join(path.file_name().ok_or(error)?))
        }
        found => found,
    }
}

/// Whether the path leads to this open file.
#[cfg(unix)]
pub(super) fn is_same(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(there), Ok(here)) = (std::fs::metadata(path), file.metadata()) else { return false };
    there.dev() == here.dev() && there.ino() == here.ino()
}

/// Whether the path leads to this open file. One that exists does: other systems do not let an open file be moved.
#[cfg(not(unix))]
pub(super) fn is_same(path: &Path, _: &File) -> bool {
    path.exists()
}
