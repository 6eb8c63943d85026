//! Golden files: a store of each role that a version of the library has written, with rows of every kind.
//!
//! A golden file is text: the size of the file in bytes, then lines of [`LINE`] bytes: where they are, how often they follow each other,
//! and the bytes, without zeros at the end. Lines of zeros are left out. It has redb's pages too, so a version of redb that cannot read
//! them is noticed.
//!
//! **A new layout.** This version reads the layout `LAYOUT` of `src/file/first_page.rs` alone: a file of another one is refused and
//! not changed, and nothing migrates it. If rows change, increase `LAYOUT`, extend [`state::write`] and [`state::read`] (or those of
//! `cache`), and write the next golden files:
//!
//! ```text
//! cargo test -p embedded-store --test embedded -- --ignored golden
//! ```
//!
//! Do not delete the old ones: [`each_golden_file_is_read_or_refused`] then expects that they are refused.

mod cache;
mod state;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use embedded_store::{CacheOptions, EmbeddedCache, EmbeddedState, StateOptions};
use redb::{ReadableDatabase, ReadableTable, ReadableTableMetadata, TableHandle};
use store_core::{Clock, Error, Ttl};

use crate::{manual_clock, service};

const ROLES: [&str; 2] = ["state", "cache"];

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Ttl = Ttl::from_secs(3600);

/// The bytes of a line.
const LINE: usize = 48;

/// A golden file has no more bytes than this.
const MOST_BYTES: usize = 64 << 10;

/// Where the layout is in the first page, where redb's part begins, and how long it is (`src/file/first_page.rs`).
const LAYOUT: std::ops::Range<usize> = 19..23;
const RESERVE: std::ops::Range<usize> = 24..32;
const FIRST_PAGE: usize = 4096;

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/embedded/golden")
}

fn encoded(file: &[u8]) -> String {
    let mut text = format!("# See tests/embedded/golden.rs\n{}\n", file.len());
    let lines: Vec<_> = file.chunks(LINE).enumerate().collect();
    for equal in lines.chunk_by(|one, next| one.1 == next.1) {
        let (index, line) = equal[0];
        let Some(end) = line.iter().rposition(|byte| *byte != 0) else { continue };
        let _ = write!(text, "{:06x} {} ", index * LINE, equal.len());
        for byte in &line[..=end] {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn decoded(text: &str) -> Vec<u8> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut file = vec![0; lines.next().unwrap().parse().unwrap()];
    for line in lines {
        let [at, times, digits] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (at, times) = (usize::from_str_radix(at, 16).unwrap(), times.parse::<usize>().unwrap());
        let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.as_bytes().chunks(2).map(byte).collect();
        for begin in (0..times).map(|time| at + time * LINE) {
            file[begin..begin + bytes.len()].copy_from_slice(&bytes);
        }
    }
    file
}

/// The stores of one role.
#[derive(Debug)]
enum Store {
    State(EmbeddedState),
    Cache(EmbeddedCache),
}

impl Store {
    fn open(role: &str, file: &Path, clock: Clock) -> Result<Self, Error> {
        match role {
            "state" => EmbeddedState::open(file, service("orders"), StateOptions::default().with_clock(clock))
                .map(Store::State),
            _ => EmbeddedCache::open(file, service("orders"), CacheOptions::default().with_clock(clock))
                .map(Store::Cache),
        }
    }

    /// Closes the file.
    async fn close(self) {
        match self {
            Store::State(store) => store.close().await,
            Store::Cache(store) => store.close().await,
        }
    }
}

/// A file that this version writes, with rows of every kind.
async fn written(role: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.redb");
    let (clock, options) = manual_clock();
    let store = Store::open(role, &file, options).unwrap();
    match &store {
        Store::State(store) => state::write(store, &clock).await,
        Store::Cache(store) => cache::write(store).await,
    }
    store.close().await;
    fs::read(&file).unwrap()
}

/// The golden files: role, layout, and the whole file.
fn golden() -> Vec<(&'static str, usize, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((role, layout)) = name.strip_suffix(".txt").and_then(|name| name.split_once('.')) else { continue };
        let role = *ROLES.iter().find(|known| **known == role).unwrap();
        let text = fs::read_to_string(folder().join(&name)).unwrap();
        assert!(text.len() <= MOST_BYTES, "{name} has {} bytes", text.len());
        found.push((role, layout.parse().unwrap(), decoded(&text)));
    }
    found
}

/// Writes the golden files of the present layout.
#[tokio::test]
#[ignore = "changes the golden files: run it when the layout has changed"]
async fn golden_files_are_written() {
    for role in ROLES {
        let file = written(role).await;
        let layout = number(&file[LAYOUT]);
        fs::write(folder().join(format!("{role}.{layout}.txt")), encoded(&file)).unwrap();
    }
}

/// Those of the present layout are read, all others are refused.
#[tokio::test]
async fn each_golden_file_is_read_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store.redb");
    let mut read = BTreeSet::new();
    for (role, layout, bytes) in golden() {
        assert_eq!(number(&bytes[LAYOUT]), layout);
        let present = number(&written(role).await[LAYOUT]);
        fs::write(&file, &bytes).unwrap();
        let (clock, options) = manual_clock();
        clock.advance(MINUTE);
        match Store::open(role, &file, options) {
            Ok(store) => {
                assert_eq!(layout, present, "a golden file of another layout is read");
                match &store {
                    Store::State(store) => state::read(store, &clock).await,
                    Store::Cache(store) => cache::read(store).await,
                }
                store.close().await;
                read.insert(role);
            }
            Err(error) => {
                let texts = [format!("layout {layout}"), format!("reads layout {present}")];
                assert!(texts.iter().all(|text| error.to_string().contains(text)), "{role}.{layout}: {error}");
                assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
                assert_ne!(layout, present, "{error}");
                assert!(fs::read(&file).unwrap() == bytes, "the refused file was changed");
            }
        }
    }
    assert_eq!(read, BTreeSet::from(ROLES), "write the golden files of the present layout");
}

