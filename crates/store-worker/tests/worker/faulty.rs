//! A store that fails on command, and remembers what it was asked.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use embedded_store::EmbeddedState;
use store_core::{
    Claim, ClaimRequest, Durability, Error, Extended, Extension, HolderName, JobId, NewJob, Op, Pushed, Queue,
    QueueName, Reached, Receipt, Result, Settled, Settlement, Waiter, Wakeup,
};
use tokio::sync::watch;
use tokio::time::Instant;

/// What a store does to the calls of one operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is executed.
    Away,
    /// It is executed, and the reply is lost.
    ReplyLost,
    /// Nothing is executed, but the caller cannot know that.
    Cut,
    /// It is executed, and no replica has confirmed it in time.
    NotDurable,
}

/// A store that fails on command, and remembers what it was asked.
#[derive(Debug)]
pub(crate) struct Faulty {
    this: Weak<Faulty>,
    inner: EmbeddedState,
    faults: Mutex<HashMap<Op, Fault>>,
    held: watch::Sender<HashSet<Op>>,
    unheard: watch::Sender<HashSet<Op>>,
    held_queue: watch::Sender<Option<QueueName>>,
    partitions: AtomicU16,
    /// Extensions of leases of this partition do not arrive.
    lost_partition: watch::Sender<Option<u16>>,
    /// Settlements of jobs of this partition do not arrive.
    unsettled_partition: watch::Sender<Option<u16>>,
    most_settlements: AtomicUsize,
    refused: Mutex<Option<JobId>>,
    unknown: Mutex<Option<JobId>>,
    calls: Mutex<Vec<(Op, usize)>>,
    claims: Mutex<Vec<ClaimRequest>>,
    registrations: Mutex<Vec<(QueueName, usize)>>,
    /// What workers reserve while pushes do not hand over.
    reserved: Mutex<HashMap<QueueName, usize>>,
    injected: watch::Sender<Vec<Wakeup>>,
    hands_over: AtomicBool,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fault")
    }
}

/// All that a worker sends.
pub(crate) const ALL: [Op; 3] = [Op::QueueClaim, Op::QueueExtend, Op::QueueSettle];

impl Faulty {
    pub(crate) fn new(inner: EmbeddedState) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            inner,
            faults: Mutex::default(),
            held: watch::Sender::default(),
            unheard: watch::Sender::default(),
            held_queue: watch::Sender::default(),
            partitions: AtomicU16::new(1),
            lost_partition: watch::Sender::default(),
            unsettled_partition: watch::Sender::default(),
            most_settlements: AtomicUsize::new(usize::MAX),
            refused: Mutex::default(),
            unknown: Mutex::default(),
            calls: Mutex::default(),
            claims: Mutex::default(),
            registrations: Mutex::default(),
            reserved: Mutex::default(),
            injected: watch::Sender::default(),
            hands_over: AtomicBool::new(false),
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

    /// From now on, claimed jobs are in so many partitions, in turn.
    pub(crate) fn divide(&self, partitions: u16) {
        self.partitions.store(partitions, Ordering::SeqCst);
    }

    /// Extensions of leases of this partition wait, as if its server had gone; `None` lets them go.
    pub(crate) fn hold_extensions_of(&self, partition: Option<u16>) {
        self.lost_partition.send_replace(partition);
    }

    /// Settlements of jobs of this partition wait, as if its server had gone; `None` lets them go.
    pub(crate) fn hold_settlements_of(&self, partition: Option<u16>) {
        self.unsettled_partition.send_replace(partition);
    }

    /// More settlements than this in one call do not arrive in time.
    pub(crate) fn settles_at_most(&self, settlements: usize) {
        self.most_settlements.store(settlements, Ordering::SeqCst);
    }

    /// Settlements that travel with this job's are refused.
    pub(crate) fn refuse_to_settle(&self, job: &JobId) {
        *self.refused.lock().unwrap() = Some(job.clone());
    }

