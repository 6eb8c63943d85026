//! The worker, and the handle to it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use store_core::{HolderName, Queue, QueueName};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::builder::{Parts, WorkerBuilder};
use crate::deliverer;
use crate::driver::Driver;
use crate::event::{Command, Event};
use crate::heartbeat;
use crate::signal;
use crate::stats::{WorkerReport, WorkerStats};
use crate::sweeper::Sweeper;
use crate::tally::Tally;

/// Runs handlers for the jobs of queues, and delivers the outboxes of these queues.
///
/// **Outboxes.** A worker of `State::worker` also delivers what commits of its queues send elsewhere
/// ([`Delivery`](store_core::Delivery)). It delivers immediately what a commit of its process has recorded. It also claims from
/// each partition every 8 to 10 s, to find entries of processes that have died and entries that are due for a retry. One claim
/// leases up to 64 entries for 30 s; at most 16 of one outbox are delivered at the same time. An entry whose delivery fails is
/// tried again by its own policy, and is no failure of a job. While an operator has paused the outbox, nothing is delivered. At
/// a shutdown, the worker delivers what its last handlers have recorded, for up to 5 s.
///
/// **Sweeps.** A worker of `State::worker` also removes the entries of expired runs and sessions from the listings of the namespace,
/// and of the homes of its queues. It begins within a minute after its start, and then every 48 to 60 minutes. Each sweep holds
/// a lease for 45 minutes, `twinstore/sweep` or `twinstore/sweep/QUEUE`, so many workers cost the store an acquisition per queue more,
/// and no further sweeps. A sweep sends calls that remove up to 1,000 runs each until nothing is left. If one fails, the worker
/// logs a warning, and the next sweep follows. No worker sweeps the homes of a queue that no worker has: call
/// [`Homes::sweep_homes`](store_core::Homes::sweep_homes).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// # stores.state().queue().push_one(&"mails".try_into()?, NewJob::new("ann@example.org")).await?;
/// let worker = Worker::new(stores.state().queue()).with_queue("mails", async |_: Job| Ok(())).build()?;
/// let handle = worker.handle();
/// let running = tokio::spawn(worker.run());
/// while handle.stats().completed < 1 {
///     tokio::task::yield_now().await;
/// }
/// handle.shutdown();
/// assert!(running.await??.clean);
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    parts: Parts,
    name: HolderName,
    handle: WorkerHandle,
    events: UnboundedReceiver<Event>,
}

impl Worker {
    /// The builder of a worker on this store. Add queues, then call [`build`](WorkerBuilder::build).
    #[expect(clippy::new_ret_no_self, reason = "a worker begins with its store and is built with its queues")]
    pub fn new(store: Arc<dyn Queue>) -> WorkerBuilder {
        WorkerBuilder::new(store)
    }