/// The rows of each table, which are read without the library.
fn tables(file: &[u8]) -> Vec<(String, Vec<Vec<u8>>)> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("part.redb");
    fs::write(&path, &file[FIRST_PAGE..file.len() - number(&file[RESERVE])]).unwrap();
    let database = redb::Database::open(&path).unwrap();
    let reading = database.begin_read().unwrap();
    let names: Vec<_> = reading.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    let rows = |name: String| {
        let table = reading.open_table(redb::TableDefinition::<&[u8], &[u8]>::new(&name)).unwrap();
        assert!(!table.is_empty().unwrap(), "the table {name} has no row");
        let keys = table.iter().unwrap().map(|row| row.unwrap().0.value().to_vec()).collect();
        (name, keys)
    };
    names.into_iter().map(rows).collect()
}

/// A table that is new, and a kind of row that is new, is written.
#[test]
fn golden_files_have_rows_of_every_kind() {
    let (mut names, mut places, mut entries) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (role, _, file) in golden() {
        for (name, keys) in tables(&file) {
            match (role, &*name) {
                // Behind the number of the queue.
                ("state", "places") => places.extend(keys.iter().map(|key| key[4])),
                ("state", "entries") => entries.extend(keys.iter().map(|key| char::from(key[0]))),
                _ => {}
            }
            names.insert(name);
        }
    }
    let source = fs::read_to_string(folder().join("../../../src/rows/file.rs")).unwrap();
    let defined: BTreeSet<_> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Definition::new(\"")?.strip_suffix("\"),").map(str::to_owned))
        .collect();
    assert_eq!(names, defined);
    assert_eq!(places, (0..9).collect());
    assert_eq!(entries.into_iter().collect::<String>(), "ilot", "idempotent requests, leases, retries, resume tokens");
}
