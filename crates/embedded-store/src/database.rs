//! One database: its writer, its transactions, and its waiting callers.
//!
//! For a file, one thread writes. It takes all waiting operations, applies them in one transaction, commits once and
//! then answers all of them: concurrent callers share the `fsync`. In memory a commit costs nothing, so there is nothing
//! to share: each caller writes in its own task, one at a time.

mod core;
mod member;
mod memory;
mod shared;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use store_core::metric::{IdempotencyBegins, LimitDecisions};
use store_core::{Durability, Error, Op, Reached, Result, Role};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::task::coop::consume_budget;

use self::core::Core;
pub(crate) use self::member::Operation;
use self::member::{Call, Member};
use self::memory::Memory;
use self::shared::Shared;
use crate::closed::Closed;
use crate::fault::Fault;
use crate::file::StoreFile;
use crate::rows::{Change, View};
use crate::waiting::Waiting;

/// How many operations may wait for the writer thread; further callers wait for a place.
const WAITING: usize = 1024;

/// How many operations one transaction carries at most.
const TOGETHER: usize = 256;

/// How much memory redb's page cache takes.
const CACHE_BYTES: usize = 64 << 20;

/// The error of a closed store.
pub(crate) const CLOSED: &str = "the store was closed";

/// A handle of the database. Clones share it; dropping the last one commits everything and closes it.
#[derive(Clone)]
pub(crate) struct Database(Arc<Handle>);

struct Handle {
    engine: Engine,
    shared: Arc<Shared>,
    /// Held while one call closes the store: a second close waits for the first.
    closing: Mutex<()>,
}

#[expect(clippy::large_enum_variant, reason = "a store has one, behind an Arc")]
enum Engine {
    Memory(Memory),
    File(FileEngine),
}

struct FileEngine {
    core: Arc<Core>,
    /// A permit for each call that may wait for the writer thread. Closed with the store.
    places: Arc<Semaphore>,
    /// Absent when the store is closed.
    writer: Mutex<Option<WriterThread>>,
}

/// A thread, which ends when the sender is dropped. No call keeps a clone of the sender: a future that is not polled would keep
/// the thread alive.
struct WriterThread {
    calls: mpsc::UnboundedSender<Box<dyn Member>>,
    thread: JoinHandle<()>,
}

impl FileEngine {
    /// Sends a call to the writer thread. The permit is given back when the thread takes the call.
    fn send(&self, op: Op, call: Box<dyn Member>, place: SemaphorePermit<'_>) -> Result<()> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(WriterThread { calls, .. }) = writer.as_ref() else { return Err(Error::unavailable(op, CLOSED)) };
        if calls.send(call).is_err() {
            return Err(Error::unavailable(op, "the embedded database's thread has ended; open it again"));
        }
        place.forget();
        Ok(())
    }
}

impl Database {
    /// A database in memory.
    pub(crate) fn in_memory(role: Role) -> Self {
        Self::new(Engine::Memory(Memory::new()), Arc::new(Shared::new(role)))
    }

