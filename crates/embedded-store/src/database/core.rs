//! Transactions: group commits, reads, and recovery from failures.

mod room;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::ReadableDatabase;
use store_core::{Error, Op, Result};
use tokio::sync::{Semaphore, mpsc};

use super::member::Member;
use super::shared::Shared;
use super::{CACHE_BYTES, CLOSED, TOGETHER};
use crate::fault::{Fault, failed_commit, not_executed};
use crate::file::StoreFile;
use crate::rows::{Change, View};

/// When to try again to add to a full file.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);

/// The state that the handles and the thread share.
pub(super) struct Core {
    /// Absent when the store is closed, and while it cannot be opened again after a failure.
    redb: RwLock<Option<redb::Database>>,
    file: Option<Arc<StoreFile>>,
    is_closed: AtomicBool,
    /// Net bytes of rows removed since the file became full.
    freed: AtomicI64,
    /// When the free pages of a full file may be counted again.
    count_from: Mutex<Instant>,
    pub(super) shared: Arc<Shared>,
}

/// The stage that a transaction has reached.
enum Step {
    Begin,
    Apply(usize),
    Commit,
}

/// Why no transaction is begun.
enum Refusal {
    Unavailable(&'static str),
    /// The file cannot be opened again.
    Damaged,
}

impl Refusal {
    fn error(&self, op: Op) -> Error {
        match self {
            Refusal::Unavailable(detail) => Error::unavailable(op, *detail),
            Refusal::Damaged => Error::corrupt(op, DAMAGED),
        }
    }
}

/// Why a group was not committed.
enum NotCommitted {
    /// One of its members failed; the others can be tried again.
    Member(usize, Fault),
    /// The writes of this member are taken back.
    Undone(usize),
    /// A page that this member needed is damaged. redb may have panicked on it, and has rolled the transaction back.
    Damaged(usize),
    /// The database failed, and nothing was committed.
    Database(redb::Error),
    /// It is not known whether it was committed.
    Commit(redb::Error),
}

impl Core {
    pub(super) fn new(redb: redb::Database, file: Option<Arc<StoreFile>>, shared: Arc<Shared>) -> Self {
        Self {
            redb: RwLock::new(Some(redb)),
            file,
            is_closed: AtomicBool::new(false),
            freed: AtomicI64::new(0),
            count_from: Mutex::new(Instant::now()),
            shared,
        }
    }

    /// Opens the database of a file. A file without a reserve gets one, if there is room.
    pub(super) fn open(file: Arc<StoreFile>, shared: Arc<Shared>) -> Result<Self> {
        let core = Self::new(file.redb(CACHE_BYTES)?, Some(file.clone()), shared);
        file.make_reserve()
            .map_err(|error| Error::unavailable(Op::Connect, "the file cannot be written").caused_by(error))?;
        Ok(core)
    }

    /// Commits what it receives, until the sender is dropped. Frees a place for each call.
    pub(super) fn write_for(&self, mut waiting: mpsc::UnboundedReceiver<Box<dyn Member>>, places: &Semaphore) {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = vec![first];
            while group.len() < TOGETHER
                && let Ok(next) = waiting.try_recv()
            {
                group.push(next);
            }
            places.add_permits(group.len());
            self.commit_together(group);
        }
    }

