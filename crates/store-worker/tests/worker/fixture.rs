//! What the tests stand on: a store in memory, one that fails on command around it, and a worker that runs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use embedded_store::{EmbeddedState, StateOptions};
use store_core::{
    Claim, ClaimRequest, Clock, Counts, Durability, Error, Extended, Extension, JobId, ManualClock, NewJob, Op, Pushed,
    Queue, QueueExt, QueueInspect, QueueName, Receipt, Result, ServiceName, Settled, Settlement, Timestamp, Waiter,
};
use store_worker::{Worker, WorkerBuilder, WorkerHandle, WorkerReport};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a store does to the calls of one operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is executed.
    Away,
    /// It is executed, and the reply is lost.
    ReplyLost,
}

/// A store that fails on command, and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct Faulty {
    inner: EmbeddedState,
    faults: Mutex<HashMap<Op, Fault>>,
    held: watch::Sender<HashSet<Op>>,
    unheard: watch::Sender<HashSet<Op>>,
    held_queue: watch::Sender<Option<QueueName>>,
    most_settlements: AtomicUsize,
    refused: Mutex<Option<JobId>>,
    calls: Mutex<Vec<(Op, usize)>>,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fault")
    }
}

/// All that a worker sends.
pub(crate) const ALL: [Op; 4] = [Op::QueueClaim, Op::QueueExtend, Op::QueueSettle, Op::QueueWait];

impl Faulty {
    pub(crate) fn new(inner: EmbeddedState) -> Arc<Self> {
        Arc::new(Self {
            inner,
            faults: Mutex::default(),
            held: watch::Sender::default(),
            unheard: watch::Sender::default(),
            held_queue: watch::Sender::default(),
            most_settlements: AtomicUsize::new(usize::MAX),
            refused: Mutex::default(),
            calls: Mutex::default(),
        })
    }

    /// From now on, calls of these operations fail.
    pub(crate) fn fail(&self, ops: &[Op], fault: Fault) {
        self.faults.lock().unwrap().extend(ops.iter().map(|op| (*op, fault)));
    }

    pub(crate) fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// From now on, calls of this operation wait.
    pub(crate) fn hold(&self, op: Op) {
        self.held.send_if_modified(|held| held.insert(op));
    }

    pub(crate) fn let_go(&self, op: Op) {
        self.held.send_if_modified(|held| held.remove(&op));
    }

    /// From now on, calls of this operation are executed, and then wait with their answers.
    pub(crate) fn hold_answers(&self, op: Op) {
        self.unheard.send_if_modified(|unheard| unheard.insert(op));
    }

    pub(crate) fn let_answers_go(&self, op: Op) {
        self.unheard.send_if_modified(|unheard| unheard.remove(&op));
    }

    /// Claims of this queue wait, as if its server had gone; `None` lets them go.
    pub(crate) fn hold_claims_of(&self, queue: Option<&QueueName>) {
        self.held_queue.send_replace(queue.cloned());
    }

    /// More settlements than this in one call do not arrive in time.
    pub(crate) fn settles_at_most(&self, settlements: usize) {
        self.most_settlements.store(settlements, Ordering::SeqCst);
    }

    /// Settlements that travel with this job's are refused.
    pub(crate) fn refuse_to_settle(&self, job: &JobId) {
        *self.refused.lock().unwrap() = Some(job.clone());
    }

    /// How many calls of this operation there were.
    pub(crate) fn count(&self, op: Op) -> usize {
        self.sizes(op).len()
    }

    /// How many jobs each call of this operation was about.
    pub(crate) fn sizes(&self, op: Op) -> Vec<usize> {
        self.calls.lock().unwrap().iter().filter(|call| call.0 == op).map(|call| call.1).collect()
    }

    /// The operations that were asked for, in order.
    pub(crate) fn ops(&self) -> Vec<Op> {
        self.calls.lock().unwrap().iter().map(|call| call.0).collect()
    }

    async fn meet<T>(&self, op: Op, size: usize, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.calls.lock().unwrap().push((op, size));
        self.held.subscribe().wait_for(|held| !held.contains(&op)).await.unwrap();
        let fault = self.faults.lock().unwrap().get(&op).copied();
        match fault {
            None => {
                let answer = call.await;
                self.unheard.subscribe().wait_for(|unheard| !unheard.contains(&op)).await.unwrap();
                answer
            }
            Some(Fault::Away) => Err(Error::unavailable(op, "away")),
            Some(Fault::ReplyLost) => {
                call.await?;
                Err(Error::indeterminate(op, "cut"))
            }
        }
    }
}

#[async_trait]
impl Queue for Faulty {
    async fn push(&self, queue: &QueueName, jobs: &[NewJob], durability: Durability) -> Result<Receipt<Vec<Pushed>>> {
        self.inner.push(queue, jobs, durability).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim> {
        let call = async {
            self.held_queue.subscribe().wait_for(|held| held.as_ref() != Some(&request.queue)).await.unwrap();
            self.inner.claim(request).await
        };
        self.meet(Op::QueueClaim, request.max, call).await
    }

    async fn extend(&self, queue: &QueueName, jobs: &[Extension], lasting: Duration) -> Result<Vec<Extended>> {
        self.meet(Op::QueueExtend, jobs.len(), self.inner.extend(queue, jobs, lasting)).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        durability: Durability,
    ) -> Result<Receipt<Vec<Settled>>> {
        let refused = self.refused.lock().unwrap().clone();
        let is_refused = settlements.iter().any(|settlement| Some(&settlement.lease.job) == refused.as_ref());
        let call = async {
            if settlements.len() > self.most_settlements.load(Ordering::SeqCst) {
                return Err(Error::indeterminate(Op::QueueSettle, "took too long"));
            }
            if is_refused {
                return Err(Error::invalid_argument(Op::QueueSettle, "no"));
            }
            self.inner.settle(queue, settlements, durability).await
        };
        self.meet(Op::QueueSettle, settlements.len(), call).await
    }

    async fn wait(&self, queues: &[QueueName], up_to: Duration) -> Result<Option<QueueName>> {
        self.meet(Op::QueueWait, queues.len(), self.inner.wait(queues, up_to)).await
    }

    fn waiter(&self) -> Arc<dyn Waiter> {
        self.inner.waiter()
    }
}

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