    /// The database in the file at `path`, which is created if it does not exist.
    pub(crate) fn open(path: &Path, role: Role) -> Result<Self> {
        let shared = Arc::new(Shared::new(role));
        let core = Arc::new(Core::open(StoreFile::open(path, role)?, shared.clone())?);
        let (calls, waiting) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(WAITING));
        let thread = std::thread::Builder::new().name(format!("embedded-{role}")).spawn({
            let (core, places) = (core.clone(), places.clone());
            move || core.write_for(waiting, &places)
        });
        match thread {
            Ok(thread) => {
                let writer = Mutex::new(Some(WriterThread { calls, thread }));
                Ok(Self::new(Engine::File(FileEngine { core, places, writer }), shared))
            }
            Err(error) => {
                Err(Error::unavailable(Op::Connect, "the writer thread could not be started").caused_by(error))
            }
        }
    }

    fn new(engine: Engine, shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handle { engine, shared, closing: Mutex::new(()) }))
    }

    /// Executes an operation that may write, and commits it. `apply` may run again if another operation in its
    /// transaction failed: it must have no effects outside the transaction.
    ///
    /// If the caller is dropped before it got its answer, the operation is still executed as a whole or not at all.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        operation: impl Into<Operation>,
        apply: impl Fn(&mut Change<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let operation = operation.into();
        let op = operation.op;
        let file = match &self.0.engine {
            Engine::Memory(memory) => {
                // A task that only calls this store would never let others run.
                consume_budget().await;
                return memory.write(&self.0.shared, op, apply);
            }
            Engine::File(file) => file,
        };
        let (reply, answer) = oneshot::channel();
        let place = file.places.acquire().await.map_err(|_| Error::unavailable(op, CLOSED))?;
        file.send(op, Box::new(Call { operation, apply, outcome: None, reply }), place)?;
        let lost = |_| Err(Error::indeterminate(op, "the embedded database's thread has ended; open it again"));
        answer.await.unwrap_or_else(lost)
    }

    /// Executes an operation without waiting for it: in a file, if the writer has a place for it.
    pub(crate) fn write_detached(&self, op: Op, apply: impl Fn(&mut Change<'_>) -> Result<(), Fault> + Send + 'static) {
        match &self.0.engine {
            Engine::Memory(memory) => drop(memory.write(&self.0.shared, op, apply)),
            Engine::File(file) => {
                let (reply, _) = oneshot::channel();
                if let Ok(place) = file.places.try_acquire() {
                    let _ = file.send(op, Box::new(Call { operation: op.into(), apply, outcome: None, reply }), place);
                }
            }
        }
    }

    /// Executes an operation that only reads, in a snapshot of the committed data.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        op: Op,
        look: impl FnOnce(&mut View<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        match &self.0.engine {
            Engine::Memory(memory) => {
                consume_budget().await;
                memory.read(op, look)
            }
            Engine::File(FileEngine { core, .. }) => {
                let core = core.clone();
                let reading = tokio::task::spawn_blocking(move || core.read(op, look));
                reading.await.unwrap_or_else(|_| Err(Error::unavailable(op, "the reading task was stopped")))
            }
        }
    }

    /// Checks that calls can be carried out.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.0.engine {
            Engine::Memory(memory) => memory.check(),
            Engine::File(FileEngine { core, .. }) => core.check(),
        }
    }

    /// Those who wait, and what they wait for.
    pub(crate) fn waiting(&self) -> Arc<Waiting> {
        Arc::clone(&self.0.shared.waiting)
    }

    /// The counters of idempotent requests.
    pub(crate) fn begins(&self) -> &IdempotencyBegins {
        &self.0.shared.begins
    }

    /// The counters of rate limits.
    pub(crate) fn decisions(&self) -> &LimitDecisions {
        &self.0.shared.decisions
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.0.shared.commits.load(Ordering::Relaxed)
    }

    /// Whether it was closed.
    pub(crate) fn closed(&self) -> &Closed {
        &self.0.shared.closed
    }

    /// Closes it for all handles: earlier calls are committed, later calls are refused, waits end, and the file is unlocked.
    pub(crate) async fn close(&self) {
        let handle = self.0.clone();
        // A panic of the thread was reported to its callers.
        let _ = tokio::task::spawn_blocking(move || handle.close()).await;
    }

    /// Refuses a durability that cannot be reached, before anything is written. Returns the durability of every
    /// committed write.
    pub(crate) fn reach(&self, op: Op, durability: Durability) -> Result<Reached> {
        let reached = Reached::new(0, matches!(self.0.engine, Engine::File(_)));
        match durability {
            Durability::Replicated { .. } => Err(Error::unsupported(op, "an embedded store has no replicas")),
            wanted if reached.satisfies(wanted) => Ok(reached),
            _ => Err(Error::unsupported(op, "a store in memory is never on disk; open a file")),
        }
    }
}

impl Handle {
    fn close(&self) {
        let _closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.engine {
            Engine::Memory(memory) => memory.close(),
            Engine::File(FileEngine { core, places, writer }) => {
                places.close();
                let writer = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(WriterThread { calls, thread }) = writer {
                    drop(calls);
                    // A panic of the thread was reported to its callers.
                    let _ = thread.join();
                }
                core.close();
            }
        }
        self.shared.waiting.close_listeners();
        self.shared.closed.close();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The file must be unlocked before it can be opened again.
        self.close();
    }
}

#[cfg(test)]
mod tests;
