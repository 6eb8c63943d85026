//! The first page: which store owns the file, whether its creation was completed, and the size of its reserve.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use store_core::{Error, Op, Result, Role};

use super::failed;

/// The version of the tables and rows of both roles. A file of another version is refused and not changed. When it rises, write the
/// next golden files: see `tests/embedded/golden.rs`.
const LAYOUT: u32 = 3;

/// Where redb's part begins.
pub(super) const FIRST_PAGE: usize = 4096;

/// The first page begins, from layout 2 on, with this, then the role, the layout (4 bytes, big-endian), whether the creation was
/// completed, the size of the reserve in bytes (8), a checksum of the bytes before (4); then zeros.
const MAGIC: &[u8; 18] = b"twinstore embedded";
const ROLE_AT: usize = MAGIC.len();
const LAYOUT_AT: usize = ROLE_AT + 1;
const CREATED_AT: usize = LAYOUT_AT + 4;
const RESERVE_AT: usize = CREATED_AT + 1;
const SUM_AT: usize = RESERVE_AT + 8;
const HEAD: usize = SUM_AT + 4;

/// The fields of the first page.
pub(super) struct FirstPage {
    role: Role,
    is_created: bool,
    /// How many bytes at the end of the file are not redb's.
    pub(super) reserve: u64,
}

impl FirstPage {
    /// Reads the page of a file of this role and layout; `None` when the file is empty, or its creation was interrupted.
    pub(super) fn read(file: &mut File, role: Role) -> Result<Option<Self>> {
        let refuse = |detail: &'static str| Err(Error::corrupt(Op::Connect, detail));
        let len = file.metadata().map_err(|error| failed("the file cannot be read", error))?.len();
        if len == 0 {
            return Ok(None);
        }
        let mut page = [0; FIRST_PAGE];
        match file.seek(SeekFrom::Start(0)).and_then(|_| file.read_exact(&mut page)) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return refuse("the file is not an embedded store, or was truncated; it was not changed");
            }
            Err(error) => return Err(failed("the file cannot be read", error)),
            Ok(()) => {}
        }
        if page[..ROLE_AT] != *MAGIC {
            return refuse("the file is not an embedded store; it was not changed");
        }
        let (mut sum, mut reserve, mut layout) = ([0; 4], [0; 8], [0; 4]);
        sum.copy_from_slice(&page[SUM_AT..HEAD]);
        reserve.copy_from_slice(&page[RESERVE_AT..SUM_AT]);
        layout.copy_from_slice(&page[LAYOUT_AT..CREATED_AT]);
        if crc32fast::hash(&page[..SUM_AT]) != u32::from_be_bytes(sum) {
            return refuse("the first page of the file is damaged; restore it from a backup");
        }
        if page[ROLE_AT] != role_byte(role) {
            return refuse(match role {
                Role::Cache => {
                    "the file is that of a worker state store; give the cache store another path; it was not changed"
                }
                Role::State => {
                    "the file is that of a cache store; give the worker state store another path; it was not changed"
                }
            });
        }
        match u32::from_be_bytes(layout) {
            LAYOUT => {}
            other => return Err(other_layout(other)),
        }
        if page[CREATED_AT] != 1 {
            return Ok(None);
        }
        let page = Self { role, is_created: true, reserve: u64::from_be_bytes(reserve) };
        if len <= FIRST_PAGE as u64 + page.reserve {
            return refuse("the file was truncated; restore it from a backup");
        }
        Ok(Some(page))
    }

    /// Begins a file, so that an interrupted creation can be distinguished from a foreign file.
    pub(super) fn begin(file: &mut File, role: Role) -> std::io::Result<Self> {
        let page = Self { role, is_created: false, reserve: 0 };
        let mut bytes = [0; FIRST_PAGE];
        bytes[..HEAD].copy_from_slice(&page.head());
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&bytes)?;
        file.set_len(FIRST_PAGE as u64)?;
        file.sync_all()?;
        Ok(page)
    }

    /// Records that the creation was completed: from now on the file is opened or refused, never begun again.
    pub(super) fn finish(file: &File, role: Role, reserve: u64, path: &Path) -> std::io::Result<()> {
        let head = Self { role, is_created: true, reserve }.head();
        let mut stored = [0; HEAD];
        let mut reader = file;
        reader.seek(SeekFrom::Start(0))?;
        reader.read_exact(&mut stored)?;
        if stored == head {
            return Ok(());
        }
        Self::write_reserve(file, role, reserve)?;
        sync_directory(path)
    }

    /// Writes the size of the reserve, in a file whose creation was completed.
    pub(super) fn write_reserve(file: &File, role: Role, reserve: u64) -> std::io::Result<()> {
        let mut writer = file;
        writer.seek(SeekFrom::Start(0))?;
        writer.write_all(&Self { role, is_created: true, reserve }.head())?;
        file.sync_all()
    }

    fn head(&self) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..ROLE_AT].copy_from_slice(MAGIC);
        head[ROLE_AT] = role_byte(self.role);
        head[LAYOUT_AT..CREATED_AT].copy_from_slice(&LAYOUT.to_be_bytes());
        head[CREATED_AT] = u8::from(self.is_created);
        head[RESERVE_AT..SUM_AT].copy_from_slice(&self.reserve.to_be_bytes());
        let sum = crc32fast::hash(&head[..SUM_AT]);
        head[SUM_AT..].copy_from_slice(&sum.to_be_bytes());
        head
    }
}

fn role_byte(role: Role) -> u8 {
    match role {
        Role::Cache => b'c',
        Role::State => b's',
    }
}

fn other_layout(found: u32) -> Error {
    let remedy = "open it with the version that wrote it, or give another path for a new file";
    let detail =
        format!("the file has layout {found}, and this version reads layout {LAYOUT}; {remedy}; it was not changed");
    Error::unsupported(Op::Connect, detail)
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
