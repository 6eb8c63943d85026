//! Delivers the outboxes of a worker's queues: what commits of their homes send elsewhere.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use store_core::metric::{Counter, WORKER_DELIVERIES};
use store_core::{
    ClaimRequest, ClaimedJob, Delivered, Delivery, Durability, Error, HolderName, Homes, Op, OutboxEntry, Outcome,
    Queue, QueueName, Result, Settlement, cut_reason,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::span::TARGET;
use crate::stats::count_store_error;

/// An outbox is checked at this interval, less up to a fifth of it.
const EVERY: Duration = Duration::from_secs(10);
/// An outbox is checked at most this often if nothing is recorded.
const LEAST: Duration = Duration::from_secs(1);
/// How many entries one claim leases.
const CLAIMED: usize = 64;
/// How many entries of an outbox are delivered at the same time.
const AT_A_TIME: usize = 16;
const LEASE: Duration = Duration::from_secs(30);
/// How long an attempt at an entry may take: a third of its lease, so that it can be settled under it.
const ATTEMPT: Duration = Duration::from_secs(10);
/// A destination is slow if an attempt fails after this time.
const SLOW: Duration = Duration::from_secs(1);
/// How long a shutdown waits for deliveries. Another worker delivers the others when their leases have expired.
const ENDING: Duration = Duration::from_secs(5);

/// What is needed to deliver outboxes.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) homes: Arc<dyn Homes>,
    pub(crate) worker: HolderName,
    pub(crate) durability: Durability,
}

/// Delivers outboxes until it is stopped or dropped.
pub(crate) struct Delivering {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Starts to deliver the outboxes of queues, each in a task of its own.
pub(crate) fn start(access: &Access, queues: impl Iterator<Item = QueueName>) -> Delivering {
    let stop = watch::Sender::new(false);
    let deliverer = |queue: QueueName| Deliverer {
        access: access.clone(),
        outbox: queue.outbox(),
        meters: Meters::new(&queue),
        queue,
        unheard: None,
        slow: Mutex::default(),
        fails: false,
    };
    let tasks = queues.map(|queue| deliverer(queue).run(stop.subscribe())).collect();
    Delivering { stop, tasks }
}

impl Delivering {
    /// Delivers what was recorded until now, for a bounded time.
    pub(crate) async fn finish(mut self) {
        self.stop.send_replace(true);
        let ended = timeout(ENDING, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::debug!(target: TARGET, "deliveries are under way at the shutdown; another worker repeats them");
        }
    }
}

/// Delivers one outbox.
struct Deliverer {
    access: Access,
    queue: QueueName,
    outbox: QueueName,
    meters: Meters,
    /// A claim whose reply was lost, and when it was first sent.
    unheard: Option<(ClaimRequest, Instant)>,
    /// The destinations that are slow. They are not attempted again before all entries that are ready were claimed.
    slow: Mutex<HashSet<String>>,
    /// Whether the last deliveries failed, which is logged once.
    fails: bool,
}

/// How the deliveries of a claim ended.
struct Pass {
    /// Whether there may be more entries.
    has_more: bool,
    /// When the next entry is due.
    next: Option<Duration>,
}

impl Deliverer {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        // Workers that start at the same time check at different times.
        let mut check_at = Instant::now() + LEAST.mul_f64(fastrand::f64());
        loop {
            let is_stopped = tokio::select! {
                biased;
                () = self.access.homes.recorded(&self.queue) => false,
                _ = stop.wait_for(|stop| *stop) => true,
                () = sleep_until(check_at) => false,
            };
            if is_stopped {
                return;
            }
            check_at = Instant::now() + self.deliver_all().await;
        }
    }

    /// Delivers all entries that are ready. Returns the time until the next check.
    async fn deliver_all(&mut self) -> Duration {
        self.slow.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        loop {
            match self.deliver_some().await {
                Ok(Pass { has_more: true, .. }) => {}
                Ok(pass) => {
                    let every = EVERY.mul_f64(1.0 - 0.2 * fastrand::f64());
                    return pass.next.map_or(every, |next| next.clamp(LEAST, every));
                }
                Err(error) => {
                    count_store_error(error.op(), error.kind().name());
                    self.failed(&error);
                    return LEAST;
                }
            }
        }
    }

