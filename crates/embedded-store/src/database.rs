//! One database: who writes, in which transactions, and what becomes of those who wait for them.
//!
//! In a file one thread writes. It takes all operations that wait, applies them inside one transaction, commits once and
//! then answers all of them: concurrent callers share the `fsync`. In memory there is nothing to share, and the caller
//! itself writes, one at a time; so nothing that happens in memory ever leaves the calling task.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use redb::ReadableDatabase;
use redb::backends::InMemoryBackend;
use store_core::{Durability, Error, Op, Reached, Result, Role};
use tokio::sync::{mpsc, oneshot};

use crate::fault::{Fault, not_executed, perhaps_executed};
use crate::file;
use crate::news::News;
use crate::rows::{Change, View};

/// How many operations may wait for the thread that writes; more wait outside.
const WAITING: usize = 1024;

/// How many operations one transaction carries at most.
const TOGETHER: usize = 256;

/// How much memory the pages take that redb keeps at hand.
const CACHE_BYTES: usize = 64 << 20;

/// A handle of the database. Clones share it; the last one that is dropped closes it, when everything is committed.
#[derive(Clone)]
pub(crate) struct Database(Arc<Handle>);

struct Handle {
    writer: Writer,
    core: Arc<Core>,
}

enum Writer {
    /// Whoever calls.
    Caller(Mutex<()>),
    /// A thread, which ends when the sender is gone.
    Thread { calls: Option<mpsc::Sender<Box<dyn Member>>>, thread: Option<JoinHandle<()>> },
}

impl Database {
    /// A database in memory.
    pub(crate) fn in_memory() -> Self {
        let redb = redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(InMemoryBackend::new())
            .expect("invariant: nothing can fail in memory");
        Self(Arc::new(Handle { writer: Writer::Caller(Mutex::new(())), core: Arc::new(Core::new(redb)) }))
    }

    /// The database in the file at `path`, which is created if there is none.
    pub(crate) fn open(path: &Path, role: Role) -> Result<Self> {
        let core = Arc::new(Core::new(file::open(path, role, CACHE_BYTES)?));
        let (calls, waiting) = mpsc::channel(WAITING);
        let thread = std::thread::Builder::new().name(format!("embedded-{role}")).spawn({
            let core = core.clone();
            move || core.write_for(waiting)
        });
        match thread {
            Ok(thread) => {
                let writer = Writer::Thread { calls: Some(calls), thread: Some(thread) };
                Ok(Self(Arc::new(Handle { writer, core })))
            }
            Err(error) => {
                Err(Error::unavailable(Op::Connect, "the thread that writes could not be started").caused_by(error))
            }
        }
    }

    /// Carries out an operation that may write, and commits it. `apply` may run again, when a neighbour in its
    /// transaction failed: it has no effects but those on the transaction.
    ///
    /// A caller that goes away before it got its answer changes nothing: the operation is carried out or not, as a whole.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        op: Op,
        apply: impl Fn(&mut Change<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let call = Box::new(Call { op, apply, outcome: None, reply });
        match &self.0.writer {
            Writer::Caller(turn) => {
                // Never held over an await: a caller that is not polled could not give it back. A panic of a caller's own
                // code has taken its transaction back.
                let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
                self.0.core.commit_together(vec![call]);
            }
            Writer::Thread { calls, .. } => {
                let calls =
                    calls.as_ref().expect("invariant: the sender is taken only when the last handle is dropped");
                if calls.send(call).await.is_err() {
                    return Err(Error::unavailable(op, "the embedded database's thread has ended; open it again"));
                }
            }
        }
        let lost = |_| Err(Error::indeterminate(op, "the embedded database's thread has ended; open it again"));
        answer.await.unwrap_or_else(lost)
    }

    /// Carries out an operation that only reads, in a snapshot of what is committed.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        op: Op,
        look: impl FnOnce(&mut View<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        match &self.0.writer {
            Writer::Caller(_) => self.0.core.read(op, look),
            Writer::Thread { .. } => {
                let database = self.clone();
                let reading = tokio::task::spawn_blocking(move || database.0.core.read(op, look));
                reading.await.unwrap_or_else(|_| Err(Error::unavailable(op, "the reading task was stopped")))
            }
        }
    }