    /// Commits the group in one transaction, except the members that fail, and answers each. A member whose writes are taken back
    /// is answered when the writes that it has read are committed.
    pub(super) fn commit_together(&self, mut group: Vec<Box<dyn Member>>) {
        let mut undone = Vec::new();
        while !group.is_empty() {
            if let Err(refusal) = self.prepare() {
                group.append(&mut undone);
                return fail_all(group, |op| refusal.error(op));
            }
            if self.is_full() {
                group.append(&mut undone);
                // One at a time: an operation that needs too much space is refused alone.
                return group.into_iter().for_each(|member| self.commit_when_full(member));
            }
            match self.attempt(&mut group) {
                Ok(()) => group.drain(..).for_each(|member| member.answer()),
                Err(NotCommitted::Member(index, fault)) => {
                    let failed = group.remove(index);
                    let error = fault.into_error(failed.op());
                    failed.fail(error);
                }
                Err(NotCommitted::Undone(index)) => undone.push(group.remove(index)),
                Err(NotCommitted::Damaged(index)) => {
                    let failed = group.remove(index);
                    let error = Error::corrupt(failed.op(), DAMAGED);
                    failed.fail(error);
                }
                Err(NotCommitted::Database(error)) => {
                    // If there was no room, the operations that add nothing are tried again in the reserve.
                    if !self.recover() {
                        group.append(&mut undone);
                        return fail_all(group, |op| not_executed(op, &error));
                    }
                }
                Err(NotCommitted::Commit(error)) => {
                    self.recover();
                    fail_all(group, |op| failed_commit(op, &error));
                    // They are executed again, without the writes of the others.
                    group = std::mem::take(&mut undone);
                }
            }
        }
        undone.into_iter().for_each(|member| member.answer());
    }

    /// Commits one operation while the file is full. Refuses an operation that adds, unless others have made room.
    fn commit_when_full(&self, member: Box<dyn Member>) {
        if member.operation().adds && !self.has_room() {
            return refuse(member);
        }
        let mut group = vec![member];
        let result = self.attempt(&mut group);
        let Some(member) = group.pop() else { return };
        let op = member.op();
        match result {
            Ok(()) | Err(NotCommitted::Undone(_)) => member.answer(),
            Err(NotCommitted::Member(_, fault)) => member.fail(fault.into_error(op)),
            Err(NotCommitted::Damaged(_)) => member.fail(Error::corrupt(op, DAMAGED)),
            Err(NotCommitted::Database(error)) => match self.recover() {
                true => refuse(member),
                false => member.fail(not_executed(op, &error)),
            },
            Err(NotCommitted::Commit(error)) => {
                self.recover();
                member.fail(failed_commit(op, &error));
            }
        }
    }