    /// Claims entries and delivers them.
    async fn deliver_some(&mut self) -> Result<Pass> {
        let (request, since) = self.unheard.take().filter(|(_, since)| since.elapsed() < LEASE).map_or_else(
            || (ClaimRequest::new(self.outbox.clone(), self.access.worker.clone(), CLAIMED, LEASE), Instant::now()),
            |(request, since)| (request.repeated(), since),
        );
        let claim = match self.access.queue.claim(&request).await {
            Err(error @ Error::Indeterminate { .. }) => {
                self.unheard = Some((request, since));
                return Err(error);
            }
            claim => claim?,
        };
        // A claim that is full does not say whether there are more.
        let is_full = claim.jobs.len() >= CLAIMED;
        let has_more = !claim.paused && (is_full || claim.next == Some(Duration::ZERO));
        let next = claim.next.filter(|_| !claim.paused);
        let this = &*self;
        let deliveries = stream::iter(claim.jobs).map(|job| this.deliver(job, since)).buffer_unordered(AT_A_TIME);
        let errors = deliveries.filter_map(std::future::ready).collect::<Vec<_>>().await;
        match errors.into_iter().next() {
            Some(error) => self.failed(&error),
            None => self.worked(),
        }
        Ok(Pass { has_more, next })
    }

    /// Delivers an entry. If that fails, settles it, so that it is attempted later, and returns the error.
    async fn deliver(&self, job: ClaimedJob, since: Instant) -> Option<Error> {
        let (lease, id, attempt, backoff) = (job.lease.clone(), job.id().clone(), job.attempt, job.retry.backoff);
        match self.attempt(job, since).await {
            Ok(Delivered::Done) => self.meters.delivered.increment(1),
            Ok(Delivered::Lost) => self.meters.lost.increment(1),
            Ok(Delivered::Refused(reason)) => {
                self.meters.refused.increment(1);
                tracing::error!(target: TARGET, queue = %self.outbox, %id, attempt, reason, "an entry of an outbox is dead");
            }
            Err(error) => {
                self.meters.retried.increment(1);
                count_store_error(error.op(), error.kind().name());
                let (after, text) = (backoff.wait_after(attempt), error.to_string());
                let outcome = Outcome::Retry { after, error: cut_reason(&text).to_owned() };
                let settlement = [Settlement::new(lease, outcome)];
                // Not settled, the entry is ready again when its lease ends.
                if let Err(error) = self.access.queue.settle(&self.outbox, &settlement, Durability::Accepted).await {
                    count_store_error(error.op(), error.kind().name());
                }
                return Some(error);
            }
        }
        None
    }

    /// Delivers an entry within a bounded time. After it, no copy of the delivery is executed: the next holder may have it.
    async fn attempt(&self, job: ClaimedJob, since: Instant) -> Result<Delivered> {
        let (destination, begun) = (destination(&job), Instant::now());
        if self.slow().contains(&destination) {
            return Err(Error::unavailable(Op::HomeDeliver, "the destination has just failed to answer in time"));
        }
        let lease = begun.duration_since(since).saturating_add(ATTEMPT);
        if lease > LEASE {
            return Err(Error::unavailable(Op::HomeDeliver, "other destinations took most of the lease"));
        }
        let entry = OutboxEntry::new(self.outbox.clone(), job, since.into_std(), lease);
        let delivered = timeout(ATTEMPT, self.access.homes.deliver(&entry, self.access.durability)).await;
        let delivered = delivered.unwrap_or_else(|_| {
            Err(Error::indeterminate(Op::HomeDeliver, format!("it took longer than {} s", ATTEMPT.as_secs())))
        });
        if delivered.is_err() && begun.elapsed() >= SLOW {
            self.slow().insert(destination);
        }
        delivered
    }

    fn slow(&self) -> MutexGuard<'_, HashSet<String>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs once that deliveries fail.
    fn failed(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.fails, true) {
            tracing::warn!(target: TARGET, queue = %self.outbox, %error, "entries of an outbox cannot be delivered, and are tried again");
        }
    }

    /// Logs once that deliveries succeed again.
    fn worked(&mut self) {
        if std::mem::replace(&mut self.fails, false) {
            tracing::info!(target: TARGET, queue = %self.outbox, "entries of an outbox are delivered again");
        }
    }
}

/// The queue or the topic. Empty for an entry that cannot be read.
fn destination(job: &ClaimedJob) -> String {
    match Delivery::decode(job.payload.clone()) {
        Ok(Delivery::Job { queue, .. }) => format!("queue {queue}"),
        Ok(Delivery::Event { topic, .. }) => format!("topic {topic}"),
        _ => String::new(),
    }
}

/// The metrics of one outbox.
struct Meters {
    delivered: Counter,
    refused: Counter,
    retried: Counter,
    lost: Counter,
}

impl Meters {
    fn new(queue: &QueueName) -> Self {
        let counter = |outcome| WORKER_DELIVERIES.counter(&[queue.as_str(), outcome]);
        Self {
            delivered: counter("delivered"),
            refused: counter("refused"),
            retried: counter("retried"),
            lost: counter("lost"),
        }
    }
}