    /// The same on this thread, which may block.
    pub(crate) fn read_now<T>(&self, op: Op, look: impl FnOnce(&mut View<'_>) -> Result<T, Fault>) -> Result<T> {
        self.0.core.read(op, look)
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.0.core.commits.load(Ordering::Relaxed)
    }

    /// Who waits for which queue.
    pub(crate) fn news(&self) -> &News {
        &self.0.core.news
    }

    /// Refuses, before anything is written, a durability that cannot be reached. How far every committed write reaches.
    pub(crate) fn reach(&self, op: Op, durability: Durability) -> Result<Reached> {
        let reached = Reached::new(0, matches!(self.0.writer, Writer::Thread { .. }));
        match durability {
            Durability::Replicated { .. } => Err(Error::unsupported(op, "an embedded store has no replicas")),
            wanted if reached.satisfies(wanted) => Ok(reached),
            _ => Err(Error::unsupported(op, "a store in memory is never on a disk; open a file")),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Writer::Thread { calls, thread } = &mut self.writer {
            drop(calls.take());
            // Whoever opens the file next must find it unlocked. A panic of the thread was told to its callers.
            let _ = thread.take().map(JoinHandle::join);
        }
    }
}

/// What handles and thread share.
struct Core {
    redb: redb::Database,
    commits: AtomicU64,
    news: News,
}

/// Why a group was not committed.
enum Failure {
    /// One of its members failed, the others can be tried again.
    Member(usize, Fault),
    /// No transaction can be made.
    Begin(redb::Error),
    /// It is not known whether it was committed.
    Commit(redb::CommitError),
}

impl Core {
    fn new(redb: redb::Database) -> Self {
        Self { redb, commits: AtomicU64::new(0), news: News::default() }
    }

    fn write_for(&self, mut waiting: mpsc::Receiver<Box<dyn Member>>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = vec![first];
            while group.len() < TOGETHER
                && let Ok(next) = waiting.try_recv()
            {
                group.push(next);
            }
            self.commit_together(group);
        }
    }

    /// Commits the group in one transaction, without those of its members that fail, and answers each.
    fn commit_together(&self, mut group: Vec<Box<dyn Member>>) {
        while !group.is_empty() {
            match self.attempt(&mut group) {
                Ok(()) => return group.into_iter().for_each(|member| member.answer()),
                Err(Failure::Member(index, fault)) => {
                    let failed = group.remove(index);
                    let error = fault.into_error(failed.op());
                    failed.fail(error);
                }
                Err(Failure::Begin(error)) => {
                    return group.into_iter().for_each(|member| {
                        let error = not_executed(member.op(), &error);
                        member.fail(error);
                    });
                }
                Err(Failure::Commit(error)) => {
                    return group.into_iter().for_each(|member| {
                        let error = perhaps_executed(member.op(), &error);
                        member.fail(error);
                    });
                }
            }
        }
    }

    fn attempt(&self, group: &mut [Box<dyn Member>]) -> Result<(), Failure> {
        let transaction = self.redb.begin_write().map_err(|error| Failure::Begin(error.into()))?;
        let mut change = Change::new(&transaction);
        for (index, member) in group.iter_mut().enumerate() {
            member.apply(&mut change).map_err(|fault| Failure::Member(index, fault))?;
        }
        let last = group.len() - 1;
        let (changed, news) = change.finish().map_err(|fault| Failure::Member(last, fault))?;
        if changed {
            transaction.commit().map_err(Failure::Commit)?;
            self.commits.fetch_add(1, Ordering::Relaxed);
        }
        news.iter().for_each(|queue| self.news.tell(queue));
        Ok(())
    }

    fn read<T>(&self, op: Op, look: impl FnOnce(&mut View<'_>) -> Result<T, Fault>) -> Result<T> {
        let transaction = self.redb.begin_read().map_err(|error| not_executed(op, &error.into()))?;
        look(&mut View::new(&transaction)).map_err(|fault| fault.into_error(op))
    }
}

/// An operation in a group.
trait Member: Send {
    fn op(&self) -> Op;
    /// Writes into the transaction. What it answers is kept until the transaction is committed.
    fn apply(&mut self, change: &mut Change<'_>) -> Result<(), Fault>;
    fn answer(self: Box<Self>);
    fn fail(self: Box<Self>, error: Error);
}

struct Call<T, F> {
    op: Op,
    apply: F,
    outcome: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Member for Call<T, F>
where
    T: Send,
    F: Fn(&mut Change<'_>) -> Result<T, Fault> + Send,
{
    fn op(&self) -> Op {
        self.op
    }

    fn apply(&mut self, change: &mut Change<'_>) -> Result<(), Fault> {
        self.outcome = match (self.apply)(change) {
            Ok(value) => Some(Ok(value)),
            Err(Fault::Refused(error)) => Some(Err(error)),
            Err(fault) => return Err(fault),
        };
        Ok(())
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // A caller that went away does not hear the answer.
            let _ = self.reply.send(outcome);
        }
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}

#[cfg(test)]
mod tests;
