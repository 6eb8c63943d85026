//! The outcome of a group when one of its members or the database fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use store_core::{Error, Op, Result, Role};
use tokio::sync::oneshot;

use super::Database;
use super::core::Core;
use super::member::{Call, Member, Operation};
use super::shared::Shared;
use crate::fault::Fault;
use crate::rows::{Change, Rows, Table, View};

type Answer = oneshot::Receiver<Result<u32>>;

fn member(
    apply: impl Fn(&mut Change<'_>) -> std::result::Result<u32, Fault> + Send + 'static,
) -> (Box<dyn Member>, Answer) {
    let (reply, answer) = oneshot::channel();
    (Box::new(Call { operation: Operation::adding(Op::QueuePush), apply, outcome: None, reply }), answer)
}

fn put(key: &'static [u8], answer: u32) -> (Box<dyn Member>, Answer) {
    member(move |change| change.put(Table::Jobs, key, b"row".to_vec()).map(|()| answer))
}

fn has(core: &Core, key: &'static [u8]) -> bool {
    let look = |view: &mut View<'_>| Ok(view.get(Table::Jobs, key, |_| Ok(()))?.is_some());
    core.read(Op::QueueGet, look).unwrap()
}

fn in_memory() -> Core {
    on(InMemoryBackend::new())
}

fn on(disk: impl StorageBackend) -> Core {
    let redb = redb::Builder::new().create_with_backend(disk).unwrap();
    Core::new(redb, None, Arc::new(Shared::new(Role::State)))
}

#[test]
fn a_member_that_fails_is_rolled_back_and_the_others_are_committed() {
    let core = in_memory();
    let (first, mut first_answer) = put(b"first", 1);
    let (failing, mut failing_answer) = member(|change| {
        change.put(Table::Jobs, b"half", b"done".to_vec())?;
        Err(Fault::Corrupt("a row is too short"))
    });
    let (refusing, mut refusing_answer) =
        member(|_| Err(Fault::Refused(Error::invalid_argument(Op::KeyValueAdd, "the counter would overflow"))));
    let (last, mut last_answer) = put(b"last", 2);
    core.commit_together(vec![first, failing, refusing, last]);

    assert_eq!(first_answer.try_recv().unwrap().unwrap(), 1);
    assert!(matches!(failing_answer.try_recv().unwrap(), Err(Error::Corrupt { .. })));
    assert!(matches!(refusing_answer.try_recv().unwrap(), Err(Error::InvalidArgument { .. })));
    assert_eq!(last_answer.try_recv().unwrap().unwrap(), 2);
    assert!(has(&core, b"first") && has(&core, b"last") && !has(&core, b"half"));
    assert_eq!(core.shared.commits.load(Ordering::Relaxed), 1);
}

/// Answers after its writes were taken back.
fn undone(answer: u32) -> (Box<dyn Member>, Answer) {
    member(move |change| {
        change.put(Table::Jobs, b"half", b"done".to_vec())?;
        change.undo();
        Ok(answer)
    })
}

#[test]
fn a_member_whose_writes_are_taken_back_keeps_its_answer() {
    let core = in_memory();
    let (members, answers): (Vec<_>, Vec<_>) = [put(b"first", 1), undone(2), put(b"last", 3)].into_iter().unzip();
    core.commit_together(members);
    for (mut answer, expected) in answers.into_iter().zip(1..) {
        assert_eq!(answer.try_recv().unwrap().unwrap(), expected);
    }
    assert!(has(&core, b"first") && has(&core, b"last") && !has(&core, b"half"));
}

#[test]
fn each_member_reads_the_writes_of_those_before_it() {
    let core = in_memory();
    let (first, _) = put(b"first", 1);
    let (second, mut answer) = member(|change| Ok(u32::from(change.get(Table::Jobs, b"first", |_| Ok(()))?.is_some())));
    core.commit_together(vec![first, second]);
    assert_eq!(answer.try_recv().unwrap().unwrap(), 1);
}

/// A disk that can be broken.
#[derive(Debug)]
struct Breakable {
    memory: InMemoryBackend,
    broken: Arc<AtomicBool>,
}

impl Breakable {
    fn check(&self) -> std::io::Result<()> {
        if self.broken.load(Ordering::SeqCst) { Err(std::io::Error::other("broken")) } else { Ok(()) }
    }
}

impl StorageBackend for Breakable {
    fn len(&self) -> std::io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.check()?;
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.check()?;
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.check()?;
        self.memory.write(offset, data)
    }
}

#[test]
fn a_disk_failure_is_reported_to_all_callers() {
    let broken = Arc::new(AtomicBool::new(false));
    let disk = Breakable { memory: InMemoryBackend::new(), broken: broken.clone() };
    let core = on(disk);
    let (before, mut answer) = put(b"before", 1);
    core.commit_together(vec![before]);
    assert_eq!(answer.try_recv().unwrap().unwrap(), 1);

    broken.store(true, Ordering::SeqCst);
    let (members, answers): (Vec<_>, Vec<_>) = [put(b"a", 1), put(b"b", 2)].into_iter().unzip();
    // Its answer would depend on writes that were not committed.
    let (depending, mut dependent) = undone(3);
    core.commit_together(members.into_iter().chain([depending]).collect());
    let error = dependent.try_recv().unwrap().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    for mut answer in answers {
        let error = answer.try_recv().unwrap().unwrap_err();
        assert!(matches!(error, Error::Indeterminate { .. }), "{error:?}");
    }
    let (after, mut answer) = put(b"after", 1);
    core.commit_together(vec![after]);
    let error = answer.try_recv().unwrap().unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

/// Otherwise the second close would remove the database during a commit and unlock the file.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_close_waits_for_the_same_calls_as_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("state.redb"), Role::State).unwrap();
    let (begun, is_begun) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let may_go = std::sync::Mutex::new(may_go);
    let slow = move |change: &mut Change<'_>| {
        let _ = begun.send(());
        let _ = may_go.lock().unwrap().recv();
        change.put(Table::Jobs, b"slow", b"row".to_vec())
    };
    let written = tokio::spawn({
        let database = database.clone();
        async move { database.write(Op::QueuePush, slow).await }
    });
    tokio::task::spawn_blocking(move || is_begun.recv()).await.unwrap().unwrap();

    let mut closes = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let database = database.clone();
        closes.spawn(async move { database.close().await });
    }
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), closes.join_next()).await;
    go.send(()).unwrap();
    assert!(early.is_err(), "a close ended while a call was under way");
    written.await.unwrap().unwrap();
    closes.join_all().await;
}

/// A task may be stopped for long between two polls, and a future may be kept without being polled again.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_does_not_wait_for_futures_that_nobody_polls() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("state.redb"), Role::State).unwrap();
    // More than may wait: the last ones wait for a place.
    let mut writes: Vec<_> = (0..super::WAITING + 2 * super::TOGETHER)
        .map(|_| Box::pin(database.write(Op::QueuePush, |change| change.put(Table::Jobs, b"job", b"row".to_vec()))))
        .collect();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for write in &mut writes {
        let _ = write.as_mut().poll(&mut context);
    }
    let closed = tokio::time::timeout(std::time::Duration::from_secs(30), database.close()).await;
    assert!(closed.is_ok(), "the close waits");
    // Each was committed or refused.
    for write in writes {
        let written = tokio::time::timeout(std::time::Duration::from_secs(30), write).await.unwrap();
        assert!(matches!(written, Ok(()) | Err(Error::Unavailable { .. })), "{written:?}");
    }
}
