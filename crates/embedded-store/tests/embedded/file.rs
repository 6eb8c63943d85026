//! Which files are opened, and which are refused and not changed.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use embedded_store::{CacheOptions, EmbeddedCache, EmbeddedState, StateOptions};
use store_core::{Durability, Error, KeyValueExt, NewJob, Op, Queue, QueueExt, QueueInspect, Ttl};

use crate::{claim, key, queue, service};

fn open(file: &Path) -> Result<EmbeddedState, Error> {
    EmbeddedState::open(file, service("orders"), StateOptions::default())
}

async fn write_a_file(file: &Path, jobs: usize) {
    let store = open(file).unwrap();
    let jobs: Vec<_> = (0..jobs).map(|_| NewJob::new(vec![7; 500])).collect();
    let _ = store.push(&queue("mail"), &jobs, Durability::Accepted).await.unwrap();
}

fn assert_corrupt(result: Result<EmbeddedState, Error>, what: &str) {
    match result {
        Err(Error::Corrupt { op: Op::Connect, .. }) => {}
        other => panic!("{what}: {other:?}"),
    }
}

#[tokio::test]
async fn a_second_open_reports_that_the_file_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    let first = open(&file).unwrap();
    let error = open(&file).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("already open"), "{error}");
    first.push_one(&queue("mail"), NewJob::new("a")).await.unwrap();
    drop(first);
    assert_eq!(open(&file).unwrap().counts(&queue("mail")).await.unwrap().ready, 1);
}

#[tokio::test]
async fn a_foreign_file_is_refused_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let another_redb = directory.path().join("another.redb");
    drop(redb::Database::create(&another_redb).unwrap());
    let text = directory.path().join("notes.txt");
    fs::write(&text, "dear diary").unwrap();
    let zeros = directory.path().join("zeros");
    fs::write(&zeros, vec![0; 100_000]).unwrap();

    for file in [another_redb, text, zeros] {
        let before = fs::read(&file).unwrap();
        assert_corrupt(open(&file), &format!("{file:?}"));
        assert!(fs::read(&file).unwrap() == before, "{file:?} was changed");
    }
}

#[tokio::test]
async fn a_file_of_the_other_role_is_refused_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let [state, cache] = ["state.redb", "cache.redb"].map(|name| directory.path().join(name));
    write_a_file(&state, 1).await;
    let open_cache = |file: &Path| EmbeddedCache::open(file, service("a"), CacheOptions::default());
    let store = open_cache(&cache).unwrap();
    store.set(key("k"), "v".into(), Ttl::from_secs(60)).await.unwrap();
    drop(store);
    let before = [&state, &cache].map(|file| fs::read(file).unwrap());
    let refusals = [
        (open(&cache).unwrap_err(), "the file is that of a cache store; give the worker state store another path"),
        (
            open_cache(&state).unwrap_err(),
            "the file is that of a worker state store; give the cache store another path",
        ),
    ];
    for (error, text) in refusals {
        assert!(matches!(&error, Error::Corrupt { op: Op::Connect, .. }), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
    }
    assert!([&state, &cache].map(|file| fs::read(file).unwrap()) == before, "a file was changed");
}

/// Also if the creation of the file was not completed: another version may complete it.
#[tokio::test]
async fn a_file_of_another_layout_is_refused_and_not_changed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    write_a_file(&file, 1).await;
    let whole = fs::read(&file).unwrap();
    for (layout, is_created) in [(2_u32, 1), (4, 1), (4, 0)] {
        let mut bytes = whole.clone();
        bytes[19..23].copy_from_slice(&layout.to_be_bytes());
        bytes[23] = is_created;
        let sum = crc32fast::hash(&bytes[..32]);
        bytes[32..36].copy_from_slice(&sum.to_be_bytes());
        fs::write(&file, &bytes).unwrap();
        let error = open(&file).unwrap_err();
        assert!(matches!(&error, Error::Unsupported { op: Op::Connect, .. }), "{error:?}");
        let texts = [&format!("layout {layout}"), "reads layout 3", "the version that wrote it", "another path"];
        assert!(texts.iter().all(|text| error.to_string().contains(text)), "{error}");
        assert!(fs::read(&file).unwrap() == bytes, "the file was changed");
    }
}

#[tokio::test]
async fn a_truncated_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole.redb");
    write_a_file(&whole, 1000).await;
    let bytes = fs::read(&whole).unwrap();
    let cut = directory.path().join("cut.redb");
    for len in [
        1,
        22,
        4095,
        4096,
        4097,
        5000,
        8192,
        12_288,
        bytes.len() / 4,
        bytes.len() / 2,
        bytes.len() - 4096,
        bytes.len() - 1,
    ] {
        fs::write(&cut, &bytes[..len]).unwrap();
        assert_corrupt(open(&cut), &format!("cut at {len}"));
        assert!(fs::read(&cut).unwrap() == bytes[..len], "a file cut at {len} was changed");
    }
}

