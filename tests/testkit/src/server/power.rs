//! Power cuts, imitated: what was not synced to the disk is gone.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use super::{RedisServer, StartError};

/// What is preloaded into the server.
const SOURCE: &str = include_str!("fsync_log.c");
const LOG: &str = "fsync.log";
const FAILS: &str = "fsync.fails";

impl RedisServer {
    /// Kills the server, and cuts every file in its directory to the size that it had at its last fsync: what a machine
    /// that loses its power may leave at worst. Names of files are taken to be on disk.
    ///
    /// # Errors
    /// When the files cannot be read or cut.
    ///
    /// # Panics
    /// When no fsync was recorded: the server was not built with
    /// [`records_fsyncs`](crate::RedisServerBuilder::records_fsyncs), or is linked statically.
    pub async fn cut_power(&self) -> io::Result<()> {
        self.kill().await;
        // a server makes its append-only file durable when it starts, so there is a log unless nothing was recorded
        let log = fs::read_to_string(self.dir().join(LOG)).expect("no fsync was recorded");
        cut(self.dir(), &sizes(&log))
    }

    /// From now on every fsync of the server fails with an input/output error, or none.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn fail_fsyncs(&self, fail: bool) -> io::Result<()> {
        let sign = self.dir().join(FAILS);
        if fail { File::create(sign).map(drop) } else { fs::remove_file(sign) }
    }
}

/// Builds the library and says which variables preload it.
pub(super) fn variables(directory: &Path) -> Result<Vec<(&'static str, PathBuf)>, StartError> {
    let (source, library) = (directory.join("fsync_log.c"), directory.join("fsync_log.so"));
    if !library.is_file() {
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let output = compiler.output().map_err(|error| StartError::Compiler(error.to_string()))?;
        if !output.status.success() {
            return Err(StartError::Compiler(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
    }
    Ok(vec![("LD_PRELOAD", library), ("FSYNC_LOG", directory.join(LOG)), ("FSYNC_FAILS", directory.join(FAILS))])
}

/// By inode and time of birth, since files are renamed: the last size that was synced.
fn sizes(log: &str) -> HashMap<(u64, u64), u64> {
    let line = |line: &str| {
        let mut numbers = line.split(' ').map_while(|number| number.parse().ok());
        Some(((numbers.next()?, numbers.next()?), numbers.next()?))
    };
    log.lines().filter_map(line).collect()
}

fn cut(directory: &Path, synced: &HashMap<(u64, u64), u64>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            cut(&path, synced)?;
        } else if is_of_the_server(&path) {
            let about = fs::metadata(&path)?;
            let born = about.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0);
            let size = synced.get(&(about.ino(), born)).copied().unwrap_or(0);
            if about.len() > size {
                File::options().write(true).open(&path)?.set_len(size)?;
            }
        }
    }
    Ok(())
}

/// The append-only files, their manifest, and snapshots; not what the kit itself has put there.
fn is_of_the_server(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["aof", "rdb", "manifest"].iter().any(|known| extension == *known))
}