    /// The answer to a settlement of this job is that its outcome is unknown.
    pub(crate) fn forget(&self, job: &JobId) {
        *self.unknown.lock().unwrap() = Some(job.clone());
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

    /// The claims, in order.
    pub(crate) fn claims(&self) -> Vec<ClaimRequest> {
        self.claims.lock().unwrap().clone()
    }

    /// The queues at which workers have registered, and how many handlers each registration reserves, in order.
    pub(crate) fn registrations(&self) -> Vec<(QueueName, usize)> {
        self.registrations.lock().unwrap().clone()
    }

    /// From now on, pushes hand jobs over to workers that register. Before, they only notify them.
    pub(crate) fn let_pushes_hand_over(&self) {
        self.hands_over.store(true, Ordering::SeqCst);
    }

    /// The next wake-up of a worker, beside those of the store.
    pub(crate) fn wake(&self, wakeup: Wakeup) {
        self.injected.send_modify(|injected| injected.push(wakeup));
    }

    /// Whether workers have got all wake-ups that the test made.
    pub(crate) fn has_woken(&self) -> bool {
        self.injected.borrow().is_empty()
    }

    /// Leases up to `max` jobs of a queue to a worker as a push does, and delivers them in a wake-up.
    pub(crate) async fn hand_over(&self, queue: &QueueName, max: usize, since: Instant) -> usize {
        let request =
            ClaimRequest::new(queue.clone(), HolderName::new("worker").unwrap(), max, Duration::from_secs(15));
        let claim = self.inner.claim(&request).await.unwrap();
        let jobs = claim.jobs.len();
        let since = since.into_std();
        self.wake(Wakeup::Claimed { queue: queue.clone(), claim, is_registered: false, since });
        jobs
    }

    /// A worker has got a wake-up that ends its registration.
    fn ended(&self, wakeup: &Wakeup) {
        if let Wakeup::Claimed { queue, is_registered: false, .. } | Wakeup::Notified { queue } = wakeup {
            self.reserved.lock().unwrap().remove(queue);
        }
    }

    async fn claim_with(&self, request: &ClaimRequest, claiming: impl Future<Output = Result<Claim>>) -> Result<Claim> {
        self.claims.lock().unwrap().push(request.clone());
        let call = async {
            self.held_queue.subscribe().wait_for(|held| held.as_ref() != Some(&request.queue)).await.unwrap();
            let mut claim = claiming.await?;
            let partitions = self.partitions.load(Ordering::SeqCst);
            for (partition, job) in (0..partitions).cycle().zip(&mut claim.jobs) {
                job.lease.partition = partition;
            }
            Ok(claim)
        };
        self.meet(Op::QueueClaim, request.max, call).await
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
            Some(Fault::Cut) => Err(Error::indeterminate(op, "cut")),
            Some(Fault::ReplyLost) => {
                call.await?;
                Err(Error::indeterminate(op, "cut"))
            }
            Some(Fault::NotDurable) => {
                call.await?;
                let wanted = Durability::Replicated { replicas: 1, within: Duration::from_millis(1) };
                Err(Error::NotDurable { op, wanted, reached: Reached::default() })
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
        self.claim_with(request, self.inner.claim(request)).await
    }

    async fn extend(&self, queue: &QueueName, jobs: &[Extension], lasting: Duration) -> Result<Vec<Extended>> {
        let call = async {
            let is_lost = |lost: &Option<u16>| jobs.iter().any(|job| Some(job.lease.partition) == *lost);
            self.lost_partition.subscribe().wait_for(|lost| !is_lost(lost)).await.unwrap();
            self.inner.extend(queue, jobs, lasting).await
        };
        self.meet(Op::QueueExtend, jobs.len(), call).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        settlements: &[Settlement],
        durability: Durability,
    ) -> Result<Receipt<Vec<Settled>>> {
        let refused = self.refused.lock().unwrap().clone();
        let is_refused = settlements.iter().any(|settlement| Some(&settlement.lease.job) == refused.as_ref());
        let is_held = |held: &Option<u16>| settlements.iter().any(|of| Some(of.lease.partition) == *held);
        let call = async {
            self.unsettled_partition.subscribe().wait_for(|held| !is_held(held)).await.unwrap();
            if settlements.len() > self.most_settlements.load(Ordering::SeqCst) {
                return Err(Error::indeterminate(Op::QueueSettle, "took too long"));
            }
            if is_refused {
                return Err(Error::invalid_argument(Op::QueueSettle, "no"));
            }
            let mut receipt = self.inner.settle(queue, settlements, durability).await?;
            let unknown = self.unknown.lock().unwrap().clone();
            for (settlement, settled) in settlements.iter().zip(&mut receipt.value) {
                if Some(&settlement.lease.job) == unknown.as_ref() {
                    *settled = Settled::Unknown;
                }
            }
            Ok(receipt)
        };
        self.meet(Op::QueueSettle, settlements.len(), call).await
    }

    fn waiter(&self) -> Arc<dyn Waiter> {
        Arc::new(FaultyWaiter { store: self.this.upgrade().unwrap(), inner: self.inner.waiter() })
    }
}

/// The waiter of a store that fails on command.
#[derive(Debug)]
struct FaultyWaiter {
    store: Arc<Faulty>,
    inner: Arc<dyn Waiter>,
}

#[async_trait]
impl Waiter for FaultyWaiter {
    async fn claim(&self, request: &ClaimRequest, reserve: usize) -> Result<Claim> {
        let call = async {
            let hands_over = self.store.hands_over.load(Ordering::SeqCst);
            let claim = self.inner.claim(request, if hands_over { reserve } else { 0 }).await?;
            self.store.reserved.lock().unwrap().remove(&request.queue);
            if claim.jobs.len() < request.max {
                let reserve = reserve.min(request.max - claim.jobs.len());
                self.store.registrations.lock().unwrap().push((request.queue.clone(), reserve));
                if !hands_over {
                    self.store.reserved.lock().unwrap().insert(request.queue.clone(), reserve);
                }
            }
            Ok(claim)
        };
        self.store.claim_with(request, call).await
    }

    async fn next(&self, up_to: Duration) -> Result<Option<Wakeup>> {
        let mut injected = self.store.injected.subscribe();
        let woken = async {
            let _first = injected.wait_for(|injected| !injected.is_empty()).await.unwrap();
        };
        tokio::select! {
            () = woken => {}
            answer = self.inner.next(up_to) => {
                if let Ok(Some(wakeup)) = &answer {
                    self.store.ended(wakeup);
                }
                return answer;
            }
        }
        let mut first = None;
        self.store.injected.send_modify(|injected| first = (!injected.is_empty()).then(|| injected.remove(0)));
        first.iter().for_each(|wakeup| self.store.ended(wakeup));
        Ok(first)
    }

    fn reserved(&self, queue: &QueueName) -> usize {
        self.inner.reserved(queue) + self.store.reserved.lock().unwrap().get(queue).copied().unwrap_or(0)
    }
}