/// A crash leaves a file that has to be repaired. The repair may change it before it is refused. A file whose lost end had
/// only free pages is complete.
#[tokio::test]
async fn a_file_that_a_crash_truncated_is_refused_or_complete() {
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole.redb");
    let store = open(&whole).unwrap();
    for _ in 0..20 {
        let jobs: Vec<_> = (0..100).map(|_| NewJob::new(vec![7; 500])).collect();
        let _ = store.push(&queue("mail"), &jobs, Durability::Accepted).await.unwrap();
    }
    let bytes = fs::read(&whole).unwrap();
    let cut = directory.path().join("cut.redb");
    fs::write(&cut, &bytes).unwrap();
    assert_eq!(open(&cut).unwrap().counts(&queue("mail")).await.unwrap().ready, 2000);
    for len in
        (4096..bytes.len()).step_by(bytes.len() / 40).chain([4097, 8192, 12_288, bytes.len() - 4096, bytes.len() - 1])
    {
        fs::write(&cut, &bytes[..len]).unwrap();
        match open(&cut) {
            Ok(store) => {
                for _ in 0..2 {
                    let jobs = claim(&store, "mail", 1000).await.jobs;
                    let is_whole = jobs.len() == 1000 && jobs.iter().all(|job| job.payload == vec![7; 500]);
                    assert!(is_whole, "cut at {len}");
                }
            }
            refused => assert_corrupt(refused, &format!("cut at {len} of {}", bytes.len())),
        }
    }
}

#[tokio::test]
async fn an_interrupted_creation_is_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.redb");
    fs::write(&file, "").unwrap();
    write_a_file(&file, 1).await;
    let bytes = fs::read(&file).unwrap();
    // As it was before the last step of its creation.
    for len in [4096, 4097, 8192, bytes.len()] {
        let mut begun = bytes[..len].to_vec();
        begun[23] = 0;
        begun[24..32].fill(0);
        let sum = crc32fast::hash(&begun[..32]).to_be_bytes();
        begun[32..36].copy_from_slice(&sum);
        fs::write(&file, begun).unwrap();
        let store = open(&file).unwrap_or_else(|error| panic!("cut at {len}: {error:?}"));
        store.push_one(&queue("mail"), NewJob::new("a")).await.unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_reported_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().to_owned(), directory.path().join("missing/state.redb")] {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(std::error::Error::source(&error).is_some());
    }
}

#[tokio::test]
async fn a_durability_that_cannot_be_reached_is_refused_before_writing() {
    let directory = tempfile::tempdir().unwrap();
    let within = std::time::Duration::from_secs(1);
    let (fsynced, replicated) = (Durability::Fsynced { within }, Durability::Replicated { replicas: 1, within });
    let on_disk = open(&directory.path().join("state.redb")).unwrap();
    assert!(on_disk.push(&queue("mail"), &[NewJob::new("a")], fsynced).await.unwrap().reached.on_disk);
    let in_memory = crate::in_memory();
    assert!(!in_memory.push(&queue("mail"), &[NewJob::new("a")], Durability::Accepted).await.unwrap().reached.on_disk);

    for (store, refused) in [(&on_disk, replicated), (&in_memory, replicated), (&in_memory, fsynced)] {
        let error = store.push(&queue("mail"), &[NewJob::new("a")], refused).await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert_eq!(store.counts(&queue("mail")).await.unwrap().ready, 1);
    }
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_not_written_to_and_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (file, moved) = (directory.path().join("state.redb"), directory.path().join("moved.redb"));
    let store = open(&file).unwrap();
    store.push_one(&queue("mail"), NewJob::new("a")).await.unwrap();
    fs::rename(&file, &moved).unwrap();

    let error = store.push_one(&queue("mail"), NewJob::new("b")).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { .. }) && error.to_string().contains("moved"), "{error}");
    assert_eq!(store.counts(&queue("mail")).await.unwrap().ready, 1);
    // Neither at its old path nor at its new one.
    for path in [&file, &moved] {
        let error = open_in_another_process(path);
        assert!(error.contains("already open"), "{path:?}: {error}");
    }
    assert!(!file.exists(), "no empty file was created in its place");

    fs::rename(&moved, &file).unwrap();
    store.push_one(&queue("mail"), NewJob::new("b")).await.unwrap();
    drop(store);
    assert_eq!(open(&file).unwrap().counts(&queue("mail")).await.unwrap().ready, 2);
}

/// Where the other process opens its file. Set only by the test that starts it.
const FILE: &str = "EMBEDDED_STORE_TEST_OTHER_FILE";

/// The other process of the test above, which starts it. It prints its result.
#[test]
fn child_that_opens_a_file() {
    let Some(file) = std::env::var_os(FILE) else { return };
    let outcome = open(Path::new(&file)).map_or_else(|error| error.to_string(), |_| "opened".to_owned());
    std::io::stdout().lock().write_all(format!("\noutcome: {outcome}\n").as_bytes()).unwrap();
}

fn open_in_another_process(file: &Path) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "file::child_that_opens_a_file", "--nocapture", "--test-threads=1"])
        .env(FILE, file)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("outcome: ")).unwrap_or(&text).to_owned()
}

#[tokio::test]
async fn all_paths_to_a_file_have_one_lock() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("state.redb"), directory.path().join("link.redb"));
    let store = open(&file).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&file, &link).unwrap();
    assert!(open(&link).unwrap_err().to_string().contains("already open"));
    drop(store);
    drop(open(&link).unwrap());
}