    /// Refuses if the store is closed or its file was moved; opens the database again if that failed before.
    fn prepare(&self) -> Result<(), Refusal> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Refusal::Unavailable(CLOSED));
        }
        let Some(file) = &self.file else { return Ok(()) };
        file.check_in_place().map_err(Refusal::Unavailable)?;
        if self.redb.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            self.open_again(file)?;
        }
        Ok(())
    }

    /// Checks that calls can be carried out. Waits for nothing.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |detail| Error::unavailable(Op::Ping, detail);
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(refuse(CLOSED));
        }
        self.file.as_ref().map_or(Ok(()), |file| file.check_in_place()).map_err(refuse)?;
        match self.redb.try_read() {
            Ok(redb) if redb.is_some() => Ok(()),
            _ => Err(refuse("the file is being opened again")),
        }
    }

    /// Opens the database again after a failure, under the same lock, because redb refuses everything after one. Returns
    /// whether the cause was a full disk, so that a group that was not committed can be tried again.
    fn recover(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let failure = file.take_failure();
        let room = failure.filter(|failure| failure.is_out_of_space);
        self.drop_redb();
        if let Some(failure) = room {
            self.freed.store(0, Ordering::Relaxed);
            if file.make_room(failure).is_err() {
                return false;
            }
        }
        self.open_again(file).is_ok() && room.is_some()
    }

    fn drop_redb(&self) {
        let redb = self.redb.write().unwrap_or_else(PoisonError::into_inner).take();
        // After a panic caused by a damaged page it can panic again; all commits are on disk.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(redb)));
    }

    fn open_again(&self, file: &Arc<StoreFile>) -> Result<(), Refusal> {
        let redb = file.redb(CACHE_BYTES).map_err(|error| match error {
            Error::Corrupt { .. } => Refusal::Damaged,
            _ => Refusal::Unavailable("the file could not be opened again after a failure"),
        })?;
        *self.redb.write().unwrap_or_else(PoisonError::into_inner) = Some(redb);
        Ok(())
    }

    fn attempt(&self, group: &mut [Box<dyn Member>]) -> Result<(), NotCommitted> {
        let mut at = Step::Begin;
        match &self.file {
            None => self.transact(group, &mut at),
            // redb can panic over damaged pages.
            Some(file) => {
                file.begin();
                catch_unwind(AssertUnwindSafe(|| self.transact(group, &mut at))).unwrap_or_else(|_| {
                    let damaged = redb::Error::Corrupted(DAMAGED.to_owned());
                    Err(match at {
                        Step::Begin => NotCommitted::Database(damaged),
                        Step::Apply(index) => NotCommitted::Damaged(index),
                        Step::Commit => NotCommitted::Commit(damaged),
                    })
                })
            }
        }
    }

    fn transact(&self, group: &mut [Box<dyn Member>], at: &mut Step) -> Result<(), NotCommitted> {
        let transaction = {
            let redb = self.redb.read().unwrap_or_else(PoisonError::into_inner);
            let redb = redb.as_ref().ok_or(NotCommitted::Database(redb::Error::DatabaseClosed))?;
            redb.begin_write().map_err(|error| NotCommitted::Database(error.into()))?
        };
        let mut change = Change::to_file(&transaction, self.is_full(), self.shared.effects());
        for (index, member) in group.iter_mut().enumerate() {
            *at = Step::Apply(index);
            member.apply(&mut change).map_err(|fault| of_member(index, fault))?;
            if change.is_undone() {
                return Err(NotCommitted::Undone(index));
            }
        }
        let last = group.len() - 1;
        let written = change.finish().map_err(|fault| of_member(last, fault))?;
        *at = Step::Commit;
        if written.is_changed {
            transaction.commit().map_err(|error| self.of_commit(error.into()))?;
            self.shared.count(&written);
            self.freed.fetch_add(written.freed, Ordering::Relaxed);
        }
        written.effects.commit();
        Ok(())
    }

    /// A commit that failed before its header was written was not executed.
    fn of_commit(&self, error: redb::Error) -> NotCommitted {
        match self.file.as_ref().and_then(|file| file.failure()) {
            Some(failure) if !failure.header_written => NotCommitted::Database(error),
            _ => NotCommitted::Commit(error),
        }
    }

    pub(super) fn read<T>(&self, op: Op, look: impl FnOnce(&mut View<'_>) -> Result<T, Fault>) -> Result<T> {
        let transaction = {
            let redb = self.redb.read().unwrap_or_else(PoisonError::into_inner);
            let Some(redb) = redb.as_ref() else {
                let is_closed = self.is_closed.load(Ordering::SeqCst);
                return Err(Error::unavailable(op, if is_closed { CLOSED } else { "the file is being opened again" }));
            };
            redb.begin_read().map_err(|error| not_executed(op, &error.into()))?
        };
        let look = || look(&mut View::of_file(&transaction)).map_err(|fault| fault.into_error(op));
        match &self.file {
            None => look(),
            Some(_) => catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| Err(Error::corrupt(op, DAMAGED))),
        }
    }

    /// Refuses all later calls, and releases the file.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.drop_redb();
        if let Some(file) = &self.file {
            file.unlock();
        }
    }
}

/// The error of an operation that needed a page that redb cannot read.
const DAMAGED: &str = "a page of the file is damaged; restore it from a backup";

fn of_member(index: usize, fault: Fault) -> NotCommitted {
    match fault {
        // A part of the file is damaged; redb itself continues.
        Fault::Storage(error) if matches!(*error, redb::Error::Corrupted(_)) => NotCommitted::Damaged(index),
        Fault::Storage(error) => NotCommitted::Database(*error),
        fault => NotCommitted::Member(index, fault),
    }
}

fn refuse(member: Box<dyn Member>) {
    let mut error =
        Error::limit(member.op(), "the disk is full; only operations that remove or complete data are accepted");
    if let Error::Limit { retry_after, .. } = &mut error {
        *retry_after = Some(RETRY_WHEN_FULL);
    }
    member.fail(error);
}

fn fail_all(group: Vec<Box<dyn Member>>, error: impl Fn(Op) -> Error) {
    for member in group {
        let error = error(member.op());
        member.fail(error);
    }
}