    pub(crate) fn assemble(parts: Parts, name: HolderName) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let handle = WorkerHandle { events: sender, tally: Arc::new(Tally::new(parts.queues.len())) };
        Self { parts, name, handle, events }
    }

    /// The name under which it claims.
    pub fn name(&self) -> &HolderName {
        &self.name
    }

    /// The names of its queues.
    pub fn queues(&self) -> impl Iterator<Item = &QueueName> {
        self.parts.queues.iter().map(|queue| &queue.name)
    }

    /// A handle to it, for other tasks.
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Runs until the worker is shut down. Failures of the store do not end it.
    ///
    /// To end it, use [`WorkerHandle::shutdown`]. Dropping the future has the effect of a crash: handlers are dropped, and their
    /// jobs run again when their leases expire.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed. Nothing was claimed then.
    pub async fn run(self) -> io::Result<WorkerReport> {
        let Self { mut parts, name, handle, events } = self;
        let signals = if parts.signals { Some(signal::listen(handle.clone())?) } else { None };
        let signals = signals.map(|listening| AbortOnDrop(tokio::spawn(listening)));
        let beating = parts.heartbeats.take().map(|(heartbeats, pool)| {
            let queues = parts.queues.iter().map(|queue| queue.name.clone()).collect();
            heartbeat::start(heartbeats, pool, name.clone(), queues, handle.tally.clone())
        });
        let delivering = parts.outboxes.take().map(|homes| {
            let (queue, durability) = (parts.store.clone(), parts.durability);
            let access = deliverer::Access { queue, homes, worker: name.clone(), durability };
            deliverer::start(&access, parts.queues.iter().map(|queue| queue.name.clone()))
        });
        let sweeping = parts.sweeps.take().map(|(store, every)| {
            let queues = parts.queues.iter().map(|queue| queue.name.clone()).collect();
            Sweeper { store, every, worker: name.clone(), queues }.start()
        });
        let WorkerHandle { events: sender, tally } = handle;
        let clean = Driver::new(parts, name, sender, tally.clone()).run(events).await;
        drop(sweeping);
        if let Some(delivering) = delivering {
            delivering.finish().await;
        }
        if let Some(beating) = beating {
            beating.leave().await;
        }
        drop(signals);
        Ok(WorkerReport { stats: tally.stats(), clean })
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Ends a task with its owner.
#[derive(Debug)]
pub(crate) struct AbortOnDrop<T>(pub(crate) tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Controls a worker from other tasks. Clones control the same worker; a worker that has ended ignores them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use twinstore::prelude::*;
///
/// # let (stores, _) = twinstore::testing::stores();
/// let worker = stores.state().worker().with_queue("mails", async |_: Job| Ok(())).build()?;
/// let handle = worker.handle();
/// let running = tokio::spawn(worker.run());
/// handle.shutdown();
/// let report = running.await??;
/// assert!(report.clean && report.stats.completed == 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WorkerHandle {
    events: UnboundedSender<Event>,
    tally: Arc<Tally>,
}

impl WorkerHandle {
    /// Begins the shutdown: the worker stops claiming, immediately gives back claimed jobs that have not begun, and lets running
    /// handlers finish until the deadline. A second call has no effect.
    pub fn shutdown(&self) {
        self.send(Command::Shutdown);
    }

    /// Ends the worker immediately: it drops running handlers and gives their jobs back.
    pub fn shutdown_now(&self) {
        self.send(Command::ShutdownNow);
    }

    /// Stops claiming, in this worker only. Running handlers continue, and claimed jobs still begin.
    pub fn pause(&self) {
        self.send(Command::Pause);
    }

    /// Claims again after [`WorkerHandle::pause`].
    pub fn resume(&self) {
        self.send(Command::Resume);
    }

    /// What the worker has done so far.
    pub fn stats(&self) -> WorkerStats {
        self.tally.stats()
    }

    /// Whether the worker claims, for a probe: within `limit` the store has answered a claim from each of its queues, or
    /// no claim was needed, because all handlers are busy, the worker is paused or it shuts down.
    ///
    /// An idle worker claims at least every 10 s, so `limit` should be at least 30 s. If the probe restarts the process, `limit` should
    /// be longer than an outage of the store, during which a restart helps nobody. `false` before the first claims are
    /// answered, while the store is unavailable, if the worker's task does not run, and if all handlers are
    /// [stuck](WorkerStats::stuck).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use twinstore::prelude::*;
    ///
    /// # let (stores, _) = twinstore::testing::stores();
    /// let worker = stores.state().worker().with_queue("mails", async |_: Job| Ok(())).build()?;
    /// let handle = worker.handle();
    /// let is_alive = || handle.is_claiming_within(Duration::from_secs(60)); // the answer to a probe
    /// assert!(!is_alive());
    /// let running = tokio::spawn(worker.run());
    /// while !is_alive() {
    ///     tokio::task::yield_now().await;
    /// }
    /// assert!(handle.stats().last_claim_answered_at.is_some());
    /// # handle.shutdown();
    /// # running.await??;
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_claiming_within(&self, limit: Duration) -> bool {
        self.tally.is_claiming_within(limit)
    }

    fn send(&self, command: Command) {
        // Without a receiver the worker has ended.
        let _ = self.events.send(Event::Command(command));
    }
}

impl fmt::Debug for WorkerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHandle").field("stats", &self.stats()).finish()
    }
}
