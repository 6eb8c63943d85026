//! What the tests stand on: a store in memory, one that fails on command around it, and a worker that runs.

use embedded_store::{EmbeddedState, StateOptions};
use std::sync::Arc;
use std::time::Duration;
use store_core::{
    Clock, Counts, Durability, JobId, ManualClock, NewJob, Queue, QueueExt, QueueInspect, QueueName, ServiceName,
    Timestamp,
};
use store_worker::{Worker, WorkerBuilder, WorkerHandle, WorkerReport};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use crate::faulty::{ALL, Fault, Faulty};

/// A store and a queue in it.
pub(crate) struct Fixture {
    pub(crate) clock: ManualClock,
    pub(crate) state: EmbeddedState,
    pub(crate) store: Arc<Faulty>,
    pub(crate) queue: QueueName,
}

impl Fixture {
    /// A store whose clock stands still until the test moves it.
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
        let state = EmbeddedState::in_memory(
            ServiceName::new("mailer").unwrap(),
            StateOptions::default().with_clock(Clock::Manual(clock.clone())),
        );
        let store = Faulty::new(state.clone());
        Self { clock, state, store, queue: QueueName::new("email").unwrap() }
    }

    pub(crate) fn worker(&self) -> WorkerBuilder {
        Worker::new(self.store.clone())
    }

    pub(crate) async fn push(&self, job: NewJob) -> JobId {
        let pushed = self.state.push_one(&self.queue, job).await.unwrap();
        pushed.id().expect("a new job").clone()
    }

    pub(crate) async fn push_many(&self, count: usize) {
        for _ in 0..count {
            self.push(NewJob::new("")).await;
        }
    }

    /// Pushes jobs in one call.
    pub(crate) async fn push_batch(&self, count: usize) {
        let jobs: Vec<_> = (0..count).map(|_| NewJob::new("")).collect();
        let _receipt = self.state.push(&self.queue, &jobs, Durability::Accepted).await.unwrap();
    }

    /// Pushes jobs that are ready at once and of which no worker is notified.
    pub(crate) async fn push_unnoticed(&self, count: usize) {
        let soon = Duration::from_millis(1);
        for _ in 0..count {
            self.push(NewJob::new("").with_delay(soon)).await;
        }
        self.clock.advance(soon);
    }

    pub(crate) async fn counts(&self) -> Counts {
        self.state.counts(&self.queue).await.unwrap()
    }

    /// Waits until the queue's counts are so.
    pub(crate) async fn until(&self, what: &str, mut counts: impl FnMut(Counts) -> bool) {
        eventually(what, async || counts(self.counts().await)).await;
    }
}

/// Waits until it holds, for 30 s.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    testkit::wait_until(what, testkit::DEADLINE, condition).await;
}

/// A worker that runs.
pub(crate) struct Running {
    pub(crate) handle: WorkerHandle,
    task: JoinHandle<std::io::Result<WorkerReport>>,
}

impl Running {
    pub(crate) fn start(builder: WorkerBuilder) -> Self {
        let worker = builder.build().unwrap();
        Self { handle: worker.handle(), task: tokio::spawn(worker.run()) }
    }

    pub(crate) async fn shutdown(self) -> WorkerReport {
        self.handle.shutdown();
        self.report().await
    }

    /// Waits until it has ended.
    pub(crate) async fn report(self) -> WorkerReport {
        tokio::time::timeout(testkit::DEADLINE, self.task).await.expect("the worker ends").unwrap().unwrap()
    }
}

/// A handler's way to tell how far it is, and to be let go.
#[derive(Clone)]
pub(crate) struct Turnstile {
    inside: Arc<watch::Sender<usize>>,
    most: Arc<watch::Sender<usize>>,
    entered: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

/// Inside a turnstile until it is dropped.
pub(crate) struct Inside(Turnstile);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.send_modify(|inside| *inside -= 1);
    }
}

impl Turnstile {
    pub(crate) fn new() -> Self {
        Self { inside: Arc::default(), most: Arc::default(), entered: Arc::default(), open: Arc::default() }
    }

    /// Comes in, and stays until it is open.
    pub(crate) async fn pass(&self) -> Inside {
        let inside = self.enter();
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        inside
    }

    pub(crate) fn enter(&self) -> Inside {
        self.inside.send_modify(|inside| *inside += 1);
        self.entered.send_modify(|entered| *entered += 1);
        let now = *self.inside.borrow();
        self.most.send_modify(|most| *most = now.max(*most));
        Inside(self.clone())
    }

    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// From now on, it holds who comes in.
    pub(crate) fn close(&self) {
        self.open.send_replace(false);
    }

    /// How many are inside.
    pub(crate) fn inside(&self) -> usize {
        *self.inside.borrow()
    }

    /// How many were inside at the same time at most.
    pub(crate) fn most(&self) -> usize {
        *self.most.borrow()
    }

    /// How many have ever come in.
    pub(crate) fn entered(&self) -> usize {
        *self.entered.borrow()
    }

    /// Waits until exactly so many are inside.
    pub(crate) async fn until_inside(&self, count: usize) {
        eventually("handlers inside", async || self.inside() == count).await;
    }
}
